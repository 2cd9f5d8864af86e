"""Random integer programs on pictures: convolutions of any geometry, pools, graded inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from loihi_programs import loihi_neuron
from msgspec.structs import replace

from fuzz.cases import Generator
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Conv2d, Dense, Flatten, Input, Op, SumPool2d
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType

SIGNED = 0.7  # the share of weights of both signs
LARGEST = 160  # elements of a layer; Lava unrolls


@dataclass
class Picture:
    """A program in the making; ``known`` are the inputs and populations with their shapes."""

    rng: Generator
    nodes: list[Node] = field(default_factory=list)
    consts: dict[str, Const] = field(default_factory=dict)
    known: dict[str, tuple[int, ...]] = field(default_factory=dict)
    bits: int = 1  # of the input

    def node(self, name: str, op: Op, *inputs: Edge) -> str:
        self.nodes.append(Node(name, op, inputs))
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        return Program("probe", tuple(self.nodes), (name,), self.consts).types[name].shape

    def delay(self) -> int:
        return int(self.rng.choice([1, 1, 1, 1, 2, 4, self.rng.integers(1, 64)]))


def random_picture(rng: Generator) -> Program:
    """One to three populations of pictures or rows behind an input of 1 to 24 bits."""
    making = Picture(rng)
    shape = tuple(int(n) for n in (rng.integers(1, 4), *rng.integers(3, 8, 2)))
    if rng.random() < 0.15:
        shape = (shape[0], 3 * shape[1])
    making.bits = int(rng.choice([1, 1, 1, 2, 4, 8, 12, 16, 20, 24]))
    signed = bool(rng.random() < (0.4 if making.bits > 1 else 0.1))
    making.node("x", Input(shape=shape, bits=making.bits, signed=signed))
    making.known["x"] = shape
    for number in range(int(rng.integers(1, 4))):
        _layer(making, f"s{number}", list(making.known)[-1])
    outputs = (list(making.known)[-1],)
    return check(Program("picture", tuple(making.nodes), outputs, making.consts))


def _layer(making: Picture, name: str, source: str) -> None:
    """A population behind ``source``, and sometimes behind itself or one more path."""
    rng = making.rng
    first = _projected(making, f"{name}.a", source)
    shape = making.shape(first)
    currents = [Edge(first, int(rng.integers(0, 2)))]
    if rng.random() < 0.3:
        currents.append(Edge(_again(making, f"{name}.b", first), int(rng.integers(0, 3))))
    if rng.random() < 0.3 and math.prod(shape) <= 40 and len(shape) == 1:
        currents.append(Edge(_itself(making, name, shape)))
    if len(currents) > 1:
        making.node(f"{name}.sum", Add(), *currents)
        currents = [Edge(f"{name}.sum")]
    making.node(name, _neuron(rng, shape), *currents)
    making.known[name] = shape


def _projected(making: Picture, name: str, source: str) -> str:
    """[pool] convolution, or [pool] flatten and a matrix, behind ``source``."""
    rng, shape, delay = making.rng, making.known[source], making.delay()
    before = int(rng.integers(0, delay + 1))
    edge, rest = Edge(source, before), delay - before
    if len(shape) == 3 and min(shape[1:]) > 1 and rng.random() < 0.35:
        pool = _pool(rng, shape)
        edge, rest = Edge(making.node(f"{name}.pool", pool, edge), rest), 0
        shape = making.shape(edge.node)
    if len(shape) > 1 and rng.random() < 0.7:
        op, size = _convolution(making, shape)
        op = replace(op, weight=_weight(making, size, source))
    else:
        if len(shape) > 1:
            edge, rest = Edge(making.node(f"{name}.flat", Flatten(), edge), rest), 0
        size = (int(rng.integers(2, 9)), math.prod(shape))
        op = Dense(weight=_weight(making, size, source))
    wanted = _exponent(making, op.weight, source)
    edge = delayed(edge, rest)
    return making.node(name, replace(op, exponent=wanted), edge)


def delayed(edge: Edge, more: int) -> Edge:
    return Edge(edge.node, edge.delay + more)


def _again(making: Picture, name: str, first: str) -> str:
    """The same projection again, from the same place, at another time and with other weights."""
    node = next(n for n in making.nodes if n.name == first)
    assert isinstance(node.op, (Conv2d, Dense))
    old = making.consts[node.op.weight.name]
    data = making.rng.permutation(old.data.ravel()).reshape(old.data.shape)
    weight = f"w{len(making.consts)}"
    making.consts[weight] = Const(old.type, data)
    later = tuple(delayed(e, int(making.rng.integers(0, 4))) for e in node.inputs)
    return making.node(name, replace(node.op, weight=Ref(weight)), *later)


def _itself(making: Picture, name: str, shape: tuple[int, ...]) -> str:
    (size,) = shape
    first = next(n.op for n in making.nodes if n.name == f"{name}.a")
    assert isinstance(first, (Conv2d, Dense))
    like = making.consts[first.weight.name].type
    assert isinstance(like.element, Int)
    weight = f"w{len(making.consts)}"
    old = making.consts[first.weight.name].data
    ends = int(old.min()), int(old.max())
    data = making.rng.integers(*ends, (size, size), endpoint=True)
    making.consts[weight] = Const(TensorType((size, size), like.element, like.scale), data)
    op = Dense(weight=Ref(weight), exponent=first.exponent)
    return making.node(f"{name}.back", op, Edge(name, making.delay()))


def _pool(rng: Generator, shape: tuple[int, ...]) -> SumPool2d:
    kernel = tuple(int(rng.integers(1, min(n, 3) + 1)) for n in shape[1:])
    apart = kernel if rng.random() < 0.6 else tuple(int(n) for n in rng.integers(1, 3, 2))
    pads = tuple((int(rng.integers(0, k)), int(rng.integers(0, k))) for k in kernel)
    return SumPool2d(kernel=kernel, stride=apart, padding=pads)  # type: ignore[arg-type]


def _convolution(making: Picture, shape: tuple[int, ...]) -> tuple[Conv2d, tuple[int, ...]]:
    """A convolution without its weight, whose shape comes beside it."""
    rng, rows = making.rng, shape[1] if len(shape) == 3 else 1
    sizes = (rows, shape[-1])
    groups = shape[0] if rng.random() < 0.3 else 1
    kernel = tuple(int(rng.integers(1, min(n, 3) + 1)) for n in sizes)
    fits = [k == 1 or 2 * (k - 1) < n for k, n in zip(kernel, sizes, strict=True)]
    dilation = tuple(int(rng.integers(1, 2 + fit)) for fit in fits)
    stride = tuple(int(n) for n in rng.integers(1, 3, 2))
    pads = tuple((int(rng.integers(0, 2)), int(rng.integers(0, 2))) for _ in sizes)
    if len(shape) == 2:
        pads, stride = ((0, 0), pads[1]), (1, stride[1])
    outputs = groups * int(rng.integers(1, 3))
    positions = math.prod((n + 2) // s for n, s in zip(sizes, stride, strict=True))
    if outputs * positions > LARGEST:
        stride = (stride[0], 2)
    op = Conv2d(weight=Ref("w"), stride=stride, padding=pads, dilation=dilation,
                groups=groups)  # type: ignore[arg-type]  # fmt: skip
    return op, (outputs, shape[0] // groups, *kernel)


def _weight(making: Picture, size: tuple[int, ...], source: str) -> Ref:
    """Random weights of any width; small ones of 8 bits where an input has many of its own."""
    rng = making.rng
    element, low, high = _grid(rng)
    if source == "x" and making.bits > 8:  # the sums before the shift stay in 32 bits
        element = Int(8, element.signed)
        high = max(1, min(127, (1 << 29 - making.bits) // math.prod(size[1:])))
        low = -high if element.signed else 0
    data = rng.integers(low, high, size, endpoint=True)
    if rng.random() < 0.3:
        data = rng.choice([low, high], size)
    name = f"w{len(making.consts)}"
    making.consts[name] = Const(TensorType(size, element), data)
    return Ref(name)


def _grid(rng: Generator) -> tuple[Int, int, int]:
    """An element type and its ends; now and then none above 0, which no type of 8 bits says."""
    if rng.random() < 0.1:
        return Int(9), -255, 0
    element = Int(int(rng.integers(2, 9)), bool(rng.random() < SIGNED))
    return element, element.low, element.high


def _exponent(making: Picture, weight: Ref, source: str) -> int:
    """In the chip's range; for wide inputs among its lowest, which bring sums into 32 bits."""
    element = making.consts[weight.name].type.element
    assert isinstance(element, Int)
    step = (9 if element.signed else 8) - element.bits
    if source == "x" and making.bits > 8:
        return step + int(making.rng.choice([-8, -8, -7, -6, -5]))
    return step + int(making.rng.choice([-8, -3, -1, 0, 0, 1, 2, 4, 7]))


def _neuron(rng: Generator, shape: tuple[int, ...]) -> Op:
    neuron = loihi_neuron(
        1,
        start=int(rng.integers(0, 5)),
        du=int(rng.choice([4095, 4095, 1000, rng.integers(0, 4096)])),
        dv=int(rng.choice([0, 1, 500, rng.integers(0, 4096)])),
        vth=int(rng.integers(1, 3000)),
        bias=int(rng.choice([0, 0, 1000, -1000, rng.integers(-4096, 4096)])),
        bias_exponent=int(rng.integers(-2, 4)),
    )
    return replace(neuron, shape=shape)
