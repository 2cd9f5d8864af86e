"""Weights as the chip's integers, at the scale and rounding under which v errs least.

What is minimised, `membrane_error.py`; over which scales, `choose_scales.py`; on which events,
`arriving.py`. With calibration the populations are taken one after the other, and each sees the
spikes of the integers in front of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sast_compile.catalog import suggestion
from sast_compile.errors import CompileError, TargetLimit
from sast_compile.ir.events import by_input
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Dense, Flatten, Projection
from sast_compile.ir.program import Node, Program
from sast_compile.ir.types import Array, Const, Float, Int, TensorType, scale_column
from sast_compile.passes.arriving import arriving, second_moments
from sast_compile.passes.choose_scales import Block, Integers, Rounded, at_scale, chosen
from sast_compile.passes.feeders import Floats, feeders, numbers_of
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.passes.membrane_error import Groups, Independent, Measured, Nearest, Objective
from sast_compile.passes.nearest_scale import best_scale
from sast_compile.passes.responses import impulse_response, leaks
from sast_compile.target import Grid, Target

RATE = (
    0.1  # of independent spikes, where no events are given: what rounds well hardly depends on it
)
CLIPS = 2  # bits of a grid on which weights are clipped rather than rounded: -2..1
MOST_INPUTS = 4096  # of a second moment that is measured


def quantize_weights(program: Program, target: Target, options: Options) -> Lowered:
    """Every weight is ``w scale`` with an integer w on the grid of its population's bits.

    The projections into one population share their scales, for the chip adds their integers; rows
    have scales of their own where the target can compare them with thresholds of their own.
    Weights ``k 2^-j`` that fit the grid stay exactly what they are.
    """
    _check_bits(program, target, options)
    notes: list[Note] = []
    for name in program.neurons:
        drives = _drives(program, name)
        if drives:
            element = _element(name, drives, target, options)
            rounded, basis = _rounded(program, name, drives, element, target, options)
            consts = _consts(drives, element, rounded)
            notes += _notes(program, name, consts, rounded, basis)
            program = program.with_ops({}, consts)
    return Lowered(program, tuple(notes))


def _check_bits(program: Program, target: Target, options: Options) -> None:
    """Raises CompileError for bits of no population here, TargetLimit for those the chip lacks."""
    for name in options.bits_of:
        if name not in program.neurons:
            raise CompileError(
                f"has no layer {name!r} to give {options.bits_of[name]} bits",
                where=program.name,
                hint=suggestion(name, program.neurons),
            )
    for name in program.neurons:
        if options.bits_for(name) not in target.weights.bits:
            raise TargetLimit(
                f"{options.bits_for(name)}-bit weights do not exist on {target.name}",
                where=name if name in options.bits_of else program.name,
                hint=f"{', '.join(map(str, target.weights.bits))} bits",
            )


@dataclass(frozen=True)
class _Drive:
    """The weights of one projection that are still floats."""

    feeder: str
    const: str
    data: Floats


def _drives(program: Program, name: str) -> list[_Drive]:
    """The projections of float weights into ``name``; a weight that two share is listed once."""
    found: dict[str, _Drive] = {}
    for feeder in feeders(program, name):
        op = program.by_name[feeder].op
        assert isinstance(op, Projection)
        weight = program.consts[op.weight.name]
        if isinstance(weight.type.element, Float):
            found.setdefault(op.weight.name, _Drive(feeder, op.weight.name, weight.data))
    return list(found.values())


def _element(name: str, drives: list[_Drive], target: Target, options: Options) -> Int:
    """An unsigned grid where no weight is negative and the chip has one, else the signed grid."""
    least = min(float(drive.data.min()) for drive in drives)
    unsigned = any(not grid.signed for grid in target.weights.grids.values())
    element = Int(options.bits_for(name), signed=not (unsigned and least >= 0))
    if element.high < 1:
        raise TargetLimit(
            f"{element.bits}-bit integers hold no positive weight",
            where=name,
            hint=f"{element.bits + 1} bits or more",
        )
    return element


def grid_of(target: Target, element: Int) -> Grid:
    """The target's grid for weights of this signedness."""
    return next(g for g in target.weights.grids.values() if g.signed == element.signed)


