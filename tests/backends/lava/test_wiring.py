"""Any wiring on Lava: delays, loops through several layers, early and late starts, readouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lava_equality import Case, assert_equal_on_lava, assert_lively, differences
from loihi_graphs import each_its_own, lively, random_graph, with_neurons
from loihi_programs import LoihiLayer, chain, loihi_neuron
from msgspec.structs import replace as with_fields

from sast_compile.backends import reference
from sast_compile.backends.lava import lava_status, lower, run, run_many
from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Conv2d, Dense, Flatten, Input
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.passes.balance_latency import balance_latency
from sast_compile.passes.lowered import Options
from sast_compile.target import load_target

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(lava_status().python is None, reason=f"NO LAVA: {lava_status()}"),
]


def test_random_wiring() -> None:
    """Several samples in one run, so that a current of the sample before would be seen."""
    cases = [random_graph(seed) for seed in range(8)]
    graphs = [lower(program) for program, _ in cases]
    paths = [path for graph in graphs for path in graph.projections]
    assert {path.delay for path in paths} >= {1, 2, 3, 4, 5}
    assert {path.lag for path in paths} >= {-2, -1, 0, 1, 2, 3}
    assert {graph.gap for graph in graphs} >= {0, 1, 2}
    assert sum(_has_long_loop(program) for program, _ in cases) >= 3
    assert_lively(cases, assert_equal_on_lava(cases))


def _has_long_loop(program: Program) -> bool:
    """Whether spikes of a population come back to it through another one."""
    paths = {(p.source, p.target) for p in lower(program).projections}
    for _ in program.neurons:
        paths |= {(a, d) for a, b in paths for c, d in paths if b == c and a != d}
    return any((b, a) in paths for a, b in paths if a != b)


def long_delays() -> Case:
    """Seven delays up to the longest into one population, from an input and round a loop."""
    rng = np.random.default_rng(3)
    nodes, consts = [Node("x", Input(shape=(5,)))], {}
    for delay in (1, 2, 5, 17, 33, 62, 63):
        consts[f"w{delay}"] = Const(TensorType((6, 5), Int(8)), rng.integers(-128, 128, (6, 5)))
        op = Dense(weight=Ref(f"w{delay}"), exponent=1)
        nodes.append(Node(f"a{delay}", op, (Edge("x", delay),)))
    consts["r"] = Const(TensorType((6, 6), Int(8)), rng.integers(-128, 128, (6, 6)))
    nodes.append(Node("r", Dense(weight=Ref("r"), exponent=1), (Edge("s", 40),)))
    currents = tuple(Edge(node.name) for node in nodes[1:])
    nodes += [Node("i", Add(), currents), Node("s", loihi_neuron(6, vth=1), (Edge("i"),))]
    program = check(Program("long_delays", tuple(nodes), ("s",), consts))
    events = (rng.random((2, 80, 5)) < 0.3).astype(int)
    return lively(program, {"x": events}, rng), {"x": events}


def conv_skip() -> Case:
    """Convolutions that wait, beside one another and behind a population; a flattened skip."""
    rng = np.random.default_rng(4)
    shapes = {"k": (2, 1, 3, 3), "q": (3, 2, 2, 2), "w": (4, 3 * 3), "z": (4, 20)}
    consts = {
        name: Const(TensorType(shape, Int(4)), rng.integers(-8, 8, shape))
        for name, shape in shapes.items()
    }
    wide = with_fields(loihi_neuron(1, dv=300, vth=1), shape=(2, 4, 2))
    deep = with_fields(loihi_neuron(1, du=2000, vth=1, start=3), shape=(3, 3, 1))
    pad = ((1, 1), (0, 1))
    nodes = (
        Node("x", Input(shape=(1, 4, 5))),
        Node("a", Conv2d(weight=Ref("k"), padding=pad, stride=(1, 2), exponent=5), (Edge("x", 1),)),
        Node("b", Conv2d(weight=Ref("k"), padding=pad, stride=(1, 2), exponent=5), (Edge("x", 4),)),
        Node("i", Add(), (Edge("a"), Edge("b"))),
        Node("s", wide, (Edge("i"),)),
        Node("c", Conv2d(weight=Ref("q"), exponent=5), (Edge("s"),)),
        Node("t", deep, (Edge("c", 2),)),
        Node("flat", Flatten(), (Edge("t", 1),)),
        Node("d", Dense(weight=Ref("w"), exponent=5), (Edge("flat", 1),)),
        Node("skip", Flatten(), (Edge("x", 1),)),
        Node("e", Dense(weight=Ref("z"), exponent=5), (Edge("skip", 4),)),
        Node("j", Add(), (Edge("d"), Edge("e"))),
        Node("o", loihi_neuron(4, start=5, vth=1), (Edge("j"),)),
    )
    program = check(Program("conv_skip", nodes, ("o",), consts))
    events = {"x": (rng.random((3, 12, 1, 4, 5)) < 0.4).astype(int)}
    return lively(program, events, rng), events


def apart() -> Case:
    """Two populations that only drive each other, started by a bias, beside one with an input."""
    consts = {"w": Const(TensorType((2, 2), Int(8)), [[90, -40], [70, 30]])}
    dense = Dense(weight=Ref("w"), exponent=2)
    nodes = (
        Node("x", Input(shape=(2,))),
        Node("a", dense, (Edge("x", 1),)),
        Node("s", loihi_neuron(2, vth=120), (Edge("a"),)),
        Node("b", dense, (Edge("q", 2),)),
        Node("p", loihi_neuron(2, start=0, vth=150, bias=700, dv=200), (Edge("b"),)),
        Node("c", dense, (Edge("p", 3),)),
        Node("q", loihi_neuron(2, start=2, vth=200), (Edge("c"),)),
    )
    events = (np.random.default_rng(0).random((2, 40, 2)) < 0.5).astype(int)
    return check(Program("apart", nodes, ("s", "q"), consts)), {"x": events}


def test_long_delays_convolutions_and_a_population_apart() -> None:
    cases = [long_delays(), conv_skip(), apart()]
    assert lower(cases[2][0]).adrift == ("p",)
    assert_lively(cases, assert_equal_on_lava(cases))


def untimed() -> Case:
    """Three layers in no time: skips over one and two, a layer with itself, and round all three."""
    rng = np.random.default_rng(12)
    paths = {  # source, delay
        "s1": [("x", 0), ("s3", 3)],
        "s2": [("s1", 0), ("s2", 1), ("x", 2)],
        "s3": [("s2", 0), ("s1", 0), ("x", 0)],
    }
    nodes, consts = [Node("x", Input(shape=(5,)))], {}
    for name, sources in paths.items():
        currents = []
        for source, delay in sources:
            label = f"{name}.{source}"
            data = rng.integers(-100, 128, (5, 5))
            consts[label] = Const(TensorType((5, 5), Int(8)), data)
            dense = Dense(weight=Ref(label), exponent=1)
            nodes.append(Node(label, dense, (Edge(source, delay),)))
            currents.append(Edge(label))
        nodes.append(Node(f"{name}.sum", Add(), tuple(currents)))
        neuron = loihi_neuron(5, start=0, dv=400, vth=1, bias=-300)
        nodes.append(Node(name, neuron, (Edge(f"{name}.sum"),)))
    events = {"x": (rng.random((3, 20, 5)) < 0.4).astype(int)}
    return lively(check(Program("untimed", tuple(nodes), ("s3",), consts)), events, rng), events


def test_what_the_latency_pass_delays_is_the_same_in_every_column() -> None:
    """The whole way: a program in which nothing takes time, timed for the chip, on Lava."""
    program, events = untimed()
    with pytest.raises(Unsupported, match="in the same step"):
        lower(program)
    timed = balance_latency(program, load_target("loihi2"), Options()).program
    graph = lower(timed)
    assert {(p.delay, p.lag) for p in graph.projections} >= {(1, 0), (2, 0), (3, 0), (1, 1), (1, 3)}
    wanted = reference.run(program, events, "states")
    found = run(timed, events)
    assert differences(found.trace, wanted) == {"s1": 0, "s2": 0, "s3": 0}
    assert all(0 < wanted[name].spikes.mean() < 0.9 for name in program.neurons)
    assert found.own == {}


def test_samples_shorter_than_the_delays() -> None:
    """Of 1 to 3 steps: most of what is on its way belongs to samples that are over."""
    cases: list[Case] = []
    for seed in (3, 7):  # a loop; a population that reads ahead
        program, events = random_graph(seed, samples=6)
        cases += [(program, {n: e[:, :steps] for n, e in events.items()}) for steps in (1, 3)]
    tallies = assert_equal_on_lava(cases)
    assert sum(t.spikes for case in tallies for t in case.values()) > 20


def test_one_step_more_on_any_path_is_found() -> None:
    """The negative control: each delay, one longer, and the layer behind it first of all."""
    program, events = long_delays()
    expected = reference.run(program, events, "states")
    mutants = [_one_step_longer(program, name) for name in ("a2", "a33", "a62", "r")]
    for trace in run_many([(mutant, events) for mutant in mutants]).traces:
        assert differences(trace, expected)["s"] > 0


def _one_step_longer(program: Program, dense: str) -> Program:
    nodes = tuple(
        replace(n, inputs=(replace(n.inputs[0], delay=n.inputs[0].delay + 1),))
        if n.name == dense
        else n
        for n in program.nodes
    )
    return replace(program, nodes=nodes)


def test_registers_of_each_neuron() -> None:
    """Leaks and thresholds that differ: Intel's equations on arrays; one leak halved is found."""
    cases: list[Case] = []
    for seed in (3, 25, 32, 36):
        program, events = random_graph(seed)
        cases.append((with_neurons(program, events, seed, each_its_own), events))
    assert all(p.differs for program, _ in cases for p in lower(program).populations)
    assert_lively(cases, assert_equal_on_lava(cases))
    program, events = cases[0]
    const = next(name for name in program.consts if name.startswith("dv"))
    other = replace(program, consts={**program.consts, const: _halved(program.consts[const])})
    (trace,) = run_many([(other, events)]).traces
    assert any(differences(trace, reference.run(program, events, "states")).values())


