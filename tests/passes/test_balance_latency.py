"""balance_latency: every column of every layer stays, whatever the graph; a loop must be slow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from float_programs import LOIHI2, events, lowered
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sast_compile.backends.reference import run
from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Clamp, Fire, MulShift, Ref, Reset, State
from sast_compile.ir.ops import Add, Dense, Flatten, Input, Neuron
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.target import Target

SIZE = 3
CLAMP = Clamp(rule="saturate", low=-(2**23), high=2**23 - 1)


def slow(latency: int) -> Target:
    return replace(LOIHI2, time=replace(LOIHI2.time, connection_latency=latency))


def neuron(threshold: int = 5, decay: int = 0, bias: int = 0) -> Neuron:
    return Neuron(
        shape=(SIZE,),
        voltage=State(decay=MulShift(decay=decay), bias=bias, clamp=CLAMP),
        fire=Fire(compare=">", threshold=threshold),
        reset=Reset(kind="zero"),
    )


def dense() -> Dense:
    return Dense(weight=Ref("w"))


def graph(edges: Mapping[str, list[tuple[str, int]]], outputs: tuple[str, ...] = ()) -> Program:
    """Nodes by what they read: Dense, Add, Neuron or Flatten by the first letter d, +, n or f."""
    ops: dict[str, Any] = {"d": dense(), "+": Add(), "n": neuron(), "f": Flatten()}
    nodes = [Node("x", Input(shape=(SIZE,)))]
    for name, sources in edges.items():
        key = name.replace("+", "plus")
        inputs = tuple(Edge(s.replace("+", "plus"), d) for s, d in sources)
        nodes.append(Node(key, ops[name[0]], inputs))
    weight = Const(TensorType((SIZE, SIZE), Int(5)), [[4, -1, 2], [3, 5, -2], [1, 1, 6]])
    return Program("graph", tuple(nodes), outputs or (nodes[-1].name,), {"w": weight})


def balanced(program: Program, latency: int = 1) -> Program:
    return lowered(program, ["balance_latency"], target=slow(latency)).program


def delays(program: Program) -> dict[str, list[int]]:
    """The delays of the edges into every node that has one."""
    found = {n.name: [e.delay for e in n.inputs] for n in program.nodes if n.inputs}
    return {name: its for name, its in found.items() if any(its)}


def starts(program: Program) -> dict[str, int]:
    return {name: op.start for name, op in program.neurons.items()}


def assert_same_columns(before: Program, after: Program, x: np.ndarray) -> int:
    """Spikes and v of every layer are the same, column by column; returns the spikes."""
    ours, theirs = run(before, x, "states"), run(after, x, "states")
    spikes = 0
    for name in before.neurons:
        assert np.array_equal(ours[name].spikes, theirs[name].spikes)
        assert np.array_equal(ours[name].states["v"], theirs[name].states["v"])
        spikes += int(ours[name].spikes.sum())
    return spikes


CHAIN = {"d1": [("x", 0)], "n1": [("d1", 0)], "d2": [("n1", 0)], "n2": [("d2", 0)]}
SKIP = {
    "d1": [("x", 0)],
    "n1": [("d1", 0)],
    "d2": [("n1", 0)],
    "d3": [("x", 0)],
    "+2": [("d2", 0), ("d3", 0)],
    "n2": [("+2", 0)],
}


@pytest.mark.parametrize("latency", [0, 1, 2])
def test_a_chain_is_only_late(latency: int) -> None:
    program = graph(CHAIN)
    result = lowered(program, ["balance_latency"], target=slow(latency))
    assert starts(result.program) == {"n1": latency, "n2": 2 * latency}
    late = {"d1": [latency], "d2": [latency]}
    assert delays(result.program) == (late if latency else {})
    assert [(n.node, n.text, n.numbers["start"]) for n in result.notes] == [
        ("n1", f"column 0 in step {latency}", latency),
        ("n2", f"column 0 in step {2 * latency}", 2 * latency),
    ]
    assert assert_same_columns(program, result.program, events((4, 12, SIZE))) > 20


def test_a_skip_path_waits_for_the_long_one() -> None:
    program = graph(SKIP)
    after = balanced(program)
    assert starts(after) == {"n1": 1, "n2": 2}
    # one step in each Dense, and one more on the way round n1
    assert delays(after) == {"d1": [1], "d2": [1], "d3": [1], "plus2": [0, 1]}
    assert assert_same_columns(program, after, events((4, 12, SIZE))) > 20
    short = {**delays(after), "plus2": [0, 0]}  # the wait is not for show: without it v differs
    nodes = tuple(
        Node(n.name, n.op, tuple(Edge(e.node, short[n.name][i]) for i, e in enumerate(n.inputs)))
        if n.name in short
        else n
        for n in after.nodes
    )
    unbalanced = Program("early", nodes, after.outputs, after.consts)
    x = events((4, 12, SIZE))
    ours, theirs = (run(p, x, "states")["n2"].states["v"] for p in (program, unbalanced))
    assert not np.array_equal(ours, theirs)


def test_a_delay_that_is_there_already_is_the_latency() -> None:
    # the net itself waits a step: the chip's step is this one, and nothing is late
    program = graph({**CHAIN, "d1": [("x", 1)], "d2": [("n1", 3)]})
    after = balanced(program)
    assert starts(after) == {"n1": 0, "n2": 0}
    assert delays(after) == {"d1": [1], "d2": [3]}
    assert assert_same_columns(program, after, events((4, 12, SIZE))) > 10


RECURRENT = {
    "d1": [("x", 0)],
    "d2": [("n1", 1)],
    "+1": [("d1", 0), ("d2", 0)],
    "n1": [("+1", 0)],
}


def test_recurrence_of_one_step_is_the_chips_own() -> None:
    program = graph(RECURRENT)
    after = balanced(program)
    assert starts(after) == {"n1": 1}
    back = after.by_name["d2"].inputs[0].delay + after.by_name["plus1"].inputs[1].delay
    assert back == 1  # n1 reads its own spikes of the step before, no later
    assert assert_same_columns(program, after, events((4, 12, SIZE))) > 10


@pytest.mark.parametrize(("delay", "fits"), [(1, False), (2, True), (3, True)])
def test_a_loop_through_two_layers_needs_two_steps(delay: int, fits: bool) -> None:
    loop = {
        "d1": [("x", 0)],
        "d3": [("n2", delay)],
        "+1": [("d1", 0), ("d3", 0)],
        "n1": [("+1", 0)],
        "d2": [("n1", 0)],
        "n2": [("d2", 0)],
    }
    program = graph(loop)
    if fits:
        assert assert_same_columns(program, balanced(program), events((4, 12, SIZE))) > 10
        return
    message = (
        r"^graph: a loop \(n1, n2\) has more projections than steps of delay; each takes 1 on the "
        r"chip; hint: a Delay in the loop, or --feedback with as many steps as it has projections"
    )
    with pytest.raises(Unsupported, match=message):
        balanced(program)


def test_recurrence_of_one_step_is_too_fast_for_a_slower_chip() -> None:
    with pytest.raises(Unsupported, match=r"each takes 2 on the chip"):
        balanced(graph(RECURRENT), latency=2)


LATER = {  # n1 is computed behind n2, which reads it one step late
    "f1": [("n1", 1)], "f2": [("f1", 0)], "d2": [("f2", 0)], "n2": [("d2", 0)],
    "d1": [("x", 0)], "n1": [("d1", 0)],
}  # fmt: skip
ROUND = {
    "d1": [("x", 0)], "f1": [("n1", 1)], "f2": [("f1", 0)], "d2": [("f2", 0)],
    "+1": [("d1", 0), ("d2", 0)], "n1": [("+1", 0)],
}  # fmt: skip


@pytest.mark.parametrize("edges", [LATER, ROUND], ids=["ahead", "in a loop"])
def test_a_flatten_of_a_later_population_waits_in_front(edges: Any) -> None:
    """Only a delayed edge may point forward."""
    program = check(graph(edges, ("n1",)))
    after = check(balanced(program))
    assert (delays(after)["f1"], "f2" in delays(after), "d2" in delays(after)) == (
        [1],
        False,
        False,
    )
    assert assert_same_columns(program, after, events((4, 12, SIZE))) > 10


def test_a_delay_beyond_the_chips_is_refused() -> None:
    program = graph({**CHAIN, "d2": [("n1", 64)]})  # one of these is the latency of d1
    message = r"^d2: needs a delay of 63 steps from n1; loihi2 has 62; hint: a shorter path around"
    with pytest.raises(Unsupported, match=message):
        balanced(program)
    assert balanced(graph({**CHAIN, "d2": [("n1", 63)]}))


@st.composite
def dags(draw: Any) -> Program:
    """Populations that each read one to three earlier ones, or themselves, with delays."""
    draws = st.integers(-4, 7)
    nodes = [Node("x", Input(shape=(1, SIZE))), Node("flat", Flatten(), (Edge("x"),))]
    consts: dict[str, Const] = {}
    sources = ["flat"]
    for index in range(draw(st.integers(1, 4))):
        name = f"n{index}"
        reads = draw(st.lists(st.sampled_from(sources), min_size=1, max_size=3))
        paths = [(source, draw(st.integers(0, 3))) for source in reads]
        if draw(st.booleans()):
            paths.append((name, draw(st.integers(1, 3))))
        currents = []
        for path, (source, delay) in enumerate(paths):
            key = f"{name}.d{path}"
            rows = draw(st.lists(draws, min_size=SIZE * SIZE, max_size=SIZE * SIZE))
            consts[key] = Const(TensorType((SIZE, SIZE), Int(4)), np.reshape(rows, (SIZE, SIZE)))
            nodes.append(Node(key, Dense(weight=Ref(key)), (Edge(source, delay),)))
            currents.append(Edge(key))
        if len(currents) > 1:
            nodes.append(Node(f"{name}.sum", Add(), tuple(currents)))
            currents = [Edge(f"{name}.sum")]
        decay, bias = draw(st.sampled_from([0, 400, 4000])), draw(st.integers(-2, 3))
        op = neuron(draw(st.integers(1, 8)), decay, bias)
        nodes.append(Node(name, op, tuple(currents)))
        sources.append(name)
    return check(Program("dag", tuple(nodes), (nodes[-1].name,), consts))


def test_law_no_column_changes() -> None:
    spikes: list[int] = []

    @settings(max_examples=150, deadline=None)
    @given(program=dags(), latency=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
    def law(program: Program, latency: int, seed: int) -> None:
        spikes.extend(retimed(program, latency, seed))

    law()
    assert len(spikes) > 80
    assert np.mean([s > 0 for s in spikes]) > 0.7


def retimed(program: Program, latency: int, seed: int) -> list[int]:
    """The spikes that stayed where they were; none where a loop is faster than the chip."""
    loops = [e.delay for n in program.nodes for e in n.inputs if e.node == n.name[:2] != n.name]
    if any(delay < latency for delay in loops):  # a population that reads itself too soon
        with pytest.raises(Unsupported, match=r"^dag: a loop \(.*\) has more projections"):
            balanced(program, latency)
        return []
    after = balanced(program, latency)
    assert all(e.delay >= latency for n in after.nodes for e in n.inputs if isinstance(n.op, Dense))
    return [assert_same_columns(program, after, events((2, 10, 1, SIZE), 0.5, seed))]
