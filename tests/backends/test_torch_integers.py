"""The torch integer model: equal to the interpreter, but by the module's own topology."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch integer model: the torch extra")

import nir
import torch
from float_programs import Array, FloatLayer, events, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields
from network_sources import STEPS, compiled, source, with_thresholds, without_module

from sast_compile.backends import reference, torch_integers
from sast_compile.compare import compare_traces
from sast_compile.contract import Contract, Encoding, ResetWhen
from sast_compile.errors import CompileError, Unsupported
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.source import Source
from sast_compile.ir.neuron import BitShift, Clamp, MulShift, Reset, State
from sast_compile.ir.ops import Dense, Neuron
from sast_compile.ir.program import Edge, Program, check
from sast_compile.ir.types import Const
from sast_compile.levels import hard_spikes, integer_trace
from sast_compile.nn import Network
from sast_compile.trace import Trace

SHAPE = (2, 3, 2)  # no two orders of its axes give the same flatten


def assert_equal(chip: Trace, torch_: Trace) -> None:
    """Spikes, u and v of every layer are the same, and there are spikes."""
    compared = compare_traces(chip, torch_)
    assert [layer.layer for layer in compared] == list(chip.layers)
    for layer in compared:
        assert layer.identical, layer.difference
        assert set(layer.values) == {"spikes", "u", "v"}
        assert layer.spikes, f"{layer.layer} is silent"


def same(chip: Trace, torch_: Trace) -> bool:
    return all(layer.identical for layer in compare_traces(chip, torch_))


def random_layers(seed: int) -> tuple[list[FloatLayer], Array]:
    """Two or three layers behind a flatten, and events that make each of them spike."""
    rng = np.random.default_rng(seed)
    when: ResetWhen = "before_decay" if rng.random() < 0.5 else "after_fire"
    sizes = [12, *(int(n) for n in rng.integers(4, 8, rng.integers(2, 4)))]
    layers = [
        FloatLayer(
            rng.normal(0.15, 0.8, (outputs, inputs)),
            alpha=float(rng.uniform(0.3, 1)),
            bias=rng.normal(0, 0.1, outputs) if rng.random() < 0.5 else 0.0,
            when=when,
        )
        for inputs, outputs in pairwise(sizes)
    ]
    x = events((3, STEPS, *SHAPE), 0.4, seed)
    return with_thresholds(layers, x, [0.4] * len(layers), least=0.1), x


def test_random_networks_and_their_bare_graphs() -> None:
    active: list[bool] = []

    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), bits=st.integers(2, 8))
    def agree(seed: int, bits: int) -> None:
        layers, x = random_layers(seed)
        given_ = source(layers, SHAPE)
        program = compiled(given_, bits)
        chip = reference.run(program, x, record="states")
        ours, graph = (integer_trace(s, program, x) for s in (given_, without_module(given_)))
        for other in (ours, graph):
            compared = compare_traces(chip, other)
            assert [layer.layer for layer in compared] == list(program.neurons)
            for layer in compared:
                assert layer.identical, layer.difference
                assert set(layer.values) == {"spikes", "u", "v"}
        active.append(all(chip[name].spikes.any() for name in program.neurons))

    agree()
    assert np.mean(active) > 0.7


# ---- a graph with a skip connection and dots in its names, as other tools write them


def skip_source() -> tuple[Source, Array]:
    """input -> fc1 -> lif1 -> fc2 -> lif2, and input -> skip -> lif2."""
    rng = np.random.default_rng(1)

    def population(n: int, threshold: float) -> Any:
        one = np.ones(n)
        return nir.LIF(
            tau=5e-3 * one, r=5 * one, v_leak=0 * one, v_threshold=threshold * one,
            v_reset=0 * one,
        )  # fmt: skip

    nodes = {
        "input": nir.Input(np.array([4])),
        "net.fc1": nir.Affine(rng.normal(0.3, 0.6, (5, 4)), rng.normal(0, 0.1, 5)),
        "net.lif1": population(5, 1.0),
        "net.fc2": nir.Linear(rng.normal(0.1, 0.6, (3, 5))),
        "net.skip": nir.Linear(rng.normal(0.1, 0.6, (3, 4))),
        "net.lif2": population(3, 0.8),
        "output": nir.Output(np.array([3])),
    }
    edges = [
        ("input", "net.fc1"), ("net.fc1", "net.lif1"), ("net.lif1", "net.fc2"),
        ("net.fc2", "net.lif2"), ("input", "net.skip"), ("net.skip", "net.lif2"),
        ("net.lif2", "output"),
    ]  # fmt: skip
    graph = nir.NIRGraph(nodes=nodes, edges=edges)
    encoding = Encoding(steps=STEPS, axes="C", values="binary", bin="1 ms")
    contract = Contract(
        dt=1e-3, leak="euler", reset="zero", reset_when="after_fire", compare=">", encoding=encoding
    )
    program = to_program(graph, contract, "skip")
    return Source("skip.nir", "", graph, contract, program, None, None), events((4, STEPS, 4), 0.5)


def test_a_graph_with_a_skip_connection() -> None:
    given_, x = skip_source()
    program = compiled(given_)
    assert_equal(reference.run(program, x, record="states"), integer_trace(given_, program, x))


# ---- wrong lowerings that change the wiring: L2 has its own, so L2 and L3 part


def with_edges(program: Program, edges: dict[str, tuple[Edge, ...]]) -> Program:
    nodes = tuple(replace(n, inputs=edges.get(n.name, n.inputs)) for n in program.nodes)
    return check(replace(program, nodes=nodes))


def test_a_lost_skip_path_is_noticed() -> None:
    given_, x = skip_source()
    program = compiled(given_)
    meet = program.by_name["net.lif2.sum"]
    kept = tuple(edge for edge in meet.inputs if edge.node != "net.skip")
    wrong = with_edges(program, {meet.name: kept})
    assert not same(reference.run(wrong, x, record="states"), integer_trace(given_, wrong, x))


def test_a_path_that_is_not_balanced_is_noticed() -> None:
    given_, x = skip_source()
    program = compiled(given_)
    meet = program.by_name["net.lif2.sum"]
    assert any(edge.delay for edge in meet.inputs)  # the short path waits
    wrong = with_edges(program, {meet.name: tuple(Edge(e.node) for e in meet.inputs)})
    assert not same(reference.run(wrong, x, record="states"), integer_trace(given_, wrong, x))


def square_source(when: Any = "after_fire") -> tuple[Source, Array]:
    """Two hidden layers of one shape, all numbers on the chip's grid: L1 = L2 = L3."""
    rng = np.random.default_rng(3)
    sizes = [(6, 12), (6, 6), (6, 6), (4, 6)]
    layers = [
        FloatLayer(rng.integers(-20, 40, size) / 32, bias=rng.integers(-4, 5, size[0]) / 32,
                   when=when)
        for size in sizes
    ]  # fmt: skip
    x = events((4, STEPS, *SHAPE), 0.4)
    return source(with_thresholds(layers, x, [0.2, 0.3, 0.4, 0.4]), SHAPE), x