def _rounded(
    program: Program,
    name: str,
    drives: list[_Drive],
    element: Int,
    target: Target,
    options: Options,
) -> tuple[Rounded, str]:
    """The integers of every drive, and in words under what they err least."""
    if options.rounding == "nearest":
        rows = [_rows(drive) for drive in drives]
        scale = best_scale(np.concatenate([r.ravel() for r in rows]), element)
        return at_scale([Block(r, Nearest()) for r in rows], element, scale), ""
    together = _together(program, drives)
    sent, basis = _sent(program, together, element, options)
    blocks = [
        Block(
            np.concatenate([_rows(drive) for drive in some], axis=1),
            _objective(program, name, some, sent, element, options.steps),
        )
        for some in together
    ]
    parts = _parts(program, name, target)
    found = chosen(blocks, element, parts, _register(program, name, element, target))
    return replace(found, integers=tuple(_apart(together, found.integers))), basis


def _rows(drive: _Drive) -> Floats:
    return drive.data.reshape(len(drive.data), -1)


def _together(program: Program, drives: list[_Drive]) -> list[list[_Drive]]:
    """The drives whose rows are one: dense ones, all of whose inputs every neuron hears."""
    dense = [isinstance(program.by_name[drive.feeder].op, Dense) for drive in drives]
    return [drives] if all(dense) else [[drive] for drive in drives]


def _apart(together: list[list[_Drive]], integers: tuple[Integers, ...]) -> Iterator[Integers]:
    """The columns of joined rows, drive by drive."""
    for some, joined in zip(together, integers, strict=True):
        ends = np.cumsum([drive.data[0].size for drive in some])[:-1]
        yield from np.split(joined, ends, axis=1)


def _sent(
    program: Program, together: list[list[_Drive]], element: Int, options: Options
) -> tuple[dict[str, Array], str]:
    """The calibration events and spikes by name, if any; and in words what is assumed."""
    calibration = options.calibration
    widest = max(sum(drive.data[0].size for drive in some) for some in together)
    if calibration is None or widest > MOST_INPUTS:
        wide = "" if calibration is None else f": more than {MOST_INPUTS} inputs"
        if element.bits <= CLIPS:
            return {}, f"each weight by itself{wide}"
        return {}, f"independent spikes, {RATE:g} a step{wide}"
    given = by_input(program, calibration.events)
    events = {key: np.asarray(data) for key, data in given.items()}
    return {**events, **calibration.spikes(program)}, calibration.origin


def _objective(
    program: Program,
    name: str,
    drives: list[_Drive],
    sent: Mapping[str, Array],
    element: Int,
    steps: int | None,
) -> Objective:
    """How v errs if the joined rows of ``drives`` are rounded.

    Where weights are clipped, inputs that fire at one rate are no model to make it good by: those
    with large weights fire less. Without events each is then rounded by itself.
    """
    kept = leaks(program, program.neurons[name])
    if not sent and element.bits <= CLIPS:
        return Nearest()
    if not sent:
        return Independent.at_rate(RATE, impulse_response(kept, steps))
    seen = [arriving(program, drive.feeder, sent) for drive in drives]
    op = program.by_name[drives[0].feeder].op
    assert isinstance(op, Projection)
    events = seen[0] if isinstance(op, Conv2d) else np.concatenate(seen, axis=2)
    shape = drives[0].data.shape
    moments = [Measured(m) for m in second_moments(op, shape, events, kept)]
    return moments[0] if len(moments) == 1 else Groups(tuple(moments))


