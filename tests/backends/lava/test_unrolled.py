"""Pools in front of a projection as a part of its synapses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sast_compile.backends.lava.unrolled import Matrix, unrolled
from sast_compile.backends.lava.weights import stored
from sast_compile.errors import TargetLimit
from sast_compile.ir.conv import Conv2d, convolve
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Dense, Flatten, Input, lookup
from sast_compile.ir.pool import SumPool2d, sum_pool
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType

RNG = np.random.default_rng(3)
SHAPE = (2, 7, 6)


def program(weight: np.ndarray, bits: int, *pools: SumPool2d) -> Program:
    """x -> pools -> a convolution, or a flatten and a matrix."""
    nodes = [Node("x", Input(shape=SHAPE))]
    for number, pool in enumerate(pools):
        nodes.append(Node(f"pool{number}", pool, (Edge(nodes[-1].name),)))
    if weight.ndim == 2:
        nodes.append(Node("flat", Flatten(), (Edge(nodes[-1].name),)))
        op: Dense | Conv2d = Dense(weight=Ref("w"))
    else:
        op = Conv2d(weight=Ref("w"), padding=((1, 1), (1, 1)))
    nodes.append(Node("fc", op, (Edge(nodes[-1].name),)))
    consts = {"w": Const(TensorType(weight.shape, Int(bits)), weight)}
    return check(Program("pools", tuple(nodes), ("fc",), consts))


def matrix(given: Program) -> np.ndarray:
    node = given.by_name["fc"]
    pools = tuple(n for n in given.nodes if isinstance(n.op, SumPool2d))
    op = node.op
    assert isinstance(op, (Dense, Conv2d))
    found = unrolled(given, node, pools, stored("fc", lookup(op.weight, given.consts)))
    if not isinstance(found, Matrix):
        return found
    dense = np.zeros(found.shape, np.int64)
    np.add.at(dense, (found.rows, found.columns), found.values)
    assert len({*zip(found.rows.tolist(), found.columns.tolist(), strict=True)}) == len(found.rows)
    return dense


HALF = SumPool2d(kernel=(2, 2), stride=(2, 2))
OVERLAPPING = SumPool2d(kernel=(3, 3), stride=(1, 1), padding=((1, 1), (1, 1)))


@pytest.mark.parametrize("pools", [(HALF,), (OVERLAPPING,), (OVERLAPPING, HALF)], ids=len)
@pytest.mark.parametrize("flat", [True, False], ids=["matrix", "kernel"])
def test_the_matrix_is_the_map(pools: tuple[SumPool2d, ...], flat: bool) -> None:
    shape = (
        sum_pool(pools[-1], sum_pool(pools[0], np.zeros((1, *SHAPE)))).shape
        if len(pools) > 1
        else sum_pool(pools[0], np.zeros((1, *SHAPE))).shape
    )
    size = (4, math.prod(shape)) if flat else (3, 2, 3, 3)
    weight = RNG.integers(-8, 8, size)  # of 8 bits: sums of some fit too
    given = program(weight, 8, *pools)
    x = RNG.integers(0, 2, (30, *SHAPE))
    y = x
    for pool in pools:
        y = sum_pool(pool, y)
    op = given.by_name["fc"].op
    wanted = y.reshape(30, -1) @ weight.T if flat else convolve(op, y, weight).reshape(30, -1)
    assert np.array_equal(x.reshape(30, -1) @ matrix(given).T, 2 * wanted)  # 8 bits: step 1
    assert wanted.any()


def test_sums_beyond_the_grid_are_refused() -> None:
    weight = np.full((4, math.prod(SHAPE)), 100)
    message = r"^fc: the windows of pool0 overlap, .* add up to 0..1800; a synapse holds -256..254"
    with pytest.raises(TargetLimit, match=message):
        matrix(program(weight, 8, OVERLAPPING))
