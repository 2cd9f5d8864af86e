"""What a neuron saw in the step of a difference: every active input, its weight, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from float_programs import events, lowered
from loihi_programs import LoihiLayer, chain, loihi_neuron

from sast_compile.backends import reference
from sast_compile.compare import Difference
from sast_compile.diagnose import Seen, inputs_seen
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Dense, Flatten, Input
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.trace import Trace

Array = npt.NDArray[Any]
STEPS = 10
SHAPE = (2, 2, 3)


def at(layer: str, sample: int, step: int, neuron: int) -> Difference:
    return Difference(layer, "v", sample, step, (neuron,), 0, 1, 1)


def by_hand(projection: str, source: str, values: Array, weights: Array, neuron: int) -> list[Seen]:
    """The inputs of one step that are not 0, with the weights of ``neuron``."""
    flat = weights.reshape(len(weights), *values.shape)
    return [
        Seen(projection, source, tuple(i), int(values[tuple(i)]), int(flat[(neuron, *i)]))
        for i in np.argwhere(values).tolist()
    ]


def current(seen: list[Seen]) -> int:
    return sum(one.value * one.weight for one in seen)


def test_a_chain() -> None:
    rng = np.random.default_rng(0)
    weights = [rng.integers(-20, 40, size) for size in ((5, 4), (3, 5))]
    program = chain("net", [LoihiLayer(w, exponent=3, vth=40) for w in weights], input_bits=2)
    x = events((3, STEPS, 4)).astype(np.int64) * rng.integers(1, 4, (3, STEPS, 4))
    trace = reference.run(program, x, record="states")
    assert trace["s1"].spikes.sum() > 20
    for sample, step, neuron in [(0, 0, 0), (1, 4, 2), (2, 9, 1)]:
        first = inputs_seen(program, trace, x, at("s1", sample, step, neuron))
        assert first == by_hand("a1", "x", x[sample, step], weights[0], neuron)
        second = inputs_seen(program, trace, x, at("s2", sample, step, neuron))
        spikes = np.asarray(trace["s1"].spikes)[sample, step]
        assert second == by_hand("a2", "s1", spikes, weights[1], neuron)
        # u forgets at once in these layers, so it is exactly what was seen
        for name, seen in (("s1", first), ("s2", second)):
            u = trace[name].states["u"][sample, step, neuron]
            assert current(seen) << 3 << 6 == u


def test_indices_are_those_of_the_events_before_a_flatten() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-9, 10, (2, 12))
    const = Const(TensorType((2, 12), Int(8)), weights)
    nodes = (
        Node("x", Input(shape=SHAPE)),
        Node("flat", Flatten(), (Edge("x"),)),
        Node("a", Dense(weight=Ref("w")), (Edge("flat", 1),)),
        Node("s", loihi_neuron(2), (Edge("a"),)),
    )
    program = check(Program("net", nodes, ("s",), {"w": const}))
    x = events((2, STEPS, *SHAPE))
    trace = reference.run(program, x, record="states")
    seen = inputs_seen(program, trace, x, at("s", 1, 5, 1))
    assert seen == by_hand("a", "x", x[1, 5], weights, 1)
    assert all(len(one.index) == 3 for one in seen)
    assert {one.index for one in seen} == {tuple(i) for i in np.argwhere(x[1, 5]).tolist()}


def skipping(own_delay: int) -> tuple[Program, dict[str, Array]]:
    """x -> a1 -> s1 -> a2 -> s2 and x -> skip -> s2, ``own_delay`` steps later than the net's."""
    rng = np.random.default_rng(2)
    weights = {
        name: rng.integers(-9, 20, size)
        for name, size in {"a1": (4, 3), "a2": (2, 4), "skip": (2, 3)}.items()
    }
    consts = {n: Const(TensorType(w.shape, Int(8)), w) for n, w in weights.items()}
    dense = {name: Dense(weight=Ref(name), exponent=2) for name in weights}
    nodes = (
        Node("x", Input(shape=(3,))),
        Node("a1", dense["a1"], (Edge("x"),)),
        Node("s1", loihi_neuron(4, start=0), (Edge("a1"),)),
        Node("a2", dense["a2"], (Edge("s1"),)),
        Node("skip", dense["skip"], (Edge("x", own_delay),)),
        Node("sum", Add(), (Edge("a2"), Edge("skip"))),
        Node("s2", loihi_neuron(2, start=0), (Edge("sum"),)),
    )
    program = check(Program("net", nodes, ("s2",), consts))
    return lowered(program, ["balance_latency"]).program, weights


@pytest.mark.parametrize("own_delay", [0, 1, 3])
def test_a_skip_path_is_read_in_the_step_that_arrived(own_delay: int) -> None:
    program, weights = skipping(own_delay)
    x = events((3, STEPS, 3), 0.5)
    trace = reference.run(program, x, record="states")
    assert trace["s1"].spikes.any()
    for sample, step, neuron in [(0, 0, 0), (1, 2, 1), (2, 7, 0), (0, 9, 1)]:
        seen = inputs_seen(program, trace, x, at("s2", sample, step, neuron))
        spikes = np.asarray(trace["s1"].spikes)[sample, step]
        expected = by_hand("a2", "s1", spikes, weights["a2"], neuron)
        if step >= own_delay:
            early = x[sample, step - own_delay]
            expected += by_hand("skip", "x", early, weights["skip"], neuron)
        assert seen == expected
        u = trace["s2"].states["u"][sample, step, neuron]
        assert current(seen) << 2 << 6 == u  # the very inputs that made the current


def test_recurrent_inputs_are_those_of_the_step_before() -> None:
    rng = np.random.default_rng(3)
    forward, back = rng.integers(0, 20, (4, 3)), rng.integers(-20, 20, (4, 4))
    program = chain("net", [LoihiLayer(forward, exponent=2, vth=30, recurrent=back)])
    x = events((2, STEPS, 3), 0.7)
    trace = reference.run(program, x, record="states")
    spikes = np.asarray(trace["s1"].spikes)
    assert spikes.sum() > 10
    for step in (0, 1, 6):
        seen = inputs_seen(program, trace, x, at("s1", 1, step, 2))
        expected = by_hand("a1", "x", x[1, step], forward, 2)
        if step:
            expected += by_hand("b1", "s1", spikes[1, step - 1], back, 2)
        assert seen == expected
        assert current(seen) << 2 << 6 == trace["s1"].states["u"][1, step, 2]


def test_without_active_inputs_nothing_was_seen() -> None:
    program = chain("net", [LoihiLayer(np.ones((2, 3), int))])
    x = np.zeros((1, STEPS, 3), np.uint8)
    trace: Trace = reference.run(program, x, record="states")
    assert inputs_seen(program, trace, x, at("s1", 0, 3, 1)) == []
