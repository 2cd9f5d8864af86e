"""Hypothesis strategies for random valid programs, and for events that drive them hard.

A program is a small net: populations in a row, each of one family (a chip's neuron), with skip
paths, recurrence and delays. Its numbers lean to the edges of their registers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from sast_compile.ir.neuron import (
    BitShift,
    Clamp,
    Factor,
    Fire,
    MulShift,
    Param,
    Ref,
    Reset,
    State,
)
from sast_compile.ir.ops import Add, Dense, Flatten, Input, Join, Neuron, Op, Terms
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Float, Int, TensorType

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
Build: TypeAlias = Callable[["Net", int], Neuron]

INT16 = Clamp(rule="saturate", low=-(2**15), high=2**15 - 1)
INT24 = Clamp(rule="saturate", low=-(2**23) + 1, high=2**23 - 1)
INT32 = Clamp(rule="saturate", low=-(2**31), high=2**31 - 1)


@dataclass
class Net:
    """A program in the making."""

    draw: Draw
    nodes: list[Node] = field(default_factory=list)
    consts: dict[str, Const] = field(default_factory=dict)

    def node(self, name: str, op: Op, *inputs: Edge) -> Edge:
        self.nodes.append(Node(name, op, inputs))
        return Edge(name)

    def const(self, shape: tuple[int, ...], element: Int | Float, scale: float = 1.0) -> Ref:
        name = f"c{len(self.consts)}"
        size = int(np.prod(shape))
        data = self.draw(st.lists(numbers(element), min_size=size, max_size=size))
        type_ = TensorType(shape, element, scale)
        self.consts[name] = Const(type_, np.reshape(np.array(data, dtype=object), shape).tolist())
        return Ref(name)

    def edge_or_const(self, low: int, high: int, shape: tuple[int, ...]) -> Param:
        """One number for the population, or one per neuron."""
        if self.draw(st.integers(0, 3)):
            return int(self.draw(leaning(low, high)))
        data = self.draw(st.lists(leaning(low, high), min_size=shape[0], max_size=shape[0]))
        name = f"c{len(self.consts)}"
        self.consts[name] = Const(TensorType(shape, Int(33)), data)
        return Ref(name)


def leaning(low: int, high: int) -> st.SearchStrategy[int]:
    """Integers of [low, high] that lean to both ends and to 0."""
    edges = sorted({low, high, *(e for e in (-1, 0, 1, low + 1, high - 1) if low <= e <= high)})
    return st.one_of(st.sampled_from(edges), st.integers(low, high))


def numbers(element: Int | Float) -> st.SearchStrategy[int | float]:
    if isinstance(element, Int):
        return leaning(element.low, element.high)
    return st.one_of(
        st.sampled_from([0.0, 0.5, -0.25, 1.0, 1e-7, 3.0]),
        st.floats(-4, 4, allow_nan=False, allow_subnormal=False),
    )


# ---- one population of each family; its weights are of the family's type


def loihi(net: Net, size: int) -> Neuron:
    draw = net.draw
    synapse = State(
        decay=MulShift(decay=draw(leaning(0, 4095)), offset=1),
        gain=64,
        clamp=Clamp(rule="wrap_once", low=-(2**23) + 1, high=2**23),
    )
    voltage = State(
        decay=MulShift(decay=draw(leaning(0, 4095))),
        bias=draw(leaning(-4096, 4095)),
        bias_exponent=draw(st.integers(-2, 7)),
        clamp=INT24,
    )
    fire = Fire(compare=">", threshold=draw(threshold(131071)), unit=64)
    return Neuron(
        shape=(size,),
        synapses=draw(st.sampled_from([(), (synapse,)])),
        voltage=voltage,
        fire=fire,
        reset=Reset(kind="zero"),
    )


def xylo(net: Net, size: int) -> Neuron:
    draw = net.draw
    synapses = tuple(
        State(
            decay=BitShift(dash=draw(leaning(1, 15)), min_step=1),
            decays="last",
            adds="each",
            clamp=INT16,
        )
        for _ in range(draw(st.integers(1, 2)))
    )
    voltage = State(
        decay=BitShift(dash=net.edge_or_const(0, 15, (size,)), min_step=1),
        adds="increment",
        bias=draw(leaning(-(2**15), 2**15 - 1)),
        clamp=INT16,
    )
    theta = net.edge_or_const(1, draw(threshold(2**15 - 1)), (size,))
    return Neuron(
        shape=(size,),
        synapses=synapses,
        voltage=voltage,
        fire=Fire(compare=">=", threshold=theta, limit=draw(st.sampled_from([1, 31]))),
        reset=Reset(kind="subtract", amount=theta),
    )


def speck(net: Net, size: int) -> Neuron:
    draw = net.draw
    theta = draw(threshold(2**15 - 1))
    kind = draw(st.sampled_from(["zero", "subtract"]))
    return Neuron(
        shape=(size,),
        voltage=State(clamp=INT32, bias=net.edge_or_const(-128, 127, (size,))),
        fire=Fire(compare=">=", threshold=theta, limit=2**15 - 1),
        reset=Reset(kind=kind, amount=theta, floor=-draw(leaning(0, 2**15))),
    )


def mcu(net: Net, size: int) -> Neuron:
    draw = net.draw
    rounding = draw(st.sampled_from(["half_even", "floor", "toward_zero"]))
    theta = net.edge_or_const(1, draw(threshold(2**31 - 1)), (size,))
    kind = draw(st.sampled_from(["zero", "subtract"]))
    when = draw(st.sampled_from(["after_fire", "before_decay", "after_decay"]))
    decay = MulShift(decay=net.edge_or_const(0, 2**15, (size,)), bits=15, rounding=rounding)
    return Neuron(
        shape=(size,),
        voltage=State(decay=decay, bias=net.edge_or_const(-100, 100, (size,)), clamp=INT32),
        fire=Fire(compare=draw(st.sampled_from([">", ">="])), threshold=theta),
        reset=Reset(kind=kind, when=when, amount=theta),
    )


def shift_leak(net: Net, size: int) -> Neuron:
    draw = net.draw
    clamp = Clamp(rule="wrap", low=-(2**34), high=2**34 - 1)
    return Neuron(
        shape=(size,),
        voltage=State(decay=BitShift(dash=draw(leaning(0, 63))), clamp=clamp),
        fire=Fire(compare=">", threshold=draw(threshold(2**34 - 1))),
        reset=Reset(kind="zero", when="before_decay"),
    )


def readout(net: Net, size: int) -> Neuron:
    decay = MulShift(decay=net.draw(leaning(0, 4095)))
    return Neuron(shape=(size,), voltage=State(decay=decay, clamp=INT24), fire=None)


def floats(net: Net, size: int) -> Neuron:
    draw = net.draw
    theta = draw(st.sampled_from([0.5, 1.0, 1.25]))
    kind = draw(st.sampled_from(["zero", "subtract"]))
    when = draw(st.sampled_from(["after_fire", "before_decay", "after_decay"]))
    synapse = State(decay=Factor(alpha=draw(st.floats(0, 1))), gain=draw(st.floats(0.1, 2)))
    return Neuron(
        shape=(size,),
        synapses=draw(st.sampled_from([(), (synapse,)])),
        voltage=State(
            decay=Factor(alpha=draw(st.floats(0, 1))),
            bias=draw(st.sampled_from([0, 0.0, 0.125])),
        ),
        fire=Fire(compare=draw(st.sampled_from([">", ">="])), threshold=theta),
        reset=Reset(kind=kind, when=when, amount=theta),
    )


@dataclass(frozen=True)
class Family:
    """A chip's population, its weights and the exponents of its projections."""

    build: Build
    weight: Int | Float
    exponents: tuple[int, int]
    terms: bool = False