def _halved(const: Const) -> Const:
    """The leak of the last neuron, halved."""
    data = const.data.copy()
    data[-1] //= 2
    return Const(const.type, data)


def readout(weights: Any, **registers: Any) -> Program:
    """A layer that fires, and one behind it that does not, whose v is returned."""
    hidden = LoihiLayer(np.array([[60, -3], [20, 40], [7, 30]]), vth=60)
    program = chain("readout", [hidden, LoihiLayer(weights, **registers)])
    return program.with_ops({"s2": with_fields(program.neurons["s2"], fire=None, reset=None)})


def test_a_readout_is_read() -> None:
    """With a leak, without one, and as a current: v of Lava's LIF, which never fires."""
    rng = np.random.default_rng(8)
    weights = rng.integers(-128, 128, (4, 3))
    events = (rng.random((3, 30, 2)) < 0.6).astype(int)
    cases: list[Case] = [
        (readout(weights, dv=300, bias=-70), events),
        (readout(weights, exponent=2), events),
        (readout(weights, du=700, dv=60), events),
    ]
    tallies = assert_equal_on_lava(cases)
    assert all(case["s1"].spikes > 20 for case in tallies)
    outputs = run(*cases[0], record="outputs").trace
    assert list(outputs.layers) == ["s2"]
    assert set(np.sign(outputs["s2"].spikes).ravel()) >= {-1, 1}
    assert outputs["s2"].states == {}


