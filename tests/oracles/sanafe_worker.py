"""Networks in plain numbers, run by SANA-FE's Loihi: JSON from stdin, JSON to stdout.

Runs in SANA-FE's own environment only (`make oracle-sanafe`), with nothing of this project. Asked
``{"nets": [{"events": steps x inputs, "populations": [..]}]}``, it answers with SANA-FE's version
and, for each net, the spikes and potentials of each population: steps x neurons. All nets have the
same number of steps; 128 fit.

A population holds weights (outputs x inputs) from the one before, a recurrent matrix or null, and
per neuron: threshold, leak and bias; its reset is SANA-FE's ``reset_mode``, ``hard`` or ``soft``.
A zero in a matrix is no synapse. Thresholds are in units of weights, a bias in 64ths of them; the
leak is Loihi's 12-bit register.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import sanafe


def main() -> None:
    nets = json.load(sys.stdin)["nets"]
    with chatter_on_stderr():
        found = run(nets)
    print(json.dumps({"version": version("sanafe"), "nets": found}))


def run(nets: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """All nets on one chip, as to make one takes seconds; each has a core of its own."""
    arch, network = sanafe.load_loihi(), sanafe.Network()
    cores = [core for tile in arch.tiles for core in tile.cores]
    sizes: dict[str, int] = {}  # names in one order, however they are sorted
    for number, (net, core) in enumerate(zip(nets, cores[: len(nets)], strict=True)):
        before = inputs(network, f"n{number:03}.0", net["events"], core)
        for place, population in enumerate(net["populations"], 1):
            name = f"n{number:03}.{place}"
            group = neurons(network, name, population, core)
            connect(before, group, population["weights"])
            if population["recurrent"] is not None:
                connect(group, group, population["recurrent"])
            before, sizes[name] = group, len(population["threshold"])
    chip = sanafe.SpikingChip(arch)
    chip.load(network)
    (steps,) = {len(net["events"]) for net in nets}
    traces = {"spike_trace": True, "potential_trace": True}
    done = chip.sim(steps, timing_model="simple", processing_threads=1, **traces)
    records = iter(list(read(done, sizes)))
    return [[next(records) for _ in net["populations"]] for net in nets]


def inputs(network: Any, name: str, events: list[list[int]], core: Any) -> Any:
    """A source of its own on the chip for each input."""
    group = network.create_neuron_group(name, len(events[0]))
    for index, (neuron, spikes) in enumerate(zip(group, zip(*events, strict=True), strict=True)):
        held = {"spikes": [bool(spike) for spike in spikes]}
        neuron.set_attributes(soma_hw_name=f"loihi_inputs[{index}]", model_attributes=held)
        neuron.map_to_core(core)
    return group


def neurons(network: Any, name: str, population: dict[str, Any], core: Any) -> Any:
    size = len(population["threshold"])
    group = network.create_neuron_group(name, size, log_spikes=True, log_potential=True)
    for index, neuron in enumerate(group):
        held = {
            "threshold": float(population["threshold"][index]),
            "leak_decay": (4096 - population["leak"][index]) / 4096,
            "bias": population["bias"][index] / 64,
            "reset_mode": population["reset"],
            "force_update": True,
        }
        neuron.set_attributes(soma_hw_name="loihi_lif", model_attributes=held)
        neuron.map_to_core(core)
    return group


def connect(source: Any, target: Any, weights: list[list[int]]) -> None:
    held = {(j, i): float(w) for i, row in enumerate(weights) for j, w in enumerate(row) if w}
    source.connect_neurons_sparse(target, {"weight": list(held.values())}, list(held))


def read(done: dict[str, Any], sizes: dict[str, int]) -> Iterator[dict[str, Any]]:
    """SANA-FE names who fired in a step, and lists the potentials of all neurons in one row."""
    fired = [{(a.group_name, a.neuron_offset) for a in step} for step in done["spike_trace"]]
    begin = 0
    for name, size in sizes.items():
        yield {
            "spikes": [[int((name, i) in step) for i in range(size)] for step in fired],
            "potentials": [row[begin : begin + size] for row in done["potential_trace"]],
        }
        begin += size
    assert all(len(row) == begin for row in done["potential_trace"])


@contextlib.contextmanager
def chatter_on_stderr() -> Iterator[None]:
    """What the C++ library prints goes to stderr; stdout stays ours."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


if __name__ == "__main__":
    main()