def _parts(program: Program, name: str, target: Target) -> int:
    """How many scales the rows of ``name``'s weights may have."""
    neuron = program.neurons[name]
    apart = any(isinstance(node.op, Flatten) for node in _between(program, name))
    if neuron.fire is None or apart:  # v is read out; what is flattened has one scale
        return 1
    if target.neurons.scope == "neuron":
        return neuron.shape[0]
    return 1 if isinstance(neuron.fire.threshold, Ref) else target.threshold.parts


def _between(program: Program, name: str) -> Iterator[Node]:
    """The nodes between a population and the projections that drive it."""
    for edge in program.by_name[name].inputs:
        if not isinstance(program.by_name[edge.node].op, Projection):
            yield program.by_name[edge.node]
            yield from _between(program, edge.node)


def _register(program: Program, name: str, element: Int, target: Target) -> float | None:
    """The threshold's register, were a step of the grid 1; None for a threshold per neuron."""
    fire, synapse = program.neurons[name].fire, target.neurons.synapse
    if fire is None or isinstance(fire.threshold, Ref):
        return None
    gain = (synapse.gain if synapse else 1) * target.neurons.voltage.gain
    spare = grid_of(target, element).top_bits - element.bits
    return float(fire.threshold) * gain * 2.0**spare / target.threshold.unit


def _consts(drives: list[_Drive], element: Int, rounded: Rounded) -> dict[str, Const]:
    """The integers as constants; a scale for each row only where they differ."""
    same = bool((rounded.scales == rounded.scales[0]).all())
    scale = float(rounded.scales[0]) if same else tuple(rounded.scales.tolist())
    return {
        drive.const: Const(
            TensorType(drive.data.shape, element, scale), integers.reshape(drive.data.shape)
        )
        for drive, integers in zip(drives, rounded.integers, strict=True)
    }


def _notes(
    program: Program,
    name: str,
    consts: Mapping[str, Const],
    rounded: Rounded,
    basis: str,
) -> Iterator[Note]:
    scales = np.unique(rounded.scales)
    many = len(scales) > 1
    shown = f"{len(scales)} scales {scales[0]:.4g}..{scales[-1]:.4g}" if many else ""
    fire = program.neurons[name].fire
    rows = len(next(iter(consts.values())).data)
    off = math.sqrt(float(rounded.errors.sum()) / rows)
    for key, const in consts.items():
        numbers, fidelity = _fidelity(program.consts[key].data, const)
        numbers |= {"scales": len(scales)} if many else {"scale": float(scales[0])}
        text = f"{const.type.element}, {shown or f'scale {scales[0]:.6g}'}, {fidelity}"
        if "sqnr_db" in numbers and basis.startswith("each"):
            text += f" ({basis})"
        elif "sqnr_db" in numbers and fire is not None and basis:
            height = float(np.abs(numbers_of(program, fire.threshold)).mean())
            numbers["membrane_error"] = off / height
            text += f"; v errs by {off / height:.2%} of the threshold ({basis})"
        yield Note(key, text, numbers)


def _fidelity(weight: Floats, const: Const) -> tuple[dict[str, float], str]:
    """How near the integers are to their floats, in numbers and in words."""
    step = scale_column(const.type)
    element = const.type.element
    assert isinstance(element, Int)
    steps = weight / step
    clipped = int(((steps > element.high + 0.5) | (steps < element.low - 0.5)).sum())
    lost = int(((const.data == 0) & (weight != 0)).sum())
    noise = float(((weight - const.data * step) ** 2).sum())
    numbers: dict[str, float] = {"clipped": clipped, "zeroed": lost, "n": weight.size}
    if noise:
        numbers["sqnr_db"] = 10 * math.log10(float((weight**2).sum()) / noise)
    fidelity = f"SQNR {numbers['sqnr_db']:.1f} dB" if noise else "exact"
    return numbers, f"{fidelity}, {clipped} of {weight.size} clipped, {lost} rounded to 0"
