"""A proof holds: no bound is ever exceeded, and in simple cases none is much too wide.

A bound is put to the test as a ``forbid`` clamp: the interpreter raises as soon as a state leaves
it, before any reset or clamp hides the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from float_programs import FloatLayer, float_chain
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from program_strategies import INTEGER_FAMILIES, events, programs

from sast_compile.backends.reference import run
from sast_compile.ir.neuron import BitShift, Clamp, Decay, Fire, MulShift, Ref, Reset, State
from sast_compile.ir.ops import Add, Dense, Flatten, Input, Neuron, Op
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.ranges import Reach, reaches
from sast_compile.ir.types import Const, Int, TensorType

Array = npt.NDArray[Any]
WIDE = Clamp(rule="saturate", low=-(2**40), high=2**40)
SILENT = Fire(compare=">", threshold=2**41)
BYTE = Clamp(rule="saturate", low=-128, high=127)


def population(
    size: int,
    voltage: State,
    *synapses: State,
    fire: Fire | None = SILENT,
    reset: Reset | None = None,
) -> Neuron:
    fires = reset or (Reset(kind="zero") if fire else None)
    return Neuron(shape=(size,), synapses=synapses, voltage=voltage, fire=fire, reset=fires)


def driven(weights: npt.ArrayLike, op: Neuron, *, bits: int = 1, exponent: int = 0) -> Program:
    """x -> a -> s, and more projections a1, a2 .. for more synapses."""
    w = np.asarray(weights)
    const = Const(TensorType(w.shape, Int(24)), w)
    count = max(1, len(op.synapses))
    dense = [
        Node(f"a{i}", Dense(weight=Ref("w"), exponent=exponent), (Edge("x"),)) for i in range(count)
    ]
    nodes = (
        Node("x", Input(shape=(w.shape[1],), bits=bits)),
        *dense,
        Node("s", op, tuple(Edge(d.name) for d in dense)),
    )
    return check(Program("driven", nodes, ("s",), {"w": const}))


def forbidding(program: Program, found: Mapping[str, Reach]) -> Program:
    """``program`` with every state whose clamp is proven idle forbidden to leave what is proven."""
    ops: dict[str, Op] = {}
    for name, op in program.neurons.items():
        reach = found[name]
        may_clamp = reach.may_clamp(op)

        def bounded(key: str, state: State, reach: Reach = reach, idle: Any = may_clamp) -> State:
            if key in idle:
                return state
            span = reach.states[key]
            low, high = math.ceil(span.least), math.floor(span.most)
            return replace(state, clamp=Clamp(rule="forbid", low=min(low, 0), high=max(high, 0)))

        *synapses, voltage = (bounded(key, state) for key, state in op.named_states())
        reset, clamp = op.reset, voltage.clamp
        assert clamp is not None
        if reset and isinstance(reset.floor, int) and reset.floor < clamp.low:
            reset = replace(reset, floor=None)  # v cannot fall to it, by the same proof
        ops[name] = replace(op, synapses=tuple(synapses), voltage=voltage, reset=reset)
    return check(program.with_ops(ops))


def assert_held(program: Program, x: Any, steps: int | None = None) -> int:
    """No state leaves its reach on ``x``; returns how many states were proven."""
    found = reaches(program, steps)
    trace = run(program, x, "states")
    proven = 0
    for name, op in program.neurons.items():
        layer, reach = trace[name], found[name]
        assert layer.tally is not None
        may_clamp = reach.may_clamp(op)
        for key, _ in op.named_states():
            span, record = reach.states[key], layer.states[key]
            assert (record >= np.floor(span.low)).all(), (name, key)
            assert (record <= np.ceil(span.high)).all(), (name, key)
            if key not in may_clamp:
                proven += 1
                assert layer.tally.clamped[key] == 0, (name, key)
    run(forbidding(program, found), x)  # raises if a value before its reset leaves the range
    return proven


def test_no_bound_of_a_random_program_is_exceeded() -> None:
    proven: list[int] = []

    @settings(max_examples=250, deadline=None)
    @given(data=st.data())
    def held(data: st.DataObject) -> None:
        program = data.draw(programs(families=INTEGER_FAMILIES))
        proven.append(assert_held(program, data.draw(events(program, samples=2, steps=10))))

    held()
    assert np.mean([p > 0 for p in proven]) > 0.25  # there was something to exceed


DECAYS: list[Decay | None] = [
    None,
    MulShift(decay=0),
    MulShift(decay=4095, offset=1),
    MulShift(decay=410),
    MulShift(decay=1, rounding="floor"),
    MulShift(decay=3000, rounding="floor"),
    MulShift(decay=3, bits=3, rounding="half_even"),
    BitShift(dash=0),
    BitShift(dash=2, min_step=1),
    BitShift(dash=4),
]
RESETS = [
    Reset(kind="zero"),
    Reset(kind="zero", when="before_decay"),
    Reset(kind="zero", floor=-3),
    Reset(kind="zero", floor=5),
    Reset(kind="subtract", amount=7),
    Reset(kind="subtract", amount=40, when="before_decay"),
    Reset(kind="subtract", amount=7, when="after_decay"),
    Reset(kind="subtract", amount=9, floor=-6),
]


def patterns(steps: int, weights: Array, highest: int) -> Array:
    """Inputs that push: all, those with a positive weight, negative, alternating, random."""
    positive, negative = (weights[0] > 0) * highest, (weights[0] < 0) * highest
    everything = np.full(weights.shape[1], highest)
    alternating = [positive if t % 2 else negative for t in range(steps)]
    late = [negative if t < steps // 2 else positive for t in range(steps)]
    random = np.random.default_rng(0).integers(0, highest, (steps, len(everything)), endpoint=True)
    rows = [[w] * steps for w in (everything, positive, negative)]
    return np.array([*rows, alternating, late, late[::-1], random])


@pytest.mark.parametrize("decay", DECAYS, ids=str)
@pytest.mark.parametrize("reset", RESETS, ids=str)
@pytest.mark.parametrize("threshold", [-4, 0, 11])
def test_no_reset_and_no_rounding_leads_out(
    decay: Decay | None, reset: Reset, threshold: int
) -> None:
    weights = np.array([[5, -3, 2, -4, 1], [1, 1, 1, -1, 0]])
    for bias, exponent, compare, limit in ((0, 0, ">", 1), (3, -1, ">=", 1), (-3, -1, ">=", 4)):
        if limit > 1 and threshold <= 0:
            continue
        voltage = State(decay=decay, bias=bias, bias_exponent=exponent, clamp=WIDE)
        fire = Fire(compare=compare, threshold=threshold, limit=limit)
        program = driven(weights, population(2, voltage, fire=fire, reset=reset), bits=2)
        x = patterns(40, weights, 3)
        for steps in (None, 40):
            assert_held(program, x, steps)


@pytest.mark.parametrize("rule", ["wrap", "wrap_once", "saturate"])
@pytest.mark.parametrize("weight", [1, 5, 90, 200, 3000])
def test_a_state_that_wraps_can_be_anywhere(rule: Any, weight: int) -> None:
    weights = np.array([[weight, weight]])
    clamp = Clamp(rule=rule, low=-100, high=100)
    for gain in (1, 2):
        synapse = State(decay=MulShift(decay=100), clamp=clamp, gain=gain)
        op = population(1, State(decay=MulShift(decay=2000), clamp=WIDE), synapse)
        assert_held(driven(weights, op), patterns(30, weights, 1))
        op = population(1, State(decay=MulShift(decay=100), clamp=clamp, gain=gain))
        assert_held(driven(weights, op), patterns(30, weights, 1))


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-100, 100), min_size=4, max_size=4), min_size=2, max_size=2),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-3, 3),
    bits=st.integers(1, 4),
    skip=st.integers(0, 2),
)
def test_currents_stay_inside_and_the_worst_input_reaches_the_end(
    rows: list[list[int]], seed: int, exponent: int, bits: int, skip: int
) -> None:
    weights, highest = np.array(rows), (1 << bits) - 1
    const = Const(TensorType(weights.shape, Int(8)), weights)
    dense = Dense(weight=Ref("w"), exponent=exponent)
    nodes = (
        Node("x", Input(shape=(2, 2), bits=bits)),
        Node("flat", Flatten(), (Edge("x"),)),
        Node("a", dense, (Edge("flat"),)),
        Node("b", dense, (Edge("flat", skip),)),
        Node("sum", Add(), (Edge("a"), Edge("b"))),
        Node("s", population(2, State(clamp=WIDE), fire=None), (Edge("sum"),)),
    )
    program = check(Program("sums", nodes, ("s",), {"w": const}))
    (current,) = reaches(program)["s"].currents
    each = (weights * highest).astype(float)
    positive, negative = np.maximum(each, 0).sum(1), np.minimum(each, 0).sum(1)
    assert np.array_equal(current.high, 2 * np.floor(positive * 2.0**exponent))
    assert np.array_equal(current.low, 2 * np.floor(negative * 2.0**exponent))
    x = np.random.default_rng(seed).integers(0, highest, (2, 8, 2, 2), endpoint=True)
    x[1] = (weights[0] > 0).reshape(2, 2) * highest
    assert_held(program, x, 8)


# ---- how tight

POSITIVE = np.array([[3, 1, 4]])


def attained(program: Program, x: Array) -> tuple[int, int]:
    v = run(program, x, "states")["s"].states["v"]
    return int(v.min()), int(v.max())


@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize("bias", [-2, 0, 5])
def test_without_leak_the_bound_is_reached(steps: int, bias: int) -> None:
    weights = np.array([[3, -1, 4]])
    voltage = State(bias=bias, clamp=WIDE)
    program = driven(weights, population(1, voltage, fire=None))
    v = reaches(program, steps)["s"].states["v"]
    low, high = attained(program, patterns(steps, weights, 1))
    assert v.most == high
    assert v.least == min(low, 0)  # v starts at 0: the bound does not go above it


def test_without_leak_and_length_nothing_is_known() -> None:
    program = driven(np.array([[3, -1]]), population(1, State(clamp=BYTE), fire=None))
    v = reaches(program)["s"].states["v"]
    assert (v.least, v.most) == (-math.inf, math.inf)
    assert reaches(program)["s"].may_clamp(program.neurons["s"]) == ["v"]
    only_up = driven(np.array([[3, 1]]), population(1, State(clamp=BYTE), fire=None))
    assert reaches(only_up)["s"].states["v"].least == 0


@pytest.mark.parametrize("leak", [40, 410, 2048, 4000])
def test_with_leak_the_bound_is_reached_but_for_rounding(leak: int) -> None:
    weights = 1000 * POSITIVE
    voltage = State(decay=MulShift(decay=leak), clamp=WIDE)
    program = driven(weights, population(1, voltage, fire=None))
    v = reaches(program)["s"].states["v"]
    _, high = attained(program, patterns(1000, weights, 1))
    assert 0.98 * v.most <= high <= v.most
    assert v.least == 0


def test_through_a_synapse_both_bounds_are_near() -> None:
    weights = np.array([[1000, -500, 800]])
    synapse = State(decay=MulShift(decay=410, offset=1), gain=64, clamp=WIDE)
    op = population(1, State(decay=MulShift(decay=200), clamp=WIDE), synapse, fire=None)
    program = driven(weights, op)
    states = reaches(program)["s"].states
    trace = run(program, patterns(600, weights, 1), "states")["s"].states
    for key in ("u", "v"):
        assert 0.98 * states[key].most <= trace[key].max() <= states[key].most
        assert 0.98 * states[key].least >= trace[key].min() >= states[key].least


def test_a_reset_to_zero_bounds_v_by_the_threshold() -> None:
    fire = Fire(compare=">", threshold=20)
    program = driven(POSITIVE, population(1, State(clamp=BYTE), fire=fire))
    v = reaches(program)["s"].states["v"]
    assert v.most == 20 + 8  # not above the threshold, and one more step
    assert reaches(program)["s"].may_clamp(program.neurons["s"]) == []
    peak = driven(np.array([[5, 0, 4]]), population(1, State(clamp=BYTE), fire=fire))
    assert attained(peak, np.array([[[1, 0, 0]] * 4]))[1] == 20  # may stay at the threshold


def test_a_floor_bounds_v_from_below() -> None:
    fire, reset = Fire(compare=">=", threshold=20), Reset(kind="subtract", amount=20, floor=-9)
    op = population(1, State(clamp=BYTE), fire=fire, reset=reset)
    program = driven(np.array([[3, -4, -1]]), op)
    v = reaches(program)["s"].states["v"]
    assert v.least == -9 - 5
    assert reaches(program, 3)["s"].states["v"].least == -14


def test_what_saturates_inside_a_step_has_no_bound() -> None:
    voltage = State(decay=BitShift(dash=3), adds="increment", clamp=BYTE)
    program = driven(POSITIVE, population(1, voltage))
    assert reaches(program)["s"].may_clamp(program.neurons["s"]) == ["v"]


def test_a_float_population_has_no_registers() -> None:
    assert reaches(float_chain(FloatLayer(np.eye(2)))) == {}
