"""Programs on torch beside the interpreter: every value, state and tally, on the cpu and a GPU."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from emulated_chains import assert_same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from plane_programs import planes
from program_strategies import INTEGER_FAMILIES, events, programs
from torch_devices import DEVICES

pytest.importorskip("torch", reason="programs on torch: the torch extra")

import torch
from fuzz.cases import Case
from fuzz.draw import drawn

from sast_compile.backends import reference
from sast_compile.backends.torch_program import run
from sast_compile.backends.torch_program.kinds import population_kind
from sast_compile.backends.torch_program.schedule import Plan
from sast_compile.errors import CompileError
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import BitShift, Clamp, Fire, Ref, Reset, State
from sast_compile.ir.ops import Add, Conv2d, Dense, Flatten, Input, Neuron, Terms, lookup
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.trace import Record

on_devices = pytest.mark.parametrize("device", DEVICES)
many = settings(deadline=None, suppress_health_check=list(HealthCheck))


@on_devices
@settings(many, max_examples=120)
@given(data=st.data())
def test_random_programs_of_every_chip(device: str, data: Any) -> None:
    program = data.draw(programs(families=INTEGER_FAMILIES))
    batch = data.draw(events(program))
    record: Record = data.draw(st.sampled_from(["states", "spikes", "outputs"]))
    assert_same(run(program, batch, record, device), reference.run(program, batch, record))


@on_devices
def test_programs_of_the_fuzz(device: str) -> None:
    """Of NIR graphs, the Loihi IR and Loihi chains; those that the compiler takes."""
    cases = [case for seed in range(60) if isinstance(case := drawn(seed), Case)]
    assert len(cases) > 45
    for case in cases:
        wanted = reference.run(case.program, case.events, "states")
        assert_same(run(case.program, case.events, "states", device), wanted)


@on_devices
def test_convolutions_and_pools(device: str) -> None:
    fired: Counter[str] = Counter()
    for seed in range(24):
        program, batch = planes(seed)
        wanted = reference.run(program, batch, "states")
        assert_same(run(program, batch, "states", device), wanted)
        fired.update(name for name, layer in wanted.layers.items() if layer.spikes.any())
    assert min(fired.values()) > 18
    assert len(fired) >= 4


def test_a_weight_that_is_one_more_is_seen() -> None:
    program, batch = planes(0)
    wanted = reference.run(program, batch, "states")
    for node in program.nodes:
        if isinstance(node.op, Dense | Conv2d):
            const = lookup(node.op.weight, program.consts)
            data = const.data.copy()
            data.flat[data.argmin()] += 1
            other = program.with_ops({}, {node.op.weight.name: Const(const.type, data)})
            with pytest.raises(AssertionError, match="Arrays are not equal"):
                assert_same(run(other, batch, "states"), wanted)


# ---- loops, delays, starts


def looped(order: tuple[str, ...]) -> Program:
    """a, then b with itself, and c behind both a (delayed) and b; the nodes of b in any order."""
    rng = np.random.default_rng(0)
    consts = {
        name: Const(TensorType(shape, Int(8)), rng.integers(-100, 128, shape))
        for name, shape in {"w": (5, 6), "u": (5, 5), "r": (5, 5), "s": (5, 5), "t": (5, 5)}.items()
    }

    def neuron(start: int) -> Neuron:
        return loihi_neuron((5,), du=3000, dv=100, threshold=60, start=start)

    nodes = {
        "x": Node("x", Input(shape=(6,))),
        "fa": Node("fa", Dense(weight=Ref("w")), (Edge("x", 2),)),
        "a": Node("a", neuron(1), (Edge("fa"),)),
        "fb": Node("fb", Dense(weight=Ref("u")), (Edge("a", 1),)),
        "rb": Node("rb", Dense(weight=Ref("r")), (Edge("b", 3),)),
        "sum": Node("sum", Add(), (Edge("fb"), Edge("rb"))),
        "b": Node("b", neuron(4), (Edge("sum"),)),
        "fc": Node("fc", Dense(weight=Ref("s")), (Edge("b", 1),)),
        "skip": Node("skip", Dense(weight=Ref("t")), (Edge("a", 40),)),
        "both": Node("both", Add(), (Edge("fc"), Edge("skip"))),
        "c": Node("c", neuron(2), (Edge("both"),)),
    }
    names = ("x", "fa", "a", *order, "sum", "b", "fc", "skip", "both", "c")
    return check(Program("looped", tuple(nodes[n] for n in names), ("c", "a"), consts))


@on_devices
@pytest.mark.parametrize("order", [("fb", "rb"), ("rb", "fb")])
@pytest.mark.parametrize("steps", [1, 9, 60])
def test_loops_delays_and_late_starts(device: str, order: tuple[str, ...], steps: int) -> None:
    program = looped(order)
    x = (np.random.default_rng(1).random((3, steps, 6)) < 0.5).astype(np.uint8)
    wanted = reference.run(program, x, "states")
    assert steps < 9 or all(layer.spikes.any() for layer in wanted.layers.values())
    assert_same(run(program, x, "states", device), wanted)


def test_only_a_loop_is_computed_step_by_step() -> None:
    stages = Plan(looped(("fb", "rb")), 5, "spikes").stages
    found = [(tuple(node.name for node in stage.nodes), stage.stepwise) for stage in stages]
    assert found[3:5] == [(("fb",), False), (("rb", "sum", "b"), True)]
    assert [stepwise for _, stepwise in found].count(True) == 1
    assert [stepwise for nodes, stepwise in found if len(nodes) > 1] == [True]


# ---- numbers at the edges of torch's types


def one_layer(
    weight: np.ndarray, bits: int, voltage: State, exponent: int = 0, signed: bool = True
) -> Program:
    """A population behind a matrix of elements of ``bits`` bits; the current is returned too."""
    fire, size = Fire(compare=">=", threshold=3), len(weight)
    consts = {"w": Const(TensorType(weight.shape, Int(bits)), weight)}
    neuron = Neuron(shape=(size,), voltage=voltage, fire=fire, reset=Reset(kind="zero"))
    nodes = (
        Node("x", Input(shape=(weight.shape[1],), bits=3, signed=signed)),
        Node("fc", Dense(weight=Ref("w"), exponent=exponent), (Edge("x"),)),
        Node("a", neuron, (Edge("fc"),)),
    )
    return check(Program("one", nodes, ("a", "fc"), consts))


@on_devices
@pytest.mark.parametrize("rule", ["saturate", "wrap", "wrap_once"])
@pytest.mark.parametrize("bits", [8, 15, 16, 31, 32, 40])
def test_registers_of_any_width(device: str, bits: int, rule: Any) -> None:
    """Weights and registers are as wide as each other, so every step leaves the clamp's range."""
    rng, high = np.random.default_rng(bits), (1 << bits - 1) - 1
    weight = rng.choice([-high, high, high - 1, 5, 1, -1, 0], (12, 4))
    program = one_layer(weight, bits, State(clamp=Clamp(rule=rule, low=-high, high=high), bias=-1))
    x = rng.integers(-4, 4, (4, 30, 4))
    wanted = reference.run(program, x, "states")
    tally = wanted["a"].tally
    assert tally is not None
    assert min(tally.spikes, tally.negatives, tally.clamped["v"]) > 50
    assert_same(run(program, x, "states", device), wanted)


