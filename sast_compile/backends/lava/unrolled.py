"""Projections as sparse matrices: convolutions synapse by synapse, with the pools before them.

A pool of Lava's own would be a connection with a step of its own. Its windows are a part of the
projection behind it instead: where a window ends in one weight, every element of it has that
weight; where windows overlap, an element has the sum of the weights it ends in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_compile.backends.lava.weights import GRIDS, Stored
from sast_compile.errors import TargetLimit
from sast_compile.ir.conv import geometry, synapses
from sast_compile.ir.ops import Conv2d, Dense, SumPool2d
from sast_compile.ir.pool import pool_synapses
from sast_compile.ir.program import Node, Program

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A sparse matrix by its entries: ``values[i]`` at (``rows[i]``, ``columns[i]``)."""

    shape: tuple[int, int]
    rows: Indices
    columns: Indices
    values: npt.NDArray[np.int32]


def unrolled(
    program: Program, node: Node, pools: tuple[Node, ...], held: Stored
) -> npt.NDArray[np.int32] | Matrix:
    """The weights of ``node`` for what the first of ``pools`` reads; a dense matrix as it is.

    Lava's Conv has no weight exponent, so a convolution is for Sparse. Raises TargetLimit if the
    sums of overlapping windows leave the grid.
    """
    op = node.op
    assert isinstance(op, (Dense, Conv2d))
    if isinstance(op, Dense) and not pools:
        return held.values
    found = _dense(held.values) if isinstance(op, Dense) else _convolved(program, node, held.values)
    for pool in reversed(pools):
        found = _pooled(program, pool, found)
    if pools:
        _check_grid(node.name, pools, found, held)
    return found


def _dense(weights: npt.NDArray[np.int32]) -> Matrix:
    rows, columns = np.nonzero(weights)
    outputs, inputs = weights.shape
    return Matrix((outputs, inputs), rows, columns, weights[rows, columns])


def _convolved(program: Program, node: Node, kernel: npt.NDArray[np.int32]) -> Matrix:
    assert isinstance(node.op, Conv2d)
    shape = geometry(node.op, program.types[node.inputs[0].node].shape, kernel.shape)
    rows, columns, weights = synapses(node.op, shape)
    sizes = math.prod(shape.output), math.prod(shape.input)
    return Matrix(sizes, rows, columns, kernel.ravel()[weights])


def _pooled(program: Program, pool: Node, behind: Matrix) -> Matrix:
    """``behind`` for what the pool reads: every window has the weight that its sum has."""
    assert isinstance(pool.op, SumPool2d)
    shape = program.types[pool.inputs[0].node].shape
    target, source, _ = pool_synapses(pool.op, shape)
    order = np.argsort(target, kind="stable")
    sizes = np.bincount(target, minlength=behind.shape[1])
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    count = sizes[behind.columns]
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    columns = source[order][np.repeat(first[behind.columns], count) + within]
    inputs = math.prod(shape)
    place, which = np.unique(np.repeat(behind.rows, count) * inputs + columns, return_inverse=True)
    values = np.zeros(len(place), np.int64)
    np.add.at(values, which, np.repeat(behind.values.astype(np.int64), count))
    return Matrix(
        (behind.shape[0], inputs), place // inputs, place % inputs, values.astype(np.int32)
    )


def _check_grid(name: str, pools: tuple[Node, ...], found: Matrix, held: Stored) -> None:
    low, high, _ = GRIDS[held.sign_mode]
    least, greatest = int(found.values.min(initial=0)), int(found.values.max(initial=0))
    if low <= least and greatest <= high:
        return
    raise TargetLimit(
        f"the windows of {pools[-1].name} overlap, and the weights that an element ends in add up "
        f"to {least}..{greatest}; a synapse holds {low}..{high}",
        where=name,
        hint="a pool whose stride is its kernel, or fewer bits",
    )
