"""Random programs of Loihi's neurons on random wiring: skips, loops, delays, early and late starts.

Nothing here asks whether a chip's latency pass would time a program so: populations start when they
like, read behind and ahead of their own column, and form loops through any number of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from loihi_programs import MAX_VTH, loihi_neuron
from msgspec.structs import replace

from sast_compile.backends.reference import run
from sast_compile.ir.neuron import MulShift, Ref, Reset
from sast_compile.ir.ops import Add, Dense, Input, Neuron, Op
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType

Array: TypeAlias = npt.NDArray[Any]
Generator: TypeAlias = np.random.Generator
Change: TypeAlias = Callable[[Generator, Neuron, dict[str, Const]], Neuron]

SIZES = (4, 5)  # few, so that one projection often fits several populations


@dataclass
class Wiring:
    """A program in the making; ``currents`` holds the projections of each width."""

    rng: Generator
    longest: int
    nodes: list[Node] = field(default_factory=list)
    consts: dict[str, Const] = field(default_factory=dict)
    currents: dict[int, list[str]] = field(default_factory=dict)

    def node(self, name: str, op: Op, *inputs: Edge) -> None:
        self.nodes.append(Node(name, op, inputs))

    def delay(self) -> int:
        """Most are the connection's own step, some a few more, some any."""
        return int(self.rng.choice([1, 1, 1, 2, 3, self.rng.integers(1, self.longest + 1)]))


def random_graph(
    seed: int, *, samples: int = 3, steps: int = 12, longest: int = 8
) -> tuple[Program, Mapping[str, Array]]:
    """A program of two to five populations in which each fires, and its events."""
    rng = np.random.default_rng(seed)
    program, events = random_wiring(rng, f"graph{seed}", samples, steps, longest)
    return lively(program, events, rng), events


def random_wiring(
    rng: Generator, name: str, samples: int, steps: int, longest: int
) -> tuple[Program, Mapping[str, Array]]:
    """The same with thresholds that no population reaches."""
    wiring = Wiring(rng, longest)
    inputs = {"x": Input(shape=(4,)), "y": Input(shape=(3,), bits=4, signed=True)}
    inputs = dict(list(inputs.items())[: rng.integers(1, 3)])
    for label, op in inputs.items():
        wiring.node(label, op)
    sizes = {f"s{i}": int(rng.choice(SIZES)) for i in range(rng.integers(2, 6))}
    widths = {**{label: op.shape[0] for label, op in inputs.items()}, **sizes}
    for label in sizes:
        _population(wiring, label, widths)
    outputs = tuple(rng.permutation(list(sizes))[: rng.integers(1, 3)].tolist())
    program = check(Program(name, tuple(wiring.nodes), outputs, wiring.consts))
    events = {
        label: rng.integers(-(op.signed << 3), 8 if op.signed else 2, (samples, steps, *op.shape))
        for label, op in inputs.items()
    }
    return program, events


def _population(wiring: Wiring, name: str, widths: Mapping[str, int]) -> None:
    """A population, and one to three projections or borrowed currents into it."""
    rng, size, known = wiring.rng, widths[name], [n.name for n in wiring.nodes]
    sources = [str(rng.choice([n for n in widths if n in known]))]
    sources += rng.choice(list(widths), rng.integers(0, 3)).tolist()
    edges = []
    for number, source in enumerate(sources):
        label, delay = f"{name}.{number}", wiring.delay()
        before = int(rng.integers(source not in known, delay + 1))
        wiring.node(label, _dense(wiring, label, size, widths[source]), Edge(source, before))
        edges.append(Edge(label, delay - before))
    if wiring.currents.get(size) and rng.random() < 0.4:
        edges.append(Edge(str(rng.choice(wiring.currents[size])), wiring.delay()))
    wiring.currents.setdefault(size, []).extend(f"{name}.{n}" for n in range(len(sources)))
    if len(edges) > 2:  # a sum of sums
        wiring.node(f"{name}.part", Add(), *edges[1:])
        edges = [edges[0], Edge(f"{name}.part", int(rng.integers(0, 2)))]
    if len(edges) > 1:
        wiring.node(f"{name}.sum", Add(), *edges)
        edges = [Edge(f"{name}.sum", int(rng.integers(0, 2)))]
    wiring.node(name, _neuron(rng, size), *edges)


def _dense(wiring: Wiring, label: str, outputs: int, inputs: int) -> Dense:
    """Random weights of any width; the scale lets all currents meet in an add."""
    rng = wiring.rng
    bits, signed = int(rng.integers(2, 9)), bool(rng.random() < 0.7)
    element = Int(bits, signed)
    data = rng.integers(element.low, element.high, (outputs, inputs), endpoint=True)
    exponent = (9 if signed else 8) - bits + int(rng.integers(-1, 3))
    weight = f"w.{label}"
    wiring.consts[weight] = Const(TensorType(data.shape, element, 2.0**exponent), data)
    return Dense(weight=Ref(weight), exponent=exponent)


