"""The lowering to Lava's processes, without Lava: what they hold, and everything it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from loihi_programs import LoihiLayer, chain, loihi_neuron, random_chain

from sast_compile.backends.lava.graph import Graph, lower
from sast_compile.backends.lava.jobs import grouped, job, read_jobs, write_jobs
from sast_compile.errors import CompileError, TargetLimit, Unsupported
from sast_compile.ir.neuron import BitShift, Clamp, MulShift, Ref
from sast_compile.ir.ops import Add, Dense, Input, Neuron
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.ir.types import Const, Float, Int, TensorType


def single(**registers: Any) -> Program:
    """Two inputs, two neurons: x -> a1 -> s1."""
    layer = LoihiLayer(np.array([[3, -4], [5, 6]]), vth=7)
    return chain("single", [replace(layer, **registers)])


def with_neuron(change: Callable[[Neuron], Neuron], **registers: Any) -> Program:
    program = single(**registers)
    return program.with_ops({"s1": change(program.neurons["s1"])})


def changed(record: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(record, **fields)


def of_voltage(**fields: Any) -> Callable[[Neuron], Neuron]:
    return lambda op: changed(op, voltage=changed(op.voltage, **fields))


def of_synapse(**fields: Any) -> Callable[[Neuron], Neuron]:
    return lambda op: changed(op, synapses=(changed(op.synapses[0], **fields),))


def of_fire(**fields: Any) -> Callable[[Neuron], Neuron]:
    return lambda op: changed(op, fire=changed(op.fire, **fields))


def of_reset(**fields: Any) -> Callable[[Neuron], Neuron]:
    return lambda op: changed(op, reset=changed(op.reset, **fields))


def test_a_layer_becomes_a_dense_and_a_population() -> None:
    bias = np.array([-4096, 4095])
    graph = lower(single(exponent=3, du=17, dv=23, vth=131071, bias=bias, bias_exponent=7))
    (projection,), (population,), (source,) = graph.projections, graph.populations, graph.sources
    np.testing.assert_array_equal(projection.weights, [[6, -8], [10, 12]])
    assert (projection.source, projection.name, projection.target) == ("x", "a1", "s1")
    assert (projection.weight_exp, projection.num_weight_bits) == (2, 8)
    assert (projection.sign_mode, projection.message_bits) == ("mixed", 0)
    assert (projection.delay, projection.lag) == (1, 0)
    assert (population.name, population.shape, population.start) == ("s1", (2,), 1)
    assert (population.du, population.dv, population.vth) == (17, 23, 131071)
    np.testing.assert_array_equal(population.bias_mant, bias)
    assert population.bias_exp == 7
    assert (source.name, source.shape, source.message_bits) == ("x", (2,), 0)
    assert (graph.outputs, graph.latency, graph.gap) == (("s1",), 1, 0)
    assert (population.fires, population.reset, graph.own) == (True, None, {})


def clamp(rule: Any, low: int, high: int) -> Clamp:
    return Clamp(rule=rule, low=low, high=high)


TOP = 1 << 23
REFUSED: dict[str, Callable[[Neuron], Neuron]] = {  # by the words that must be in the answer
    "synapses[0].clamp.rule is 'wrap' where": of_synapse(clamp=clamp("wrap", 1 - TOP, TOP)),
    "'saturate' where Loihi has 'wrap_once'": of_synapse(clamp=clamp("saturate", 1 - TOP, TOP)),
    "synapses[0].clamp.low is -9": of_synapse(clamp=clamp("wrap_once", -9, TOP)),
    "synapses[0].gain is 32 where Loihi has 64": of_synapse(gain=32),
    "synapses[0].bias is 1": of_synapse(bias=1),
    "synapses[0].decays is 'last'": of_synapse(decays="last"),
    "synapses[0].decay is none": of_synapse(decay=None),
    "synapses[0].decay.offset is 0": of_synapse(decay=MulShift(decay=9)),
    "is a bit_shift where Loihi has a mul_shift": of_synapse(decay=BitShift(dash=3)),
    "synapses is 0 of them": lambda op: changed(op, synapses=()),
    "voltage.adds is 'increment'": of_voltage(adds="increment"),
    "voltage.decay.rounding is 'floor'": of_voltage(decay=MulShift(decay=9, rounding="floor")),
    "voltage.decay.bits is 15": of_voltage(decay=MulShift(decay=9, bits=15)),
    "voltage.decay.offset is 1": of_voltage(decay=MulShift(decay=9, offset=1)),
    "voltage.clamp.rule is 'wrap'": of_voltage(clamp=clamp("wrap", 1 - TOP, TOP - 1)),
    "voltage.clamp.low is -1073741824": of_voltage(clamp=clamp("saturate", -(1 << 30), 1 << 30)),
    "fire.compare is '>=' where Loihi has '>'": of_fire(compare=">="),
    "fire.unit is 1": of_fire(unit=1),
    "fire.limit is 2": of_fire(limit=2),
    "reset.floor is 0": of_reset(floor=0),
}


@pytest.mark.parametrize("words", REFUSED)
def test_another_neuron_is_refused(words: str) -> None:
    with pytest.raises(Unsupported) as error:
        lower(with_neuron(REFUSED[words]))
    assert error.value.where == "s1"
    assert words in error.value.what
    assert error.value.hint


@pytest.mark.parametrize(
    ("registers", "words"),
    [
        ({"dv": 4096}, "v decay 4096 is outside Loihi's 0..4095"),
        ({"vth": 0}, "threshold 0 is outside Loihi's 1..131071"),
        ({"vth": 131072}, "threshold 131072"),
        ({"bias": 4096}, "bias mantissa 4096 is outside Loihi's -4096..4095"),
        ({"bias": np.array([0, -4097])}, "bias mantissa -4097"),
        ({"bias_exponent": 8}, "bias exponent 8 is outside Loihi's -7..7"),
        ({"bias_exponent": -8}, "bias exponent -8"),
    ],
)
def test_a_register_that_does_not_fit_is_refused(registers: dict[str, Any], words: str) -> None:
    with pytest.raises(TargetLimit) as error:
        lower(single(**registers))
    assert error.value.where == "s1"
    assert words in error.value.what
    assert error.value.hint


def per_neuron(values: list[int]) -> Program:
    program = with_neuron(of_fire(threshold=Ref("theta")))
    const = Const(TensorType((2,), Int(19)), values)
    return replace(program, consts={**program.consts, "theta": const})


def test_a_register_may_differ_between_neurons() -> None:
    (alike,), (each,) = (lower(per_neuron(v)).populations for v in ([9, 9], [9, 10]))
    assert (alike.vth, alike.differs, each.differs) == (9, False, True)
    np.testing.assert_array_equal(each.vth, [9, 10])
    with pytest.raises(TargetLimit, match="s1: threshold 131072"):
        lower(per_neuron([9, 131072]))


DENSE, EARLIER, NEURON = (
    Dense(weight=Ref("w"), exponent=1),
    loihi_neuron(2, start=0),
    loihi_neuron(2),
)
LATER = loihi_neuron(2, start=2)
READOUT = changed(NEURON, fire=None, reset=None)
Wires = dict[str, tuple[Any, ...]]


def wired(nodes: Wires, *outputs: str) -> Program:
    """2 x 2 projections of weight w: x -> a -> s, and ``nodes``: an op and its edges each."""
    base: Wires = {
        "x": (Input(shape=(2,)),),
        "a": (DENSE, Edge("x", 1)),
        "s": (NEURON, Edge("a")),
    }
    wires = {name: base[name] for name in base if name not in nodes} | nodes
    made = tuple(Node(name, op, tuple(edges)) for name, (op, *edges) in wires.items())
    consts = {"w": Const(TensorType((2, 2), Int(8)), [[1, -2], [3, 4]])}
    return Program("wired", made, outputs or ("s",), consts)


def behind(dense: tuple[Any, ...], neuron: tuple[Any, ...]) -> Wires:
    return {"b": dense, "t": neuron}


UNWIRABLE: dict[str, tuple[str, Wires]] = {  # by the words of the answer: the node, the wires
    "t reads s in the same step": ("b", behind((DENSE, Edge("s")), (LATER, Edge("b")))),
    "reads a, a dense": ("b", behind((DENSE, Edge("a", 1)), (LATER, Edge("b")))),
    "driven by s, a neuron": ("t", {"t": (LATER, Edge("s", 1))}),
    "reads the voltage of s": (
        "b",
        {"s": (READOUT, Edge("a"))} | behind((DENSE, Edge("s", 1)), (LATER, Edge("b"))),
    ),
}


@pytest.mark.parametrize("words", UNWIRABLE)
def test_other_wiring_is_refused(words: str) -> None:
    where, nodes = UNWIRABLE[words]
    with pytest.raises(Unsupported) as error:
        lower(wired(nodes))
    assert error.value.where == where
    assert words in error.value.what
    assert error.value.hint


def test_a_delay_beyond_a_synapses_is_refused() -> None:
    lower(wired(behind((DENSE, Edge("s", 60)), (LATER, Edge("b", 3)))))
    with pytest.raises(TargetLimit, match="b: t reads s 64 steps late") as error:
        lower(wired(behind((DENSE, Edge("s", 60)), (LATER, Edge("b", 4)))))
    assert error.value.hint


def test_an_output_that_is_no_population_is_refused() -> None:
    with pytest.raises(Unsupported, match="a: it is returned but no population"):
        lower(wired({}, "a"))


def test_float_weights_and_wide_messages_are_refused() -> None:
    program = single()
    floats = Const(TensorType((2, 2), Float()), np.ones((2, 2)))
    with pytest.raises(CompileError):
        lower(replace(program, consts={"w1": floats}))
    with pytest.raises(TargetLimit, match="x: 25 bits exceed the 24"):
        lower(program.with_ops({"x": Input(shape=(2,), bits=25)}))


def test_a_delay_may_stand_on_either_side_of_the_projection() -> None:
    program = wired(behind((DENSE, Edge("s")), (LATER, Edge("b", 1))), "t")
    assert [p.name for p in lower(program).projections] == ["a", "b"]


WIRED: dict[str, tuple[Wires, tuple[int, int], int]] = {  # delay and lag of b, gap of the graph
    "a delay beyond the step": (
        behind((DENSE, Edge("s", 2)), (LATER, Edge("b", 5))),
        (7, 6),
        0,
    ),
    "within a layer": (
        {"b": (DENSE, Edge("s", 1)), "c": (Add(), Edge("a"), Edge("b")), "s": (NEURON, Edge("c"))},
        (1, 1),
        0,
    ),
    "a loop over two layers": (
        {
            "b": (DENSE, Edge("t", 1)),
            "c": (Add(), Edge("a"), Edge("b")),
            "s": (NEURON, Edge("c")),
            "d": (DENSE, Edge("s", 1)),
            "t": (LATER, Edge("d")),
        },
        (1, 2),
        0,
    ),
    "ahead of its own column": (behind((DENSE, Edge("x", 1)), (LATER, Edge("b"))), (1, -1), 1),
    "ahead, through a population": (
        behind((DENSE, Edge("s", 1)), (loihi_neuron(2, start=5), Edge("b"))),
        (1, -3),
        3,
    ),
    "behind a later one": (behind((DENSE, Edge("s", 1)), (EARLIER, Edge("b"))), (1, 2), 0),
}


@pytest.mark.parametrize("name", WIRED)
def test_a_path_has_a_delay_and_a_lag(name: str) -> None:
    nodes, wanted, gap = WIRED[name]
    graph = lower(wired(nodes))
    (b,) = (p for p in graph.projections if p.name == "b")
    assert (b.delay, b.lag) == wanted
    assert graph.gap == gap


def test_the_gap_follows_what_drives_the_source() -> None:
    """t reads 3 columns of s ahead, and s two columns of x behind: so x is read 1 ahead."""
    nodes = behind((DENSE, Edge("s", 1)), (loihi_neuron(2, start=5), Edge("b")))
    graph = lower(wired({"a": (DENSE, Edge("x", 3)), "s": (NEURON, Edge("a")), **nodes}))
    assert [(p.name, p.lag) for p in graph.projections] == [("a", 2), ("b", -3)]
    assert graph.gap == 3


def test_a_population_apart_from_every_source_is_named() -> None:
    nodes: Wires = {
        **behind((DENSE, Edge("t", 1)), (NEURON, Edge("b"))),
        "d": (DENSE, Edge("t", 1)),
        "q": (LATER, Edge("d")),
    }
    assert lower(wired(nodes)).adrift == ("t",)
    assert lower(wired({})).adrift == ()


def test_a_readout_holds_the_highest_threshold() -> None:
    graph = lower(wired({"s": (READOUT, Edge("a"))}))
    assert [(p.fires, p.vth) for p in graph.populations] == [(False, 131071)]
    assert graph.own == {}


@pytest.mark.parametrize("when", ["after_fire", "before_decay", "after_decay"])
def test_another_reset_is_ours_and_said_to_be(when: Any) -> None:
    reset = {"kind": "subtract", "when": when, "amount": 64}
    graph = lower(with_neuron(of_reset(**reset)))
    assert graph.own == {"s1": f"reset 'subtract' ({when})"}
    (population,) = graph.populations
    assert population.reset is not None
    assert population.reset.amount == 64
    assert (lower(with_neuron(of_reset(amount=9))).own) == {}  # a reset to 0 has no amount
    with pytest.raises(TargetLimit, match="s1: reset amount 16777217"):
        lower(with_neuron(of_reset(**{**reset, "amount": (1 << 24) + 1})))


def test_one_projection_may_drive_two_populations() -> None:
    program = wired({"t": (NEURON, Edge("a"))}, "s", "t")
    graph = lower(program)
    assert [(p.name, p.target) for p in graph.projections] == [("a", "s"), ("a", "t")]
    assert graph.labels == ("a", "a (2)")


def test_jobs_survive_their_files(tmp_path: Any) -> None:
    cases = [random_chain(seed, input_bits=bits) for seed, bits in ((1, 1), (2, 4))]
    jobs = [job(*case, record) for case, record in zip(cases, ("states", "outputs"), strict=True)]
    write_jobs(tmp_path, jobs)
    for before, after in zip(jobs, read_jobs(tmp_path), strict=True):
        assert before.program == after.program
        assert before.record == after.record
        assert isinstance(after.graph, Graph)
        np.testing.assert_array_equal(before.events["x"], after.events["x"])


def test_jobs_share_a_graph_if_their_runs_are_about_as_long() -> None:
    program, events = random_chain(1)
    jobs = [job(program, events[:, :steps]) for steps in (3, 10, 4, 5)]
    assert sorted(map(sorted, grouped(jobs))) == [[0, 2, 3], [1]]
    assert [one.run_length - one.graph.latency for one in jobs] == [9, 30, 12, 15]
    many = [job(program, events)] * 40
    assert sorted(index for group in grouped(many) for index in group) == list(range(40))
    assert max(len(g) for g in grouped(many)) * len(program.neurons) <= 24


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (np.zeros((2, 3, 3), int), "do not fit"),
        (np.zeros((0, 3, 2), int), "do not fit"),
        (np.zeros((1, 0, 2), int), "do not fit"),
        (np.full((1, 3, 2), 2), "are not integers of u1"),
        (np.full((1, 3, 2), 0.5), "are not integers of u1"),
        ({"y": np.zeros((1, 3, 2), int)}, "the inputs are"),
    ],
)
def test_events_that_do_not_fit_are_refused(events: Any, words: str) -> None:
    with pytest.raises(CompileError, match=words):
        job(single(), events)
