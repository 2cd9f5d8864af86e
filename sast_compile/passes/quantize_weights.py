"""Weights as the chip's integers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sast_compile.errors import TargetLimit
from sast_compile.ir.ops import Projection
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const, Float, Int, TensorType
from sast_compile.passes.feeders import feeders
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import Grid, Target

SMALLEST_CLIP, CLIPS = 0.1, 91  # of the largest weight; the candidates include 1, max-abs itself


def quantize_weights(program: Program, target: Target, options: Options) -> Lowered:
    """Every weight is ``w scale`` with an integer w on the grid that needs ``options.bits`` bits.

    The projections into one population share their scale, for the chip adds their integers. The
    scale is the one with the least squared error among the largest weight over the largest integer
    (max-abs), smaller ones, which clip some weights (max-abs at 2 bits would round nearly all to
    0), and a power of two: weights ``k 2^-j`` that fit the grid stay exactly what they are.
    """
    if options.bits not in target.weights.bits:
        allowed = ", ".join(map(str, target.weights.bits))
        raise TargetLimit(
            f"{options.bits}-bit weights do not exist on {target.name}",
            where=program.name,
            hint=f"{allowed} bits",
        )
    consts: dict[str, Const] = {}
    notes: list[Note] = []
    for name in program.neurons:
        weights = _float_weights(program, feeders(program, name))
        if not weights:
            continue
        element = _element(
            name, np.concatenate([w.ravel() for w in weights.values()]), target, options
        )
        scale = best_scale(np.concatenate([w.ravel() for w in weights.values()]), element)
        for const_name, weight in weights.items():
            integers = np.clip(np.rint(weight / scale), element.low, element.high)
            consts[const_name] = Const(TensorType(weight.shape, element, scale), integers)
            notes.append(_note(const_name, weight, integers, element, scale))
    return Lowered(program.with_ops({}, consts), tuple(notes))


def best_scale(weights: npt.NDArray[np.float64], element: Int) -> float:
    """The scale with the least squared error of ``weights`` on the grid of ``element``."""
    largest = float(np.abs(weights).max()) or 1.0
    clipping = largest / element.high * np.linspace(SMALLEST_CLIP, 1, CLIPS)[::-1]
    candidates = [_power_of_two(weights, element), *clipping.tolist()]  # the first of equals wins
    return float(min(candidates, key=lambda scale: _squared_error(weights, element, scale)))


def _power_of_two(weights: npt.NDArray[np.float64], element: Int) -> float:
    """The least power of two that clips no weight; it divides every other such power."""
    needed = max(float(weights.max()) / element.high, 0.0)
    if element.low:
        needed = max(needed, float(weights.min()) / element.low)
    mantissa, exponent = math.frexp(needed or 1.0)
    return math.ldexp(1.0, exponent - (mantissa == 0.5))


def _squared_error(weights: npt.NDArray[np.float64], element: Int, scale: float) -> float:
    grid = np.clip(np.rint(weights / scale), element.low, element.high)
    return float(((grid * scale - weights) ** 2).sum())


def _float_weights(program: Program, names: list[str]) -> dict[str, npt.NDArray[np.float64]]:
    refs = [op.weight.name for n in names if isinstance(op := program.by_name[n].op, Projection)]
    consts = {ref: program.consts[ref] for ref in refs}
    return {ref: c.data for ref, c in consts.items() if isinstance(c.type.element, Float)}


def _element(name: str, weights: npt.NDArray[np.float64], target: Target, options: Options) -> Int:
    """An unsigned grid where no weight is negative and the chip has one, else the signed grid."""
    unsigned = any(not grid.signed for grid in target.weights.grids.values())
    element = Int(options.bits, signed=not (unsigned and weights.min() >= 0))
    if element.high < 1:
        raise TargetLimit(
            f"{options.bits}-bit integers hold no positive weight",
            where=name,
            hint=f"{options.bits + 1} bits or more",
        )
    return element


def grid_of(target: Target, element: Int) -> Grid:
    """The target's grid for weights of this signedness."""
    return next(g for g in target.weights.grids.values() if g.signed == element.signed)


def _note(
    name: str,
    weight: npt.NDArray[np.float64],
    integers: npt.NDArray[np.float64],
    element: Int,
    scale: float,
) -> Note:
    clipped = int((np.rint(weight / scale) != integers).sum())
    lost = int(((integers == 0) & (weight != 0)).sum())
    noise = float(((weight - integers * scale) ** 2).sum())
    numbers = {"scale": scale, "clipped": clipped, "zeroed": lost, "n": weight.size}
    if noise:
        numbers["sqnr_db"] = 10 * math.log10(float((weight**2).sum()) / noise)
    fidelity = f"SQNR {numbers['sqnr_db']:.1f} dB" if noise else "exact"
    return Note(
        name,
        f"{element}, scale {scale:.6g}, {fidelity}, {clipped} of {weight.size} clipped, "
        f"{lost} rounded to 0",
        numbers,
    )