def _neuron(rng: Generator, size: int) -> Neuron:
    return loihi_neuron(
        size,
        start=int(rng.integers(0, 5)),
        du=int(rng.choice([4095, 4095, 1000, rng.integers(0, 4096)])),
        dv=int(rng.choice([0, 1, 500, rng.integers(0, 4096)])),
        vth=MAX_VTH,
        bias=int(rng.choice([0, 0, 1000, -1000, rng.integers(-4096, 4096)])),
        bias_exponent=int(rng.integers(-2, 4)),
    )


def lively(program: Program, events: Mapping[str, Array], rng: Generator) -> Program:
    """``program`` with thresholds that some voltages pass and some do not, as far as they go."""
    for _ in range(30):
        trace = run(program, events, "states")
        ops: dict[str, Op] = {}
        for name, op in program.neurons.items():
            chances = trace[name].spikes.size
            if not op.fire or 0 < trace[name].spikes.sum() < chances // 2:
                continue
            voltages = np.asarray(trace[name].states["v"])
            ops[name] = _other_threshold(op, voltages, bool(trace[name].spikes.any()), rng)
        if not ops:
            return program
        program = program.with_ops(ops)
    raise AssertionError(f"{program.name} stays silent")


def _other_threshold(op: Neuron, voltages: Array, often: bool, rng: Generator) -> Neuron:
    assert op.fire is not None
    if often:
        higher = 2 * int(op.fire.threshold) + 1  # type: ignore[arg-type]  # one number
        return replace(op, fire=replace(op.fire, threshold=min(higher, MAX_VTH)))
    reached = voltages[voltages > 128]
    if reached.size < voltages.size // 20:  # nothing drives it: a bias does
        voltage = replace(op.voltage, bias=int(rng.integers(2000, 4096)), bias_exponent=2)
        return replace(op, voltage=voltage)
    threshold = int(np.quantile(reached, rng.uniform(0.3, 0.9))) // 64
    return replace(op, fire=replace(op.fire, threshold=min(max(threshold, 1), MAX_VTH)))


def with_neurons(
    program: Program, events: Mapping[str, Array], seed: int, change: Change
) -> Program:
    """``program`` with every population changed, lively again."""
    rng, consts = np.random.default_rng(seed), dict(program.consts)
    ops: dict[str, Op] = {n: change(rng, op, consts) for n, op in program.neurons.items()}
    return lively(check(program.with_ops(ops, consts)), events, rng)


def each_its_own(rng: Generator, op: Neuron, consts: dict[str, Const]) -> Neuron:
    """Other leaks in every neuron, and thresholds around the one there was."""
    assert op.fire is not None
    (synapse,), voltage, fire = op.synapses, op.voltage, op.fire
    around = (rng.uniform(0.7, 1.3, op.shape) * int(fire.threshold)).astype(int)  # type: ignore[arg-type]
    values = {
        "du": np.where(rng.random(op.shape) < 0.5, 4095, rng.integers(500, 4096, op.shape)),
        "dv": rng.integers(0, 2000, op.shape),
        "vth": np.clip(around, 1, MAX_VTH),
    }
    refs = {name: Ref(f"{name}{len(consts)}") for name in values}
    consts |= {
        refs[name].name: Const(TensorType(op.shape, Int(18)), data) for name, data in values.items()
    }
    return replace(
        op,
        synapses=(replace(synapse, decay=MulShift(decay=refs["du"], offset=1)),),
        voltage=replace(voltage, decay=MulShift(decay=refs["dv"])),
        fire=replace(fire, threshold=refs["vth"]),
    )


def own_reset(rng: Generator, op: Neuron, consts: dict[str, Const]) -> Neuron:
    """Any reset of the IR: at most half of what it subtracts is the threshold itself."""
    assert op.fire is not None
    when = str(rng.choice(["after_fire", "before_decay", "after_decay"]))
    threshold = int(op.fire.threshold) * op.fire.unit  # type: ignore[arg-type]
    if rng.random() < 0.2:
        return replace(op, reset=Reset(kind="zero", when=when))  # type: ignore[arg-type]
    amount: int | Ref = threshold
    if rng.random() < 0.5:
        name = f"amount{len(consts)}"
        data = rng.integers(1, min(2 * threshold, 1 << 22), op.shape)
        consts[name] = Const(TensorType(op.shape, Int(25)), data)
        amount = Ref(name)
    return replace(
        op,
        reset=Reset(kind="subtract", when=when, amount=amount),  # type: ignore[arg-type]
    )
