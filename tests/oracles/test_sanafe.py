"""Our Loihi neuron with a zero and a subtracting reset, held against SANA-FE's `loihi_lif`.

An independent oracle: other authors, another language, and a leaky subtracting reset, which
Intel's library has not. There is no tolerance: spikes and voltages are equal or they are not.

What sanafe 2.2.9 does, and why it is exact:

- Potentials are doubles in units of weights: ours are their 64ths. The leak multiplies by
  ``leak_decay`` = (4096 - dv) / 4096 and truncates toward zero to a 64th. With |v| < 2^23 the
  product has 35 bits at most, so the double holds it exactly: this is Loihi's 12-bit leak.
- In a step: leak, bias, current, then ``v > threshold`` (strict), then ``reset_mode``: ``hard``
  sets 0, ``soft`` takes the threshold off, once. This is our ``after_fire``; the logged potential
  is that after the reset. A bias is added as it is: a multiple of 1 / 64 is an integer of ours.
- A spike arrives one step later, and every neuron computes from step 0 on: our programs here begin
  in step 0 too, with one step on every edge. A current lasts for one step: du = 4095.

What it cannot express, so what is not confirmed here: a synaptic current (du < 4095), an amount
other than the threshold, ``after_decay`` with a leak, the wrap of u and the saturation of v (its
doubles have neither; the tests assert that ours stayed away from both), and delays (its plain
dendrite ignores a synapse's ``delay``, and its delaying one gave no current at all when tried).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.soft_nets import Net, every_kind, plain, program, random_net

from sast_compile.backends.reference import run
from sast_compile.trace import Trace

WORKER = Path(__file__).with_name("sanafe_worker.py")
PIN = Path(__file__).with_name("sanafe.txt").read_text().split("sanafe==")[1].strip()
NETS = 64
SPOILT = 16  # of them, two of each kind, are also compared with something wrong on our side
SECONDS = 120
Found = list[tuple[Any, Any]]  # by population: spikes and v, (steps, neurons)


def ask(python: Path, nets: list[Net]) -> list[Found]:
    """SANA-FE's spikes, and its potentials as our integers."""
    done = subprocess.run(
        [str(python), "-I", str(WORKER)],
        input=json.dumps({"nets": [plain(net) for net in nets]}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["version"] == PIN, "another SANA-FE than the pinned one: `make oracle-sanafe`"
    return [[_integers(p) for p in net] for net in answer["nets"]]


def _integers(population: dict[str, Any]) -> tuple[Any, Any]:
    v = np.array(population["potentials"]) * 64
    assert np.array_equal(v, np.rint(v))
    return np.array(population["spikes"]), v.astype(np.int64)


@pytest.fixture(scope="module")
def asked(python_with_sanafe: Path) -> list[tuple[Net, Found]]:
    nets = [random_net(seed) for seed in range(NETS)]
    return list(zip(nets, ask(python_with_sanafe, nets), strict=True))


def reference(net: Net, **changes: Any) -> Trace:
    return run(program(net, **changes), net.events[None], "states")


def differing(net: Net, found: Found, **changes: Any) -> tuple[int, int]:
    """How many spikes and how many voltages are not SANA-FE's, over all populations."""
    trace = reference(net, **changes)
    spikes = voltages = 0
    for number, (theirs, v) in enumerate(found, 1):
        ours = trace[f"s{number}"]
        spikes += int((ours.spikes[0] != theirs).sum())
        voltages += int((ours.states["v"][0] != v).sum())
    return spikes, voltages


def test_every_spike_and_every_voltage_is_sanafes(asked: list[tuple[Net, Found]]) -> None:
    assert len(every_kind([net for net, _ in asked])) == 8
    assert [net.name for net, found in asked if differing(net, found) != (0, 0)] == []


def test_every_population_was_active_and_in_range(asked: list[tuple[Net, Found]]) -> None:
    """Some spikes, not in every step of every neuron; v below 0 too, where a leak's rounding shows.

    No clamp, which SANA-FE lacks.
    """
    for net, found in asked:
        trace = reference(net)
        for number, (spikes, v) in enumerate(found, 1):
            tally = trace[f"s{number}"].tally
            assert 0.02 < spikes.mean() < 0.9, net.name
            assert (v < 0).any() or number == 2, net.name
            assert tally is not None
            assert not any(tally.clamped.values()), net.name


@pytest.mark.parametrize("when", ["before_decay", "after_decay"])
def test_a_reset_in_the_next_step_gives_the_same_spikes(
    asked: list[tuple[Net, Found]], when: str
) -> None:
    """Its voltage is the one before the reset. With a leak, after_decay is another neuron."""
    for net, found in asked:
        if when == "after_decay" and net.populations[0].leak.any():
            continue
        trace = reference(net, when=when)
        for number, (spikes, v) in enumerate(found, 1):
            ours, p = trace[f"s{number}"], net.populations[number - 1]
            assert np.array_equal(ours.spikes[0], spikes), net.name
            if p.reset == "subtract":
                assert np.array_equal(ours.states["v"][0], v + 64 * p.threshold * spikes), net.name


@pytest.mark.parametrize("number", [0, 1])
def test_a_threshold_one_step_off_is_seen(asked: list[tuple[Net, Found]], number: int) -> None:
    """In one neuron's threshold, thus in its amount: in voltages of every subtracting net."""
    for net, found in asked[:SPOILT]:
        if net.populations[0].reset == "subtract":
            most = int(found[number][0].sum(0).argmax())
            moved = net.populations[number].threshold.copy()
            moved[most] += 1
            assert differing(net.changed(number, threshold=moved), found)[1] > 0, net.name


def test_a_leak_that_rounds_down_is_seen(asked: list[tuple[Net, Found]]) -> None:
    """Below 0, where it is not Loihi's rounding toward zero."""
    for net, found in asked[:SPOILT]:
        if net.populations[0].leak.any():
            assert differing(net, found, rounding="floor")[1] > 0, net.name


def test_a_doubled_amount_is_seen_in_the_spikes(asked: list[tuple[Net, Found]]) -> None:
    for net, found in asked[:SPOILT]:
        if net.populations[0].reset == "subtract":
            assert differing(net, found, amount_times=2)[0] > 0, net.name


def test_the_other_reset_is_seen_in_the_spikes(asked: list[tuple[Net, Found]]) -> None:
    other = {"zero": "subtract", "subtract": "zero"}
    for net, found in asked[:SPOILT]:
        swapped = net.changed(0, reset=other[net.populations[0].reset])
        assert differing(swapped, found)[0] > 0, net.name
