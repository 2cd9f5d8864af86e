"""Programs: what `check` accepts and refuses, and that a refusal names the node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_compile.backends.reference import run
from sast_compile.errors import CompileError, TypeMismatch
from sast_compile.ir.neuron import Clamp, Fire, Ref, Reset, State
from sast_compile.ir.ops import Add, Dense, Input, Neuron
from sast_compile.ir.program import Edge, Node, Program, check, used_consts
from sast_compile.ir.text import parse_program
from sast_compile.ir.types import Const, Int, TensorType

INTEGERS = "clamp=clamp(rule='saturate', low=-128, high=127)"
FIRE = "fire=fire(compare='>=', threshold=4)"
RESET = "reset=reset(kind='zero')"


def net(voltage: str = INTEGERS, fire: str = FIRE, reset: str = RESET, rest: str = "") -> str:
    """A program whose population s is given by its parts."""
    parts = ["shape=(2,)", f"voltage=state({voltage})", fire, reset, rest]
    return f"""
program net
  x = input {{shape=(2,)}}
  a = dense x {{weight=@w}}
  s = neuron a {{{"; ".join(filter(None, parts))}}}
  return s
@w : s4[2,2] = [[1, 2], [3, 4]]
@f : f64[2] = [0.5, 0.25]
@i : s8[2] = [5, -5]
@wrong : s4[3] = [1, 2, 3]
"""


def neuron(**fields: object) -> Neuron:
    given: dict[str, object] = {
        "shape": (2,),
        "voltage": State(clamp=Clamp(rule="saturate", low=-128, high=127)),
        "fire": Fire(compare=">=", threshold=4),
        "reset": Reset(kind="zero"),
        **fields,
    }
    return Neuron(**given)  # type: ignore[arg-type]


def program(*nodes: Node, outputs: tuple[str, ...] = ("s",)) -> Program:
    weight = Const(TensorType((2, 2), Int(4)), [[1, 2], [3, 4]])
    return Program("p", (Node("x", Input(shape=(2,))), *nodes), outputs, {"w": weight})


DENSE = Dense(weight=Ref("w"))


# ---- the typing rule of a neuron, and that its messages name the node


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (net(voltage="decay=factor(alpha=0.5)", rest="shape=(3,)"), "attribute shape"),
        (net(voltage=f"decay=factor(alpha=1), {INTEGERS}"), "s: factor decays floats"),
        (net(voltage="decay=mul_shift(decay=5)"), "s: factor decays floats"),
        (net(voltage="decay=bit_shift(dash=5)"), "s: factor decays floats"),
        (net(voltage=f"bias=0.5, {INTEGERS}"), "s: v bias 0.5 is a float in an integer neuron"),
        (net(voltage=f"bias=@f, {INTEGERS}"), "s: v bias: f64"),
        (net(voltage=f"bias=@wrong, {INTEGERS}"), "s: v bias: s4"),
        (net(voltage=f"bias=@no, {INTEGERS}"), "s: no constant @no"),
        (net(voltage=f"gain=0, {INTEGERS}"), "s: v gain is not one positive number"),
        (net(voltage=f"gain=@i, {INTEGERS}"), "s: v gain is not one positive number"),
        (net(voltage=f"gain=-2, {INTEGERS}"), "s: v gain is not one positive number"),
        (net(voltage=f"decay=mul_shift(decay=4097), {INTEGERS}"), "s: v decay 4097..4097 lies"),
        (net(voltage=f"decay=mul_shift(decay=4096, offset=1), {INTEGERS}"), "outside 0..4095"),
        (net(voltage=f"decay=mul_shift(decay=-1), {INTEGERS}"), "s: v decay -1..-1 lies"),
        (net(voltage=f"decay=mul_shift(decay=@i), {INTEGERS}"), "s: v decay -5..5 lies"),
        (net(voltage=f"decay=bit_shift(dash=64), {INTEGERS}"), "outside 0..63"),
        (net(voltage=f"decay=bit_shift(dash=1, min_step=2), {INTEGERS}"), "s: neuron: Expected"),
        (net(voltage="clamp=clamp(rule='wrap', low=1, high=5)"), "does not contain 0"),
        (net(voltage=f"bias={2**62}, {INTEGERS}"), "s: v may need 64 bits"),
        (net(voltage=f"bias=1, bias_exponent=62, {INTEGERS}"), "s: v may need 64 bits"),
        (net(voltage="bias=1e300"), "s: v bias 1e"),
        (net(fire=""), "s: neuron: Object missing required field `fire`"),
        (net(reset=""), "s: a neuron that fires needs a reset"),
        (net(fire="fire=none"), "s: a reset without fire never acts"),
        (net(fire="fire=fire(compare='>', threshold=4.5)"), "s: threshold 4.5 is a float"),
        (net(fire="fire=fire(compare='=>', threshold=4)"), "s: neuron: Invalid enum value"),
        (net(fire="fire=fire(compare='>', threshold=0, limit=2)"), "s: from a threshold of 0"),
        (net(fire="fire=fire(compare='>', threshold=@i, limit=2)"), "s: from a threshold of 0"),
        (net(reset="reset=reset(kind='subtract')"), "s: a subtracting reset needs a positive"),
        (net(reset="reset=reset(kind='subtract', amount=@i)"), "needs a positive amount"),
        (net(reset="reset=reset(kind='subtract', amount=200)"), "s: a reset from the threshold"),
        (net(reset="reset=reset(kind='zero', floor=-129)"), "s: the floor of the reset lies"),
        (
            net(reset="reset=reset(kind='zero', when='before_decay', floor=-1)"),
            "s: a floor needs a reset after the spike",
        ),
        (
            net(
                voltage=f"adds='increment', {INTEGERS}",
                reset="reset=reset(kind='subtract', when='after_decay', amount=4)",
            ),
            "s: a reset after the decay needs adds='sum'",
        ),
        (net(reset="reset=reset(kind='zero', when='after_input')"), "s: a reset after the input"),
        (
            net(
                voltage="clamp=clamp(rule='wrap_once', low=-8, high=8)", fire="fire=none", reset=""
            ),
            "s: v is read out",
        ),
        (net(rest="synapses=(state(),)"), "s: some states are floats"),
        (net(rest=f"synapses=(state({INTEGERS}), state({INTEGERS}))"), "s: 1 inputs for 2"),
        (net(voltage=f"adds='each', {INTEGERS}"), r"s: input u3\[2\] does not fit a population"),
        (net().replace("s4[2,2]", "f64[2,2]"), "s: a float current drives integer states"),
        (net().replace("neuron a", "neuron x, a"), "s: 2 inputs for 1 driven states"),
        (net().replace("neuron a", "neuron"), "s: 0 inputs for 1 driven states"),
        (net().replace("dense x", "dense x, x"), "a: 2 inputs do not fit dense"),
        (net().replace("dense x", "dense"), "a: 0 inputs do not fit dense"),
        (net().replace("input {", "input s@1 {"), "x: 1 inputs do not fit input"),
    ],
)
def test_a_refusal_names_the_node(text: str, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        parse_program(text)


def test_the_parts_are_legal_as_they_stand() -> None:
    assert parse_program(net()).types["s"] == TensorType((2,), Int(1, signed=False))
    floats = net(voltage="decay=factor(alpha=0.5), gain=@f, bias=@i")
    assert parse_program(floats).neurons["s"].is_float


# ---- edges


def test_a_forward_edge_without_delay_is_refused() -> None:
    nodes = Node("a", DENSE, (Edge("s"),)), Node("s", neuron(), (Edge("a"),))
    with pytest.raises(TypeMismatch, match="a: reads s, which is computed later in the same step"):
        check(program(*nodes))


def test_a_loop_is_typed_by_the_spikes_of_its_neuron() -> None:
    often = neuron(fire=Fire(compare=">=", threshold=4, limit=31))
    loop = program(Node("a", DENSE, (Edge("s", 1),)), Node("s", often, (Edge("a"),)))
    assert check(loop).types["a"] == TensorType((2,), Int(8, signed=False))  # 31 (3 + 4) = 217
    own = program(Node("s", often, (Edge("s", 2),)))
    assert check(own).types["s"] == TensorType((2,), Int(5, signed=False))


@pytest.mark.parametrize("later", [Node("b", Add(), (Edge("x"),)), Node("b", neuron(fire=None))])
def test_a_loop_starts_at_a_neuron_that_fires(later: Node) -> None:
    nodes = Node("s", neuron(), (Edge("b", 1),)), later
    with pytest.raises(TypeMismatch, match="s: a loop must start at a neuron that fires, not at b"):
        check(program(*nodes))


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (Edge("nowhere"), "s: reads nowhere, which does not exist"),
        (Edge("nowhere", 1), "s: reads nowhere, which does not exist"),
        (Edge("s"), "s: reads s, which is computed later"),
        (Edge("x", -1), "s: a delay is negative"),
    ],
)
def test_bad_edges(edge: Edge, message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        check(program(Node("s", neuron(), (edge,))))


# ---- names


S = Node("s", neuron(), (Edge("x"),))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (program(S, S), "s: two nodes have this name"),
        (program(S, Node("x", Input(shape=(2,)))), "x: two nodes have this name"),
        (program(S, outputs=("nothing",)), "returns nothing, which does not exist"),
        (program(S, outputs=()), "the program returns nothing"),
        (program(S, replace(S, name="a b")), "name 'a b' has characters"),
        (program(S, replace(S, name="a@1")), "name 'a@1' has characters"),
        (program(S, replace(S, name="")), "name '' has characters"),
        (program(S, replace(S, name="return")), "return: a node cannot have this name"),
        (replace(program(S), name="two words"), "name 'two words'"),
        (
            Program("p", (Node("s", neuron(), (Edge("s", 1),)),), ("s",)),
            "the program has no input",
        ),
        (program(Node("s", neuron(start=-1), (Edge("x"),))), "s: neuron: Expected `int` >= 0"),
        (program(Node("s", neuron(start=1.5), (Edge("x"),))), "s: neuron: Expected `int`"),
        (program(Node("s", neuron(shape=(np.int64(2),)), (Edge("x"),))), "s: neuron: "),
    ],
)
def test_what_check_refuses(bad: Program, message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        check(bad)


def test_names_from_torch_and_nir_are_legal() -> None:
    check(program(replace(S, name="layers.0-lif_1"), outputs=("layers.0-lif_1",)))


# ---- what a program tells


def test_check_returns_the_program() -> None:
    legal = program(S)
    assert check(legal) is legal


def test_start_of() -> None:
    nodes = (
        Node("a", DENSE, (Edge("x", 1),)),
        Node("s", neuron(start=1), (Edge("a"),)),
        Node("b", DENSE, (Edge("s", 2),)),
        Node("c", DENSE, (Edge("x"),)),
        Node("d", Add(), (Edge("b"), Edge("c"))),
        Node("r", DENSE, (Edge("o", 3),)),
        Node("e", Add(), (Edge("d"), Edge("r"))),
        Node("o", neuron(start=5), (Edge("e"),)),
    )
    legal = check(program(*nodes, outputs=("o", "d")))
    starts = {name: legal.start_of(name) for name in legal.by_name}
    assert starts == {"x": 0, "a": 1, "s": 1, "b": 3, "c": 0, "d": 3, "r": 8, "e": 8, "o": 5}


def test_inputs_neurons_and_consumers() -> None:
    nodes = Node("a", DENSE, (Edge("x"),)), Node("b", DENSE, (Edge("s", 1),))
    legal = program(
        *nodes, Node("i", Add(), (Edge("a"), Edge("b"))), replace(S, inputs=(Edge("i"),))
    )
    check(legal)
    assert legal.inputs == ("x",)
    assert list(legal.neurons) == ["s"]
    assert [n.name for n in legal.consumers("s")] == ["b"]
    assert [n.name for n in legal.consumers("x")] == ["a"]


def test_constants_cannot_be_exchanged() -> None:
    consts = {"w": Const(TensorType((2, 2), Int(4)), [[1, 2], [3, 4]])}
    made = Program("p", (Node("x", Input(shape=(2,))),), ("x",), consts)
    consts.clear()
    assert list(made.consts) == ["w"]
    with pytest.raises(TypeError):
        made.consts["w"] = made.consts["w"]  # type: ignore[index]


def test_used_consts() -> None:
    extra = {name: Const(TensorType((2,), Int(4)), [1, 2]) for name in ("t", "b", "d", "unused")}
    voltage = State(bias=Ref("b"), clamp=Clamp(rule="saturate", low=-128, high=127))
    synapse = State(bias=Ref("d"), clamp=Clamp(rule="saturate", low=-128, high=127))
    fire = Fire(compare=">", threshold=Ref("t"))
    op = neuron(voltage=voltage, synapses=(synapse,), fire=fire)
    legal = program(Node("a", DENSE, (Edge("x"),)), Node("s", op, (Edge("a"),)))
    legal = replace(legal, consts={**legal.consts, **extra})
    assert set(used_consts(check(legal)).consts) == {"w", "t", "b", "d"}


def test_with_ops_leaves_the_old_program_alone() -> None:
    old = check(program(S))
    new = old.with_ops({"s": neuron(start=3)}, {"more": old.consts["w"]})
    assert new.start_of("s") == 3
    assert old.start_of("s") == 0
    assert set(new.consts) == {"w", "more"}
    assert set(old.consts) == {"w"}


# ---- events, and a proof that does not hold


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([[[2, 0]]], "x: events 0..2 are not integers of u1"),
        ([[[-1, 0]]], "x: events -1..0 are not integers of u1"),
        ([[[0.5, 0]]], "x: events 0.0..0.5 are not integers of u1"),
        ([[[float("nan"), 0]]], "x: events nan..nan are not integers"),
        ([[["1", "0"]]], "x: events of <U1 are no numbers"),
        ([[[1, 0, 1]]], r"x: events of shape \(1, 1, 3\) do not fit u1"),
        ([1, 0], "x: events of shape"),
        (np.zeros((0, 3, 2)), "x: events of shape"),
        ({"y": [[[1, 0]]]}, "events for"),
        ({}, "events for"),
    ],
)
def test_events_that_do_not_fit(events: object, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        run(check(program(S)), events)  # type: ignore[arg-type]


def test_inputs_of_different_length_are_refused() -> None:
    two = check(program(Node("y", Input(shape=(2,))), replace(S, inputs=(Edge("y"),))))
    with pytest.raises(CompileError, match="the inputs differ in samples or steps"):
        run(two, {"x": np.zeros((1, 3, 2)), "y": np.zeros((1, 2, 2))})


def test_events_may_be_booleans() -> None:
    assert run(check(program(S)), np.ones((1, 5, 2), bool))["s"].spikes.sum() == 2


def test_a_state_that_leaves_a_forbidding_clamp_is_an_error() -> None:
    clamp = Clamp(rule="forbid", low=-2, high=2)
    op = neuron(voltage=State(clamp=clamp), fire=Fire(compare=">", threshold=2))
    with pytest.raises(CompileError, match=r"s: 0..3 leaves \[-2, 2\]"):
        run(check(program(Node("s", op, (Edge("x"),)))), [[[1, 0]] * 3])
