"""Ranges under a stated event rate: never exceeded by an input that keeps to it, and met by one."""

from __future__ import annotations

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, float_chain, lowered
from hypothesis import given, settings
from hypothesis import strategies as st

from sast_compile.backends.reference import run
from sast_compile.errors import TargetLimit
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.events import busiest
from sast_compile.ir.neuron import Clamp, Fire, Ref, Reset, State
from sast_compile.ir.ops import Dense, Input, Neuron
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.ranges import at_rate, reaches
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.passes import PASSES, Options

WIDE = Clamp(rule="saturate", low=-(2**30), high=2**30)


def summing(op: Dense | Conv2d, weight: np.ndarray, shape: tuple[int, ...]) -> Program:
    """The sums of one projection as the voltages of neurons that forget at once."""
    consts = {"w": Const(TensorType(weight.shape, Int(8)), weight)}
    x = Node("x", Input(shape=shape))
    a = Node("a", op, (Edge("x"),))
    out = op.result(consts, TensorType(shape, Int(1, signed=False))).shape
    neuron = Neuron(
        shape=out,
        voltage=State(clamp=WIDE),
        fire=Fire(compare=">=", threshold=2**29),
        reset=Reset(kind="zero"),
    )
    return check(Program("sums", (x, a, Node("n", neuron, (Edge("a"),))), ("n",), consts))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rate=st.sampled_from([0.05, 0.2, 0.5, 1.0]))
def test_no_sparse_input_exceeds_the_bound_and_the_worst_one_meets_it(
    seed: int, rate: float
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-100, 100, (3, 20))
    program = summing(Dense(weight=Ref("w")), weight, (20,))
    (current,) = reaches(program, 1, rate)["n"].currents
    count = at_rate(20, rate)
    assert count is not None
    for row in range(3):
        best = np.argsort(weight[row])[::-1][:count]
        x = np.zeros((1, 1, 20), np.uint8)
        x[0, 0, best[weight[row][best] > 0]] = 1
        assert run(program, x, "states")["n"].states["v"][0, 0, row] == current.high[row]
        assert busiest(program, x) <= rate + 1e-12 or rate * 20 < 1
    for _ in range(20):
        x = np.zeros((1, 1, 20), np.uint8)
        x[0, 0, rng.choice(20, count, replace=False)] = 1
        v = run(program, x, "states")["n"].states["v"][0, 0]
        assert (current.low <= v).all()
        assert (v <= current.high).all()


@pytest.mark.parametrize("rate", [0.03, 0.2, 1.0])
def test_a_kernel_sees_no_more_events_than_there_are(rate: float) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-100, 100, (4, 2, 3, 3))
    op = Conv2d(weight=Ref("w"), padding=((1, 1), (1, 1)))
    program = summing(op, weight, (2, 6, 6))
    (current,) = reaches(program, 1, rate)["n"].currents
    (free,) = reaches(program, 1)["n"].currents
    assert (current.high <= free.high).all()
    assert (current.high < free.high).any() is np.bool_(rate < 0.2)
    count = at_rate(72, rate)
    assert count is not None
    for _ in range(200):
        x = np.zeros((1, 1, 72), np.uint8)
        x[0, 0, rng.choice(72, count, replace=False)] = 1
        v = run(program, x.reshape(1, 1, 2, 6, 6), "states")["n"].states["v"][0, 0]
        assert (current.low <= v).all()
        assert (v <= current.high).all()


def test_a_wide_layer_fits_where_few_inputs_fire() -> None:
    layer = FloatLayer(np.full((1, 3000), -1.0), alpha=0.5, threshold=1.0)
    program = float_chain(layer)
    with pytest.raises(TargetLimit, match="--event-rate if never so many fire at once"):
        lowered(program, LOIHI2.passes, steps=8)
    for name in LOIHI2.passes:
        result = PASSES[name](program, LOIHI2, Options(8, 8, 0.05))
        program = result.program
    assert "any input with at most 0.05 of its elements active in a step" in result.notes[0].text