@on_devices
@pytest.mark.parametrize("rule", ["saturate", "wrap", "wrap_once"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("bits", "register"), [(22, 20), (24, 22), (28, 30)])
def test_sums_that_are_wider_than_the_register(
    device: str, bits: int, register: int, sign: int, rule: Any
) -> None:
    """All of one sign, step after step: where one wrap does not suffice, v grows without end."""
    weight = np.full((2, 2), sign * ((1 << bits - 1) - 1))
    clamp = Clamp(rule=rule, low=-(1 << register), high=1 << register)
    program = one_layer(weight, bits, State(clamp=clamp), signed=False)
    x = np.full((1, 80, 2), 7)
    x[:, ::9] = 1
    wanted = reference.run(program, x, "states")
    assert wanted["fc"].spikes.all()
    assert_same(run(program, x, "states", device), wanted)


@on_devices
@pytest.mark.parametrize("exponent", [0, -20])
def test_terms_of_more_than_32_bits(device: str, exponent: int) -> None:
    clamp = Clamp(rule="saturate", low=-(1 << 45), high=1 << 45)
    program = one_layer(np.array([[1 << 40, -3], [5 << 30, 1 - (1 << 41)]]), 43, State(clamp=clamp))
    op, voltage = program.neurons["a"], State(clamp=clamp, adds="each")
    terms = Terms(weight=Ref("w"), exponent=exponent)
    program = check(program.with_ops({"fc": terms, "a": replace(op, voltage=voltage)}))
    x = np.random.default_rng(0).integers(-4, 4, (3, 20, 2))
    wanted = reference.run(program, x, "states")
    assert wanted["a"].spikes.any()
    assert_same(run(program, x, "states", device), wanted)


@on_devices
def test_a_population_that_hears_itself_without_a_projection(device: str) -> None:
    clamp = Clamp(rule="saturate", low=-1000, high=1000)
    program = one_layer(np.array([[3, -1], [2, 2]]), 8, State(clamp=clamp))
    synapses = (State(clamp=clamp), State(clamp=clamp, decay=BitShift(dash=2), decays="last"))
    *before, node = program.nodes
    heard = Node("a", replace(node.op, synapses=synapses), (*node.inputs, Edge("a", 1)))
    program = check(Program("self", (*before, heard), ("a",), program.consts))
    x = np.random.default_rng(0).integers(-4, 4, (3, 20, 2))
    wanted = reference.run(program, x, "states")
    assert wanted["a"].states["u1"].any()
    assert_same(run(program, x, "states", device), wanted)


@on_devices
@pytest.mark.parametrize("exponent", [-3, -40, 0, 2])
@pytest.mark.parametrize("bits", [8, 22, 27, 30, 46, 52])
def test_sums_of_any_width(device: str, bits: int, exponent: int) -> None:
    """Sums below 2^24, 2^31, 2^53, and beyond, with all their bits."""
    rng, high = np.random.default_rng(bits), (1 << bits - 1) - 1
    weight = rng.choice([-high, high, high // 3, 1], (12, 4))
    clamp = Clamp(rule="saturate", low=-(1 << 58), high=1 << 58)
    program = one_layer(weight, bits, State(clamp=clamp), exponent)
    x = rng.integers(-4, 4, (4, 30, 4))
    wanted = reference.run(program, x)
    by_hand = np.array(
        [[sum(int(w) * int(e) for w, e in zip(row, x[0, 0], strict=True)) for row in weight]]
    )
    shifted = by_hand << exponent if exponent > 0 else by_hand >> -exponent
    np.testing.assert_array_equal(wanted["fc"].spikes[0, :1], shifted)
    assert_same(run(program, x, device=device), wanted)


def test_populations_of_both_widths_are_among_the_programs() -> None:
    kinds: Counter[Any] = Counter()
    for seed in range(6):
        program, _ = planes(seed)
        for name, op in program.neurons.items():
            drives = [program.types[e.node].element for e in program.by_name[name].inputs]
            kinds[population_kind(op, program.consts, drives)] += 1
    assert min(kinds[torch.int32], kinds[torch.int64]) > 3


@on_devices
def test_a_state_that_leaves_a_range_said_to_hold_it_is_refused(device: str) -> None:
    clamp = Clamp(rule="forbid", low=-300, high=300)
    program = one_layer(np.array([[100, -100]]), 8, State(clamp=clamp))
    inside, outside = np.array([[[1, -2]] * 4]), np.array([[[3, -4]] * 4])
    assert_same(run(program, inside, device=device), reference.run(program, inside))
    for back_end in (reference.run, lambda *a: run(*a, device=device)):
        with pytest.raises(CompileError, match=r"^a: .*leaves \[-300, 300\]"):
            back_end(program, outside)


@on_devices
def test_parameters_of_each_neuron(device: str) -> None:
    """Leaks, biases, thresholds and amounts of one number per neuron, in planes."""
    rng = np.random.default_rng(3)
    program, batch = planes(1)
    (source,) = (n for n in program.nodes if isinstance(n.op, Flatten) and n.op.first == 1)
    shape = program.types[source.inputs[0].node].shape
    given = {"theta": (20, 90), "bias": (-20, 20)}
    consts = {
        name: Const(TensorType(shape, Int(9)), rng.integers(low, high, shape))
        for name, (low, high) in given.items()
    }
    name = source.inputs[0].node
    op = program.neurons[name]
    assert op.fire is not None
    assert op.reset is not None
    changed = replace(
        op,
        voltage=replace(op.voltage, bias=Ref("bias"), bias_exponent=-1),
        fire=replace(op.fire, threshold=Ref("theta")),
        reset=replace(op.reset, amount=Ref("theta")),
    )
    program = check(program.with_ops({name: changed}, consts))
    wanted = reference.run(program, batch, "states")
    assert wanted[name].spikes.any()
    assert_same(run(program, batch, "states", device), wanted)
