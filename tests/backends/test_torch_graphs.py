"""The torch integer model of bare NIR graphs: every wiring, equal to the interpreter's program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch integer model: the torch extra")

from integer_programs import integer
from msgspec.structs import replace as with_fields
from nir_cases import CASES, PATHS, PRODUCTS, WIRINGS, net_of
from nir_nets import DT, STEPS, Net

from sast_compile.backends import reference, torch_integers
from sast_compile.compare import compare_traces
from sast_compile.compile import lower
from sast_compile.errors import CompileError, Unsupported
from sast_compile.frontend.graph_module import GraphModule
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.events import together
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Edge, Program, check
from sast_compile.ir.types import Const
from sast_compile.passes import Options, Rounding
from sast_compile.presets import named_contract
from sast_compile.target import load_target
from sast_compile.trace import Trace

SEEDS = 4


def graph_of(net: Net) -> nir.NIRGraph:
    return net.nested() if net.inner else net.graph()


def program_of(net: Net) -> Program:
    return integer(to_program(graph_of(net), net.contract(), "net"))


def torch_trace(net: Net, program: Program, x: Any, back: int = 1) -> Trace:
    contract = with_fields(named_contract("sast", DT), feedback=back)
    module = GraphModule(graph_of(net), contract)
    return torch_integers.run(module, program, x, module.holders(program))


def same(ours: Trace, theirs: Trace) -> bool:
    """Spikes and all states of every layer."""
    compared = compare_traces(ours, theirs)
    assert [layer.layer for layer in compared] == list(ours.layers)
    return all(layer.identical for layer in compared)


@pytest.mark.parametrize("case", CASES)
def test_every_graph(case: str) -> None:
    active: list[bool] = []
    for seed in range(SEEDS):
        net = net_of(CASES[case], seed)
        program, x = program_of(net), net.events()
        chip = reference.run(program, x, record="states")
        ours = torch_trace(net, program, x)
        assert same(chip, ours)
        for name, op in program.neurons.items():
            assert set(ours[name].states) == set(chip[name].states)
            if op.fire is not None:
                active.append(0.05 < chip[name].spikes.mean() < 0.99)
    assert np.mean(active) > 0.8


# by the passes (a loop has fewer steps than projections; no lasting current), or by L2
LOOPS = {"two layers in a loop", "loops in loops", "loop with a delay", "loop with a delay of some"}
CURRENTS = {"CubaLIF", "CubaLI"}
SHARED = {"diamond", "sum before a weight"}  # a layer on two paths, of two best scales
REFUSED: dict[tuple[str, Rounding], set[str]] = {
    ("loihi2", "nearest"): {*LOOPS, "one weight for two"},
    ("loihi2", "membrane"): {*LOOPS, "one weight for two", *SHARED},
    ("paper-sim", "nearest"): CURRENTS,
    ("paper-sim", "membrane"): {*CURRENTS, "loops in loops", "one weight for two", *SHARED},
}


@pytest.mark.parametrize(("target", "rounding"), REFUSED)
def test_every_graph_as_the_passes_compile_it(target: str, rounding: Rounding) -> None:
    refused = set()
    for case, build in CASES.items():
        net = net_of(build, 0)
        contract, x = with_fields(net.contract(), leak="euler"), net.events()
        floats = to_program(graph_of(net), contract, "net")
        try:
            options = Options(8, STEPS, rounding=rounding)
            program = lower(floats, load_target(target), options)[-1].program
            ours = torch_trace(net, program, x)
        except Unsupported:
            refused.add(case)
            continue
        chip = reference.run(program, x, record="states")
        assert same(chip, ours), case
        assert all(chip[name].spikes.any() for name in program.neurons), case
    assert refused == REFUSED[target, rounding]


@pytest.mark.parametrize("case", ["itself", "loops in loops", "loop with a delay of some"])
def test_loops_that_look_back_further(case: str) -> None:
    net = net_of(WIRINGS[case], 1)
    x, contract = net.events(), with_fields(net.contract(), feedback=3)
    program = integer(to_program(net.graph(), contract, "net"))
    chip = reference.run(program, x, record="states")
    assert same(chip, torch_trace(net, program, x, back=3))
    assert not same(chip, torch_trace(net, program, x, back=1))


def test_several_inputs_as_one_array() -> None:
    net = net_of(WIRINGS["two ends"], 1)
    program, x = program_of(net), net.events()
    assert same(torch_trace(net, program, x), torch_trace(net, program, together(x)))


# ---- wrong lowerings of the wiring: L2 has its own, so L2 and L3 part


def rewired(program: Program) -> Iterator[tuple[str, Program]]:
    """Every program with one edge that is one step slower, or lost from a sum."""
    for at, node in enumerate(program.nodes):
        for i, edge in enumerate(node.inputs):
            slow = (*node.inputs[:i], Edge(edge.node, edge.delay + 1), *node.inputs[i + 1 :])
            nodes = [*program.nodes]
            nodes[at] = replace(node, inputs=slow)
            yield f"{edge} -> {node.name} is slow", check(replace(program, nodes=tuple(nodes)))
            if len(node.inputs) > 1:
                nodes[at] = replace(node, inputs=(*node.inputs[:i], *node.inputs[i + 1 :]))
                yield f"{edge} -> {node.name} is lost", check(replace(program, nodes=tuple(nodes)))


@pytest.mark.parametrize("case", [*WIRINGS, "delay of each", "delays around", "delay of all"])
def test_a_wrong_edge_is_noticed(case: str) -> None:
    net = net_of((WIRINGS | PATHS)[case], 1)
    program, x = program_of(net), net.events()
    assert same(reference.run(program, x, record="states"), torch_trace(net, program, x))
    assert [what for what, wrong in rewired(program) if not noticed(net, wrong, x)] == []


def noticed(net: Net, wrong: Program, x: Any) -> bool:
    """Whether a difference is found, or an error that is no mere refusal."""
    try:
        return not same(reference.run(wrong, x, record="states"), torch_trace(net, wrong, x))
    except CompileError as error:
        return not isinstance(error, Unsupported)


def moved(program: Program) -> Iterator[Program]:
    """Every program in which one window lies a row lower."""
    for node in program.nodes:
        op = node.op
        if isinstance(op, (Conv2d, SumPool2d)) and op.padding[0][0]:
            (top, bottom), columns = op.padding
            padding = ((top - 1, bottom + 1), columns)
            yield check(program.with_ops({node.name: with_fields(op, padding=padding)}))


@pytest.mark.parametrize("case", ["same", "strides", "padded pool-conv", "pool-conv", "pool alone"])
def test_a_window_at_the_wrong_place_is_noticed(case: str) -> None:
    net = net_of(PATHS[case], 1)
    program, x = program_of(net), net.events()
    wrong = list(moved(program))
    assert wrong
    for mutant in wrong:
        assert not same(reference.run(mutant, x, record="states"), torch_trace(net, mutant, x))


def test_inputs_that_are_exchanged_are_noticed() -> None:
    net = Net(np.random.default_rng(0))
    net.nodes |= {"a": nir.Input(np.array([5])), "b": nir.Input(np.array([5]))}
    net.nodes |= {"fa": net.dense(6, 5), "fb": net.dense(6, 5), "lif1": net.lif(6)}
    net.nodes |= {"output": nir.Output(np.array([6]))}
    net.wire("a > fa > lif1 > output")
    net.wire("b > fb > lif1")
    program, x = program_of(net), net.events()
    chip = reference.run(program, x, record="states")
    assert same(chip, torch_trace(net, program, x))
    assert not same(chip, torch_trace(net, program, {"a": x["b"], "b": x["a"]}))


# ---- what no layer holds


@pytest.mark.parametrize("case", PRODUCTS)
def test_products_are_refused(case: str) -> None:
    net = net_of(PRODUCTS[case], 0)
    program = program_of(net)
    with pytest.raises(Unsupported, match=r"^(fc: feeds fd|conv: feeds p) without a neuron betw"):
        torch_trace(net, program, net.events())


def with_weight(program: Program, name: str, change: Any) -> Program:
    key = program.by_name[name].op.weight.name  # type: ignore[union-attr]  # a projection
    const = program.consts[key]
    return check(program.with_ops({}, {key: Const(const.type, change(const.data.copy()))}))


def one_more(weight: Any) -> Any:
    weight.flat[1] += 1
    return weight


@pytest.mark.parametrize(
    ("case", "name", "change", "message"),
    [
        ("one weight for two", "fd.lif2", one_more, "has other integers than fd, and the two are"),
        ("diamond", "fc", one_more, "has other integers than fc"),
        ("delays around", "fc.d1", lambda w: w + 1, "has other integers than fc.d0"),
        ("scale alone", "lif1.in", one_more, "lif1.in: mixes elements, where the graph has no"),
        ("pool alone", "p", one_more, "p: mixes elements, where the graph has no weight"),
    ],
)
def test_integers_that_no_layer_holds_are_refused(
    case: str, name: str, change: Any, message: str
) -> None:
    net = net_of(CASES[case], 1)
    program = program_of(net)
    assert name in program.by_name
    with pytest.raises(CompileError, match=message):
        torch_trace(net, with_weight(program, name, change), net.events())


def test_a_layer_that_the_program_lacks_is_refused() -> None:
    net = net_of(WIRINGS["skip"], 1)
    program = program_of(net)
    total = program.by_name["lif2.sum"]
    nodes = tuple(
        replace(n, inputs=total.inputs[:1]) if n is total else n
        for n in program.nodes
        if n.name != "skip"
    )
    with pytest.raises(Unsupported, match="the program has no projection of this layer"):
        torch_trace(net, check(replace(program, nodes=nodes)), net.events())
