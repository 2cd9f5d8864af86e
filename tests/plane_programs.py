"""Random programs of planes: convolutions and pools of any geometry, a line, a matrix, a loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_compile.ir.conv import Conv2d
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import Clamp, Fire, Ref, Reset, State
from sast_compile.ir.ops import Add, Dense, Flatten, Input, Neuron, Op
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType

INT16 = Clamp(rule="saturate", low=-(2**15), high=2**15 - 1)


@dataclass
class Planes:
    """A program in the making; its last node is what the next one reads."""

    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    consts: dict[str, Const] = field(default_factory=dict)

    def then(self, op: Op, delay: int = 0, *more: Edge) -> str:
        before = (Edge(self.nodes[-1].name, delay),) if self.nodes else ()
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(name, op, (*before, *more)))
        return name

    @property
    def shape(self) -> tuple[int, ...]:
        return (
            Program("so_far", tuple(self.nodes), (), self.consts).types[self.nodes[-1].name].shape
        )

    def weight(self, *shape: int, bits: int = 8) -> Ref:
        name = f"w{len(self.consts)}"
        data = self.rng.integers(-(1 << bits - 1), 1 << bits - 1, shape)
        self.consts[name] = Const(TensorType(shape, Int(bits)), data)
        return Ref(name)

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def pads(self, least: int, most: int) -> tuple[int, int]:
        return int(self.rng.integers(least, most + 1)), int(self.rng.integers(least, most + 1))

    def convolution(self, outputs: int, groups: int, dilated: bool = False) -> None:
        rows, least = len(self.shape) == 3, int(not dilated)  # padded, so that each kernel fits
        size = (self.one_of(1, 2, 3) if rows else 1, self.one_of(1, 2, 3))
        op = Conv2d(
            weight=self.weight(outputs, self.shape[0] // groups, *size),
            stride=(self.one_of(1, 2) if rows else 1, self.one_of(1, 2)),
            padding=(self.pads(least, 2) if rows else (0, 0), self.pads(least, 2)),
            dilation=(self.one_of(1, 2), self.one_of(1, 2)) if dilated else (1, 1),
            groups=groups,
            exponent=self.one_of(-2, 0, 1),
        )
        self.then(op, self.one_of(0, 1, 2))

    def loihi(self, shape: tuple[int, ...], threshold: int) -> None:
        du, dv = int(self.rng.integers(1000, 4096)), int(self.rng.integers(0, 800))
        op = loihi_neuron(shape, du=du, dv=dv, threshold=threshold, start=self.one_of(0, 1, 3))
        self.then(op)

    def counting(self, limit: int) -> None:
        """A population of short integers that fires up to ``limit`` times in a step."""
        fire = Fire(compare=">=", threshold=40, limit=limit)
        reset = Reset(kind="subtract", amount=40, floor=-100)
        self.then(Neuron(shape=self.shape, voltage=State(clamp=INT16), fire=fire, reset=reset))


def planes(seed: int) -> tuple[Program, dict[str, npt.NDArray[np.int64]]]:
    """The program of ``seed``, and events (samples, steps, *shape) that drive it hard."""
    net = Planes(np.random.default_rng(seed))
    bits, signed = net.one_of((1, False), (4, False), (3, True))
    net.then(Input(shape=(4, 9, 8), bits=bits, signed=signed))
    net.convolution(8, net.one_of(1, 2, 4), dilated=True)
    net.loihi(net.shape, net.one_of(1, 30, 200))
    net.then(SumPool2d(kernel=(2, 2), stride=net.one_of((2, 2), (1, 2)), padding=((1, 0), (0, 1))))
    net.convolution(6, net.one_of(1, 2))
    net.counting(net.one_of(1, 3, 100))
    net.then(Flatten(first=1), 1)  # (C, X): a line
    net.convolution(4, 2)
    net.loihi(net.shape, 300)
    net.then(Flatten())
    fed = net.then(Dense(weight=net.weight(10, *net.shape)), 1)
    last = f"n{len(net.nodes) + 2}"
    net.nodes.append(Node("back", Dense(weight=net.weight(10, 10)), (Edge(last, 2),)))
    net.then(Add(), 0, Edge(fed))
    net.loihi((10,), 100)
    program = check(Program("planes", tuple(net.nodes), (net.nodes[-1].name,), net.consts))
    low, high = -(1 << bits - 1) if signed else 0, 1 << bits - signed
    shape = (5, 12, 4, 9, 8)
    x = net.rng.integers(low, high, shape) * (net.rng.random(shape) < 0.4)
    return program, {"n0": x}
