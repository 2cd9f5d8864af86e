"""The scale of a population's weights: one for all rows, or a few, or one each.

One step of the grid is worth ``scale`` model units. A smaller one rounds finer and clips more. The
candidates are a ladder below max-abs (the largest weight over the largest integer), each moved so
little that the threshold is a whole number of its register's steps: then only the weights are
rounded, and every exponent above keeps it exact.

Rows may differ in scale where their neurons may differ in threshold, for ``W s > theta`` is
``(W / q) s > theta / q``. A chip with one threshold for a population holds one for each part of it;
of the ladder those scales are taken under which all rows together err least, each with the best of
them. Weights that lie on a grid of powers of two keep that one scale: they lose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.ir.types import Int
from sast_compile.passes.feeders import Floats
from sast_compile.passes.membrane_error import Nearest, Objective

Integers: TypeAlias = npt.NDArray[np.int32]
RUNGS, PER_OCTAVE = 13, 4  # down to 1/8 of max-abs


@dataclass(frozen=True, eq=False)
class Block:
    """The weights of one projection as rows (rows, inputs), and how v errs if they are rounded."""

    rows: Floats
    objective: Objective


@dataclass(frozen=True, eq=False)
class Rounded:
    """Integers for every block, the scale of each row, and the mean square error of v of each."""

    integers: tuple[Integers, ...]
    scales: Floats
    errors: Floats


def chosen(
    blocks: Sequence[Block], element: Int, parts: int, register: float | None = None
) -> Rounded:
    """The rounding with the least error of v, in at most ``parts`` scales.

    ``register``: the threshold's register, were a step of the grid 1 model unit. Blocks that differ
    in their number of rows have one scale, and an error for all rows together.
    """
    largest = max(float(np.abs(block.rows).max()) for block in blocks) or 1.0
    ladder = largest / element.high * 2.0 ** (-np.arange(RUNGS) / PER_OCTAVE)
    scales = [power_of_two([b.rows for b in blocks], element), *_dividing(ladder, register)]
    tried = [at_scale(blocks, element, scale) for scale in scales]
    errors = np.array([rounded.errors for rounded in tried])
    kept = _best(errors, parts)
    choice = kept[errors[kept].argmin(axis=0)]
    return Rounded(
        tuple(_picked([t.integers[i] for t in tried], choice) for i in range(len(blocks))),
        np.array(scales)[choice],
        errors[choice, np.arange(len(choice))],
    )


def power_of_two(blocks: Sequence[Floats], element: Int) -> float:
    """The least power of two that clips no weight; it divides every other such power."""
    needed = max(max(float(rows.max()) for rows in blocks) / element.high, 0.0)
    if element.low:
        needed = max(needed, min(float(rows.min()) for rows in blocks) / element.low)
    mantissa, exponent = math.frexp(needed or 1.0)
    return math.ldexp(1.0, exponent - (mantissa == 0.5))


def _dividing(ladder: Floats, register: float | None) -> list[float]:
    """The ladder, each scale moved to the nearest under which ``register / scale`` is whole."""
    if register is None:
        return [float(scale) for scale in ladder]
    return [register / max(round(register / scale), 1) for scale in ladder.tolist()]


def at_scale(blocks: Sequence[Block], element: Int, scale: float) -> Rounded:
    """All blocks at one scale."""
    integers: list[Integers] = []
    errors: list[Floats] = []
    for block in blocks:
        rounded, error = rounded_rows(block, element, scale)
        integers.append(rounded.astype(np.int32))
        errors.append(error)
    alike = len({len(block.rows) for block in blocks}) == 1
    by_row = np.sum(errors, axis=0) if alike else np.array([sum(e.sum() for e in errors)])
    return Rounded(tuple(integers), np.full(len(by_row), scale), by_row)


def rounded_rows(block: Block, element: Int, scale: float) -> tuple[Floats, Floats]:
    """Integers for every row at one scale, and their errors: those of the nearest or less.

    A row of equal weights stays one, of the nearest: it is a pool or a factor.
    """
    steps, objective = block.rows / scale, block.objective
    found, nearest = objective.rounded(steps, element), Nearest().rounded(steps, element)
    errors, usual = objective.error(steps - found), objective.error(steps - nearest)
    kept = (usual < errors) | (steps.min(axis=1) == steps.max(axis=1))
    return np.where(kept[:, None], nearest, found), np.where(kept, usual, errors) * scale**2


def _best(errors: Floats, parts: int) -> npt.NDArray[np.int64]:
    """The fewest scales, at most ``parts``, among which the rows together err least."""
    tried, rows = errors.shape
    if parts >= rows:
        return np.arange(tried)
    subsets = (s for size in range(1, parts + 1) for s in combinations(range(tried), size))
    return np.array(min(subsets, key=lambda subset: float(errors[list(subset)].min(axis=0).sum())))


def _picked(tried: list[Integers], choice: npt.NDArray[np.int64]) -> Integers:
    """Of every row the integers under its own scale."""
    if len(choice) != len(tried[0]):  # one scale for all
        return tried[int(choice[0])]
    return np.stack([tried[int(k)][row] for row, k in enumerate(choice)])
