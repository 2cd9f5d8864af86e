"""Programs for the emulator's tests, and what it means that two traces are equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sast_compile.ir.conv import Conv2d
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Dense, Flatten, Input, Op
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.trace import Trace


def assert_same(found: Trace, wanted: Trace) -> None:
    """Every value, type and tally of both."""
    assert list(found.layers) == list(wanted.layers)
    for name, layer in wanted.layers.items():
        mine = found[name]
        assert mine.spikes.dtype == layer.spikes.dtype
        np.testing.assert_array_equal(mine.spikes, layer.spikes, err_msg=name)
        assert set(mine.states) == set(layer.states)
        for state, values in layer.states.items():
            assert mine.states[state].dtype == values.dtype
            np.testing.assert_array_equal(mine.states[state], values, err_msg=f"{name} {state}")
        assert mine.tally == layer.tally


class Chain:
    """A feed-forward program in the making, with random weights."""

    def __init__(self, seed: int, shape: tuple[int, ...], bits: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = [Node("x", Input(shape=shape, bits=bits))]
        self.consts: dict[str, Const] = {}
        self.type = TensorType(shape, Int(bits, signed=False))

    def then(self, name: str, op: Op, delay: int = 0) -> Chain:
        self.nodes.append(Node(name, op, (Edge(self.nodes[-1].name, delay),)))
        self.type = op.result(self.consts, self.type)
        return self

    def weight(self, *shape: int, bits: int = 8, most: int | None = None) -> Ref:
        name, high = f"w{len(self.consts)}", most or (1 << bits - 1) - 1
        data = self.rng.integers(-high, high + 1, shape)
        self.consts[name] = Const(TensorType(shape, Int(bits)), data)
        return Ref(name)

    def dense(self, name: str, outputs: int, delay: int = 0, **options: Any) -> Chain:
        exponent = options.pop("exponent", 0)
        weight = self.weight(outputs, self.type.shape[0], **options)
        return self.then(name, Dense(weight=weight, exponent=exponent), delay)

    def conv(self, name: str, outputs: int, kernel: tuple[int, int], **options: Any) -> Chain:
        channels = self.type.shape[0] // options.get("groups", 1)
        weight = self.weight(outputs, channels, *kernel)
        return self.then(name, Conv2d(weight=weight, **options), 1)

    def pool(self, name: str, size: int) -> Chain:
        return self.then(name, SumPool2d(kernel=(size, size), stride=(size, size)))

    def lif(self, name: str, threshold: int, start: int = 0) -> Chain:
        op = loihi_neuron(self.type.shape, du=2000, dv=300, threshold=threshold, start=start)
        self.nodes.append(Node(name, op, (Edge(self.nodes[-1].name),)))
        self.type = op.spikes()
        return self

    def program(self) -> Program:
        return check(Program("chain", tuple(self.nodes), (self.nodes[-1].name,), self.consts))

    def events(self, samples: int, steps: int, density: float) -> np.ndarray:
        shape = (samples, steps, *self.nodes[0].op.shape)  # type: ignore[union-attr]
        return (self.rng.random(shape) < density).astype(np.uint8)


def planes(seed: int, flat: bool = False) -> tuple[Program, Mapping[str, np.ndarray]]:
    """Convolutions of any geometry, pools, a matrix behind them, and a loop."""
    rng = np.random.default_rng(seed)
    groups, stride = int(rng.choice([1, 2])), int(rng.choice([1, 2]))
    size = int(rng.choice([1, 3]))
    consts: dict[str, Const] = {}

    def weight(name: str, *shape: int) -> Ref:
        data = rng.integers(-128, 128, shape)
        consts[name] = Const(TensorType(shape, Int(8)), data)
        return Ref(name)

    bits = int(rng.choice([1, 4]))
    nodes = [Node("x", Input(shape=(4, 9, 8), bits=bits))]

    def node(name: str, op: Any, *edges: Edge) -> str:
        nodes.append(Node(name, op, edges))
        return name

    pads = (int(rng.integers(0, 2)), int(rng.integers(0, 2)))
    conv = Conv2d(weight=weight("w1", 6, 4 // groups, size, size), stride=(stride, 1),
                  padding=(pads, pads), groups=groups, exponent=1)  # fmt: skip
    shape = conv.result(consts, TensorType((4, 9, 8), Int(bits, signed=False))).shape
    node("conv", conv, Edge("x", int(rng.integers(0, 3))))
    threshold = int(rng.integers(1, 200))
    node("a", loihi_neuron(shape, du=4095, dv=300, threshold=threshold, start=1), Edge("conv", 1))
    pool = SumPool2d(kernel=(2, 2), stride=(2, 2), padding=((1, 0), (0, 0)))
    node("pool", pool, Edge("a"))
    pooled = pool.result({}, TensorType(shape, Int(1, signed=False))).shape
    second = Conv2d(weight=weight("w2", 5, 6, 2, 2), dilation=(1, 1))
    out = second.result(consts, TensorType(pooled, Int(3, signed=False))).shape
    node("conv2", second, Edge("pool", 1))
    node("b", loihi_neuron(out, du=2000, dv=0, threshold=300, start=2), Edge("conv2"))
    node("flat", Flatten(), Edge("b", 1))
    node("fc", Dense(weight=weight("w3", 40, int(np.prod(out)))), Edge("flat"))
    node("c", loihi_neuron((40,), du=4095, dv=100, threshold=50, start=3), Edge("fc"))
    program = check(Program("planes", tuple(nodes), ("c",), consts))
    events_ = {
        "x": rng.integers(0, 1 << bits, (5, 12, 4, 9, 8)) * (rng.random((5, 12, 4, 9, 8)) < 0.3)
    }
    return program, events_