FAMILIES: Mapping[str, Family] = {
    "loihi": Family(loihi, Int(9), (-2, 7)),
    "xylo": Family(xylo, Int(8), (0, 7), terms=True),
    "speck": Family(speck, Int(8), (0, 0)),
    "mcu": Family(mcu, Int(16), (0, 15)),
    "shift_leak": Family(shift_leak, Int(16), (0, 0)),
    "readout": Family(readout, Int(9), (0, 7)),
    "floats": Family(floats, Float(), (0, 0)),
}
INTEGER_FAMILIES = tuple(name for name in FAMILIES if name != "floats")


def threshold(high: int) -> st.SearchStrategy[int]:
    """Mostly small, so that nets are not silent."""
    return st.one_of(st.integers(1, 300), leaning(1, high))


# ---- programs


@st.composite
def programs(
    draw: Draw, families: tuple[str, ...] = tuple(FAMILIES), most_layers: int = 3
) -> Program:
    """A valid program whose populations are of the given families."""
    net = Net(draw)
    shape = draw(st.sampled_from([(1,), (3,), (2, 2), (1, 2, 2)]))
    bits = draw(st.sampled_from([1, 1, 2, 4]))
    source = net.node("x", Input(shape=shape, bits=bits))
    if len(shape) > 1:
        source = net.node("flat", Flatten(), source)
    sources = {source.node: (int(np.prod(shape)), 1.0)}
    layers = draw(st.lists(st.sampled_from(families), min_size=1, max_size=most_layers))
    for index, family in enumerate(layers):
        size = draw(st.integers(1, 4))
        _population(net, f"s{index}", FAMILIES[family], size, sources)
        scale = Program("so_far", tuple(net.nodes), (), net.consts).types[f"s{index}"].scale
        assert isinstance(scale, float)
        sources[f"s{index}"] = size, scale
    populations = [name for name in sources if name.startswith("s")]
    returned = draw(st.lists(st.sampled_from(populations), max_size=2, unique=True))
    outputs = (populations[-1], *(name for name in returned if name != populations[-1]))
    return check(Program("random", tuple(net.nodes), outputs, net.consts))