def test_two_layers_in_the_wrong_order_are_noticed() -> None:
    given_, x = square_source()
    program = compiled(given_)
    assert_equal(reference.run(program, x, record="states"), integer_trace(given_, program, x))
    nodes = {n.name: n for n in program.nodes}
    wrong = with_edges(
        replace(program, nodes=tuple(
            nodes[n] for n in ("input", "flatten", "fc1", "lif1", "fc3", "lif3", "fc2", "lif2",
                               "fc4", "lif4")
        )),
        {"fc3": (Edge("lif1", 1),), "fc2": (Edge("lif3", 1),), "fc4": (Edge("lif2", 1),)},
    )  # fmt: skip
    starts = {"lif3": 2, "lif2": 3}
    wrong = wrong.with_ops(
        {name: with_fields(wrong.neurons[name], start=start) for name, start in starts.items()}
    )
    assert not same(reference.run(wrong, x, record="states"), integer_trace(given_, wrong, x))


def test_an_input_with_its_axes_in_another_order_is_noticed() -> None:
    given_, x = square_source()
    program = compiled(given_)
    lain = with_fields(program.by_name["input"].op, shape=(3, 2, 2))  # YXP where the net has PYX
    wrong = check(program.with_ops({"input": lain}))
    chip = reference.run(wrong, x.transpose(0, 1, 3, 4, 2), record="states")
    assert not same(chip, integer_trace(given_, wrong, x))


