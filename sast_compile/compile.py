"""The straight line: a model and a target in, a compiled artifact out.

Read `lower` first: every pass of the target's list in order, the program checked after each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from msgspec import UNSET
from msgspec.structs import replace as with_fields

from sast_compile.artifact import Artifact, Golden, Provenance
from sast_compile.backends import reference
from sast_compile.calibration import Calibrate, calibrated_on, calibration_samples
from sast_compile.catalog import DEFAULT_TARGET, suggestion
from sast_compile.contract import Contract
from sast_compile.errors import CompileError
from sast_compile.execute import execute
from sast_compile.frontend.source import Source, read_source
from sast_compile.ir.ops import Projection, lookup
from sast_compile.ir.program import Program, check
from sast_compile.ir.types import Array, Int
from sast_compile.levels import hard_spikes
from sast_compile.passes import PASSES, Calibration, Note, Options, Rounding
from sast_compile.samples import Samples, samples_for
from sast_compile.target import Target, parse_target, read_target_text
from sast_compile.version import __version__

GOLDEN_SAMPLES = 8
BITS = range(2, 9)


@dataclass(frozen=True)
class Step:
    """One pass as it ran: the program after it, and what it changed."""

    name: str
    program: Program
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Compiled:
    """A model on its way to the chip; ``artifact`` is None if the passes were stopped early."""

    source: Source
    target: Target
    steps: tuple[Step, ...]
    artifact: Artifact | None


def compile_model(
    model: str | os.PathLike[str],
    target: str = DEFAULT_TARGET,
    bits: int = 8,
    contract: Contract | None = None,
    stop_after: str | None = None,
    feedback: int | None = None,
    event_rate: float | None = None,
    rounding: Rounding | None = None,
    calibrate: Calibrate = None,
    bits_of: Mapping[str, int] | None = None,
) -> Compiled:
    """The model at ``model`` for the target of that name or path, at ``bits`` bits.

    A `.pt` or `.nir` is quantised; the integers of a `.net` are taken as they are.

    ``contract`` states the discretisation of a NIR graph that carries none; ``feedback`` makes the
    loops of a `.nir` look back so many steps; ``event_rate`` is the largest share of an input's
    elements that is active in one step, for which overflow is then excluded; ``stop_after`` names
    the last pass to run. ``rounding`` (`passes/lowered.py`) says how floats become integers: by
    default as the network was trained, to the nearest behind a hardware stage, else by what v errs
    at the threshold, on the events that ``calibrate`` names (`calibration.py`). ``bits_of`` names
    populations whose weights have other bits than ``bits``.
    Raises CompileError, saying where, what, and the way out.
    """
    for width in (bits, *(bits_of or {}).values()):
        check_bits(width)
    target_text = read_target_text(target)
    chip = parse_target(target_text, target)
    source = read_source(model, contract, feedback)
    encoding = source.contract.encoding
    if event_rate is not None and not 0 < event_rate <= 1:
        raise CompileError(f"an event rate of {event_rate} is no share", hint="above 0, up to 1")
    if bits_of and not source.has_floats:
        raise CompileError("holds integers already: they keep their bits", where=source.path)
    if rounding is None:
        rounding = "nearest" if source.as_chip and calibrate is None else "membrane"
    steps_known = encoding.steps if encoding else None
    options = Options(bits, steps_known, event_rate, rounding, bits_of=bits_of or {})
    samples = calibration_samples(source, calibrate, rounding)
    calibrated = replace(options, calibration=_calibration(samples, chip, options))
    steps = lower(source.program, chip, calibrated, stop_after)
    if stop_after is not None and stop_after != chip.passes[-1]:
        return Compiled(source, chip, steps, None)
    program = _integer(steps[-1].program, chip)
    widths = {name: options.bits_for(name) for name in program.neurons}
    provenance = Provenance(
        source=source.path,
        source_sha256=source.sha256,
        bits=max(widths.values(), default=bits) if source.has_floats else _widest(program),
        data=source.dataset,
        event_rate=UNSET if event_rate is None else event_rate,
        rounding=rounding if source.has_floats else UNSET,
        calibration=UNSET if samples is None else calibrated_on(samples),
        bits_of=widths if len(set(widths.values())) > 1 else UNSET,
        versions={"sast-compile": __version__, **{n: version(n) for n in ("numpy", "nir")}},
    )
    artifact = Artifact(program, target_text, source.contract, provenance, _golden(source, program))
    return Compiled(source, chip, steps, artifact)


def check_bits(bits: int) -> None:
    """Raises CompileError unless a weight may have so many bits."""
    if not isinstance(bits, int) or bits not in BITS:
        raise CompileError(f"{bits}-bit weights are out of range", hint="2 to 8 bits")


def lower(
    program: Program, target: Target, options: Options, stop_after: str | None = None
) -> tuple[Step, ...]:
    """Every pass of ``target`` on ``program`` (up to ``stop_after``), each with a legal program."""
    _check_names(target, stop_after)
    steps: list[Step] = []
    for name in target.passes:
        lowered = PASSES[name](program, target, options)
        program = check(lowered.program)
        steps.append(Step(name, program, lowered.notes))
        if name == stop_after:
            break
    return tuple(steps)


def _calibration(samples: Samples | None, target: Target, options: Options) -> Calibration | None:
    """``samples`` with the rest of the way to integers, for the layers behind to see."""
    if samples is None:
        return None
    rest = target.passes[target.passes.index("quantize_weights") :]

    def spikes(program: Program) -> dict[str, Array]:
        whole = lower(program, with_fields(target, passes=rest), options)[-1].program
        return {name: layer.spikes for name, layer in execute(whole, samples.events).layers.items()}

    return Calibration(samples.events, samples.origin, spikes)


def _widest(program: Program) -> int:
    """The bits of the widest weight: those of integers that are taken as they are."""
    types = [lookup(n.op.weight, program.consts).type for n in program.nodes
             if isinstance(n.op, Projection)]  # fmt: skip
    return max((t.element.bits for t in types if isinstance(t.element, Int)), default=1)


def _integer(program: Program, target: Target) -> Program:
    """``program``, if every population computes in integers."""
    for name, neuron in program.neurons.items():
        if neuron.is_float:
            raise CompileError(
                f"is still a float neuron after {target.name}'s passes",
                where=name,
                hint=f"its list lacks one of {', '.join(PASSES)}",
            )
    return program


def _check_names(target: Target, stop_after: str | None) -> None:
    for name in target.passes:
        if name not in PASSES:
            raise CompileError(
                f"pass {name!r} does not exist", where=target.name, hint=suggestion(name, PASSES)
            )
    if stop_after is not None and stop_after not in target.passes:
        hint = suggestion(stop_after, target.passes)
        raise CompileError(f"{target.name} runs no pass {stop_after!r}", hint=hint)


def _golden(source: Source, program: Program) -> Golden:
    samples = samples_for(program, source.contract, source.dataset, GOLDEN_SAMPLES)
    events = np.ascontiguousarray(samples.events)
    trace = reference.run(program, events)
    spikes = {name: trace[name].spikes for name in program.neurons}
    return Golden(events, spikes, dict(hard_spikes(source, events) or {}))