def _population(
    net: Net, name: str, family: Family, size: int, sources: Mapping[str, tuple[int, float]]
) -> None:
    """A population and all that drives it: the layer before, perhaps a skip path and itself."""
    neuron = family.build(net, size)
    scale = net.draw(st.sampled_from([1.0, 0.25, 2.0]))  # powers of 2, so that scales can meet
    exponent = net.draw(st.integers(*family.exponents))
    drives = []
    for index in range(max(1, len(neuron.synapses))):
        paths = [(list(sources)[-1], net.draw(st.integers(0, 2)))]
        if len(sources) > 1 and net.draw(st.booleans()):
            paths.append((net.draw(st.sampled_from(list(sources))), net.draw(st.integers(0, 3))))
        if neuron.fire is not None and net.draw(st.booleans()):
            paths.append((name, net.draw(st.integers(1, 3))))
        currents = []
        for path, (source, delay) in enumerate(paths):
            width, worth = sources.get(source, (size, 1.0))
            weight = net.const((size, width), family.weight, scale / worth)
            op = (Terms if family.terms else Dense)(weight=weight, exponent=exponent)
            currents.append(net.node(f"{name}.in{index}.{path}", op, Edge(source, delay)))
        if len(currents) > 1:
            meet = Join() if family.terms else Add()
            currents = [net.node(f"{name}.sum{index}", meet, *currents)]
        drives += currents
    start = net.draw(st.integers(0, 3))
    fields = {key: getattr(neuron, key) for key in neuron.__struct_fields__}
    net.node(name, Neuron(**{**fields, "start": start}), *drives)


@st.composite
def events(
    draw: Draw, program: Program, samples: int = 2, steps: int = 6
) -> dict[str, npt.NDArray[np.int64]]:
    """Events for every input: all at an end of their range, or at random."""
    batch = {}
    for name in program.inputs:
        type_ = program.types[name]
        assert isinstance(type_.element, Int)
        shape = (samples, steps, *type_.shape)
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        kind = draw(st.sampled_from(["random", "high", "sparse"]))
        if kind == "high":
            batch[name] = np.full(shape, type_.element.high)
        else:
            low, high = type_.element.low, type_.element.high
            batch[name] = random.integers(low, high, shape, endpoint=True)
            if kind == "sparse":
                batch[name] *= random.random(shape) < 0.3
    return batch