def test_a_readout_that_would_fire_is_refused() -> None:
    """Lava's LIF fires above 131071 << 6 and is reset: the run itself shows that it did."""
    events = np.ones((1, 40, 2), int)
    with pytest.raises(Unsupported, match="s2: it does not fire, but its v passed") as error:
        run(readout(np.full((2, 3), 127), exponent=8), events)
    assert error.value.hint


def overflowing(name: str, weights: Any, **registers: Any) -> Program:
    layer = LoihiLayer(np.array(weights), **{"exponent": 8, "vth": 131071, **registers})
    back = LoihiLayer(np.array([[127, 127, -128], [-128, 127, 60]]), exponent=5, vth=900, dv=9)
    return chain(name, [layer, back], input_bits=9)


def test_wraps_and_saturations_are_lavas() -> None:
    """Currents far beyond 24 bits: u wraps, once and too little, and v saturates, both ways."""
    rng = np.random.default_rng(6)
    mixed = rng.integers(-128, 128, (3, 6))
    cases: list[Case] = []
    for number, registers in enumerate(
        [{}, {"du": 300, "exponent": 4}, {"du": 0, "exponent": -1}, {"du": 50, "exponent": 2}]
    ):
        values = rng.integers(0, 512, (2, 40, 6)) * (rng.random((2, 40, 6)) < 0.7)
        cases.append((overflowing(f"over{number}", mixed, **registers), values))
    tallies = assert_equal_on_lava(cases)
    wraps = [case["s1"].clamped["u"] for case in tallies]
    saturations = [case["s1"].clamped["v"] for case in tallies]
    assert min(wraps) > 0
    assert min(saturations) > 0
    assert sum(case["s1"].spikes for case in tallies) > 20
    assert all(case["s2"].spikes > 0 for case in tallies)
    beyond = [np.abs(reference.run(*case, "states")["s1"].states["u"]).max() for case in cases]
    assert max(beyond) > 1 << 30  # where one wrap was not enough, u holds almost 32 bits
    _a_modulo_in_place_of_one_wrap_is_found(cases[0])


def _a_modulo_in_place_of_one_wrap_is_found(case: Case) -> None:
    """The negative control: a neuron that wraps as often as needed is another one."""
    program, events = case
    op = program.neurons["s1"]
    (synapse,) = op.synapses
    assert synapse.clamp is not None
    modulo = with_fields(synapse, clamp=with_fields(synapse.clamp, rule="wrap"))
    other = program.with_ops({"s1": with_fields(op, synapses=(modulo,))})
    wanted = reference.run(program, events, "states")
    assert differences(reference.run(other, events, "states"), wanted)["s1"] > 0
    with pytest.raises(Unsupported, match=r"s1: synapses\[0\].clamp.rule is 'wrap'"):
        lower(other)