# ---- wrong lowerings that change the integers: L2 takes them from the program, so L2 = L3; what
# notices them is L1, which the law makes equal to the integers on such a net


def permuted_flatten(program: Program) -> Program:
    const = weights_of(program, "fc1")
    order = np.arange(12).reshape(SHAPE).transpose(2, 1, 0).ravel()  # as if x were the first axis
    return program.with_ops({}, {"fc1.weight": Const(const.type, const.data[:, order])})


def dropped_exponent(program: Program) -> Program:
    op = program.by_name["fc2"].op
    assert isinstance(op, Dense)
    return program.with_ops({"fc2": with_fields(op, exponent=op.exponent - 1)})


def swapped_thresholds(program: Program) -> Program:
    first, second = program.neurons["lif2"].fire, program.neurons["lif3"].fire
    assert first != second
    return program.with_ops({
        "lif2": with_fields(program.neurons["lif2"], fire=second),
        "lif3": with_fields(program.neurons["lif3"], fire=first),
    })  # fmt: skip


def comparison_not_folded(program: Program) -> Program:
    """As if >= became > with the same threshold."""
    op = program.neurons["lif1"]
    assert op.fire is not None
    assert isinstance(op.fire.threshold, int)
    fire = with_fields(op.fire, threshold=op.fire.threshold + 1)
    return program.with_ops({"lif1": with_fields(op, fire=fire)})


def lost_bias(program: Program) -> Program:
    op = program.neurons["lif2"]
    return program.with_ops({"lif2": with_fields(op, voltage=with_fields(op.voltage, bias=0))})


def transposed_weights(program: Program) -> Program:
    const = weights_of(program, "fc2")
    return program.with_ops({}, {"fc2.weight": Const(const.type, const.data.T)})


@pytest.mark.parametrize(
    "wrong",
    [
        permuted_flatten,
        dropped_exponent,
        swapped_thresholds,
        comparison_not_folded,
        lost_bias,
        transposed_weights,
    ],
)
def test_wrong_integers_are_noticed_beside_the_float_model(wrong: Any) -> None:
    given_, x = square_source()
    program = compiled(given_)
    floats = hard_spikes(given_, x)
    right = integer_trace(given_, program, x)
    assert all(np.array_equal(floats[n], right[n].spikes) for n in program.neurons)
    mutant = check(wrong(program))
    integers = integer_trace(given_, mutant, x)
    # the interpreter alone sees nothing: it has only the program
    assert same(reference.run(mutant, x, record="states"), integers)
    assert any(not np.array_equal(floats[n], integers[n].spikes) for n in program.neurons)


# ---- the equations are its own: every rounding, clamp and reset against the interpreter's

SMALL = {"low": -300, "high": 200}
VOLTAGES = {
    "no leak": State(clamp=Clamp(rule="saturate", **SMALL)),
    "saturate": State(decay=MulShift(decay=410), clamp=Clamp(rule="saturate", **SMALL)),
    "wrap": State(decay=MulShift(decay=410), clamp=Clamp(rule="wrap", **SMALL)),
    "wrap_once": State(decay=MulShift(decay=410), clamp=Clamp(rule="wrap_once", **SMALL)),
    "floor": State(decay=MulShift(decay=700, rounding="floor"), clamp=Clamp(rule="wrap", **SMALL)),
    "half_even": State(
        decay=MulShift(decay=3, bits=3, rounding="half_even"), clamp=Clamp(rule="wrap", **SMALL)
    ),
    "shift": State(decay=BitShift(dash=2), clamp=Clamp(rule="wrap", **SMALL)),
    "creep": State(decay=BitShift(dash=5, min_step=1), clamp=Clamp(rule="wrap", **SMALL)),
    "bias": State(bias=-7, bias_exponent=-1, gain=3, clamp=Clamp(rule="wrap", **SMALL)),
}


RESETS = [
    Reset(kind=kind, when=when, amount=90 if kind == "subtract" else 0)
    for kind in ("zero", "subtract")
    for when in ("after_fire", "before_decay", "after_decay")
]


