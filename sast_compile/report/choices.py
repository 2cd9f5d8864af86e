"""The contracts that a file without one could be under, and what each makes of this very net.

All of them are run on the same random events by the float interpreter: the answer to "does it
matter?" in numbers. Nothing is chosen by it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from msgspec.structs import replace

from sast_compile.backends import reference
from sast_compile.contract import MOST_SPIKES, Contract
from sast_compile.contract_text import changed
from sast_compile.errors import CompileError
from sast_compile.files import read_whole
from sast_compile.frontend.exporters import contradiction, neurons_of
from sast_compile.frontend.nir_file import parse_nir
from sast_compile.frontend.nir_kinds import kind_of
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.ir.consts import lookup
from sast_compile.ir.ops import Conv2d, Dense
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.presets import PRESETS
from sast_compile.samples import RANDOM_DENSITY, RANDOM_STEPS, SEED, Samples, random_samples

MOST_SAMPLES = 16
MOST_PRODUCTS = 200_000_000  # of one run; larger nets are run on fewer samples, at least one
SETTINGS = (
    "leak=euler",
    "leak=exact",
    "reset=zero reset_when=after_fire",
    "reset=zero reset_when=after_input",
    "reset=subtract reset_when=after_fire",
    "reset=subtract reset_when=after_decay",
    "compare=>",
    "compare=>=",
    f"spikes={MOST_SPIKES}",
)
LEAKLESS = ("IF", "I", "Threshold")


@dataclass(frozen=True)
class Choice:
    """One contract on the net: its spikes, and the share that differs under each other contract.

    ``differs``: of all neurons and steps in which either fires, those whose number of spikes is not
    the same. ``against``: what in the file its exporter never writes.
    """

    name: str
    dt: float
    dt_from: str
    against: str | None
    error: str | None = None
    spikes: int | None = None
    differs: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Choices:
    """All presets on the same ``samples`` of ``steps``; ``density`` of the inputs spike a step."""

    samples: int
    steps: int
    density: float
    seed: int
    choices: tuple[Choice, ...]
    base: str | None  # the first choice that fires and has nothing against it
    settings: Mapping[str, float]  # of the base: the share that differs under this one setting


def choices_of(path: str) -> Choices:
    """Every preset on the `.nir` at ``path``; CompileError if no preset can read it at all."""
    graph = parse_nir(read_whole(path), path)
    neurons = neurons_of(graph)
    found: dict[str, Choice] = {}
    spikes: dict[str, dict[str, Array]] = {}
    samples: Samples | None = None
    for name, preset in PRESETS.items():
        dt, dt_from = _time_step(name, neurons)
        contract = replace(preset.contract, dt=dt)
        against = contradiction(neurons, name, dt)
        try:
            program = to_program(graph, contract, "choice")
        except CompileError as error:
            found[name] = Choice(name, dt, dt_from, against, error=str(error))
            continue
        if samples is None:
            samples = random_samples(program, contract, _count(program), "")
        spikes[name] = _spikes(program, samples.events)
        total = int(sum(layer.sum(dtype=np.int64) for layer in spikes[name].values()))
        found[name] = Choice(name, dt, dt_from, against, spikes=total)
    if samples is None:
        first = next(iter(found.values()))
        raise CompileError(f"no contract reads it: {first.error}", where=path)
    compared = tuple(
        choice if choice.spikes is None else _compared(choice, spikes) for choice in found.values()
    )
    meant = (choice for choice in compared if choice.spikes and choice.against is None)
    base = next(meant, None)
    settings: dict[str, float] = {}
    if base is not None:
        contract = replace(PRESETS[base.name].contract, dt=base.dt)
        settings = _settings(graph, contract, samples.events, spikes[base.name])
    return Choices(
        samples=samples.count,
        steps=samples.steps,
        density=RANDOM_DENSITY,
        seed=SEED,
        choices=compared,
        base=base.name if base else None,
        settings=settings,
    )


def _spikes(program: Program, events: Array) -> dict[str, Array]:
    """The spikes of every population that fires."""
    trace = reference.run(program, events)
    return {layer: trace[layer].spikes for layer, op in program.neurons.items() if op.fire}


def _settings(
    graph: nir.NIRGraph, base: Contract, events: Array, own: Mapping[str, Array]
) -> dict[str, float]:
    """What each of `SETTINGS` changes alone; not those that ``base`` has, or that no graph can."""
    shares: dict[str, float] = {}
    for setting in SETTINGS:
        contract = changed(base, setting.split())
        if contract == base:
            continue
        try:
            program = to_program(graph, contract, "choice")
        except CompileError:
            continue
        shares[setting] = _share(own, _spikes(program, events))
    return shares


def _time_step(name: str, neurons: Mapping[str, Any]) -> tuple[float, str]:
    """The dt to show a preset with, and where it is from; a user has to state his own."""
    preset = PRESETS[name]
    if preset.fixed_dt:
        return preset.contract.dt, "fixed"
    usual = preset.usual_dt
    if usual is not None and contradiction(neurons, name, usual) is None:
        return usual, "its default"
    steps = [
        float(np.median(_tau(node) / node.r))
        for node in neurons.values()
        if hasattr(node, "r") and not np.allclose(node.r, 1) and np.all(node.r)
    ]
    if steps and min(steps) > 0:
        return min(steps), "the file's tau/r"
    taus = [float(np.min(_tau(node))) for node in neurons.values() if kind_of(node) not in LEAKLESS]
    return (min(taus) / 10, "a tenth of the smallest tau") if taus else (1.0, "no tau in the file")


def _tau(node: Any) -> Any:
    """The membrane's time constant; 1 of a neuron without a leak, whose gain is r dt."""
    return getattr(node, "tau", getattr(node, "tau_mem", 1.0))


def _count(program: Program) -> int:
    """The samples that one run may take: all the products of a large net count."""
    products = 0
    for node in program.nodes:
        if isinstance(node.op, (Dense, Conv2d)):
            weight = lookup(node.op.weight, program.consts).data
            products += weight.size // weight.shape[0] * program.types[node.name].size
    return max(1, min(MOST_SAMPLES, MOST_PRODUCTS // (max(products, 1) * RANDOM_STEPS)))


def _compared(choice: Choice, spikes: Mapping[str, Mapping[str, Array]]) -> Choice:
    own = spikes[choice.name]
    shares = {other: _share(own, its) for other, its in spikes.items() if other != choice.name}
    return dataclasses.replace(choice, differs=shares)


def _share(one: Mapping[str, Array], other: Mapping[str, Array]) -> float:
    """Of all neurons and steps in which either fires, those in which they do otherwise."""
    fired = sum(int(((one[n] > 0) | (other[n] > 0)).sum()) for n in one)
    unlike = sum(int((one[n] != other[n]).sum()) for n in one)
    return unlike / fired if fired else 0.0