@pytest.mark.parametrize("name", VOLTAGES)
@pytest.mark.parametrize("reset", RESETS, ids=lambda r: f"{r.kind}-{r.when}")
@pytest.mark.parametrize("compare", [">", ">="])
def test_every_equation_against_the_interpreters(name: str, reset: Reset, compare: Any) -> None:
    given_, x = square_source()
    program = compiled(given_)
    ops: dict[str, Any] = {}
    for layer, op in program.neurons.items():
        assert op.fire is not None
        fire = with_fields(op.fire, compare=compare, threshold=90, unit=1)
        ops[layer] = with_fields(op, voltage=VOLTAGES[name], synapses=(), fire=fire, reset=reset)
    dense = {n.name: n.op for n in program.nodes if isinstance(n.op, Dense)}
    ops |= {key: with_fields(op, exponent=1) for key, op in dense.items()}
    changed = check(program.with_ops(ops))
    chip = reference.run(changed, x, record="states")
    ours = integer_trace(given_, changed, x)
    for layer in compare_traces(chip, ours):
        assert layer.identical, layer.difference
        assert set(layer.values) == {"spikes", "v"}
    tallies = [layer.tally for layer in chip.layers.values() if layer.tally]
    assert all(t.spikes for t in tallies)
    assert any(t.clamped["v"] for t in tallies)
    assert any(t.negatives for t in tallies)


def test_a_forbidden_value_is_an_error_that_names_the_layer() -> None:
    given_, x = square_source()
    program = compiled(given_)
    op = program.neurons["lif2"]
    clamp = Clamp(rule="forbid", low=-64, high=64)
    mutant = program.with_ops({"lif2": with_fields(op, voltage=State(clamp=clamp))})
    for run in (lambda: integer_trace(given_, mutant, x), lambda: reference.run(mutant, x)):
        with pytest.raises(CompileError, match=r"^lif2: "):
            run()


# ---- what it refuses


def small() -> tuple[Network, Program, Array]:
    given_, x = square_source()
    assert given_.network is not None
    return given_.network, compiled(given_), x


def test_the_users_module_is_left_alone() -> None:
    net, program, x = small()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    torch_integers.run(net, program, x)
    after = net.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert set(before) == set(after)
    assert not any(isinstance(m, torch_integers.IntegerNeuron) for m in net.modules())


def test_a_node_without_a_layer_is_refused() -> None:
    net, program, x = small()
    with pytest.raises(CompileError, match=r"^fc1: the torch module has no layer of this name"):
        torch_integers.run(net, program, x, {"fc1": "elsewhere"})
    with pytest.raises(CompileError, match=r"^lif1: the torch module has no layer of this name"):
        torch_integers.run(net, program, x, {"lif1": "elsewhere"})


def test_a_projection_of_another_shape_is_refused() -> None:
    net, program, x = small()
    message = r"^fc1: the module is Linear, the program has a projection \(6, 12\)"
    with pytest.raises(CompileError, match=message):
        torch_integers.run(net, program, x, {"fc1": "fc2"})
    with pytest.raises(CompileError, match=r"^fc1: the module is Flatten"):
        torch_integers.run(net, program, x, {"fc1": "flatten"})


def test_events_that_are_no_integers_are_refused() -> None:
    net, program, x = small()
    with pytest.raises(CompileError, match=r"^lif1: a current is no exact integer"):
        torch_integers.run(net, program, 0.3 * x)


def test_a_right_shift_is_refused() -> None:
    net, program, x = small()
    op = with_fields(program.by_name["fc1"].op, exponent=-1)
    with pytest.raises(Unsupported, match=r"^fc1: an exponent below 0 rounds"):
        torch_integers.run(net, program.with_ops({"fc1": op}), x)


@pytest.mark.parametrize("part", ["two spikes", "floor", "decays last", "float"])
def test_neurons_that_it_has_not_are_refused(part: str) -> None:
    net, program, x = small()
    op = program.neurons["lif1"]
    assert op.fire is not None
    assert op.reset is not None
    float_op = square_source()[0].program.neurons["lif1"]
    others: dict[str, Neuron] = {
        "two spikes": with_fields(op, fire=with_fields(op.fire, limit=2)),
        "floor": with_fields(op, reset=with_fields(op.reset, floor=0)),
        "decays last": with_fields(op, voltage=with_fields(op.voltage, decays="last")),
        "float": float_op,
    }
    with pytest.raises(Unsupported, match=r"^lif1: the torch integer model has no such"):
        torch_integers.run(net, program.with_ops({"lif1": others[part]}), x)
