"""What is run: two synthetic networks, the largest of the shipped models, single dense layers.

(a) 2312-512-256-10, 100 steps, 2 % of the inputs active in a step. (b) 2x64x64, three convolutions
with sum pools between them, 256, 11, 50 steps, 1.5 %. Their weights are round(N(2, 30)) as signed
bytes, their events Bernoulli, both of one seed; du = 1024, dv = 256. (c) is a trained model,
compiled for Loihi 2 at 8 bits, on its own data set's test split.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.emulator.handover import Events
from sast_compile import compile_model
from sast_compile.data import gesture_sim
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Dense, Flatten, Input, Linear
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType

MODELS = Path(__file__).parents[2] / "models"
LARGEST = "gesture_sim_conv"  # of the zoo, by neurons (6,667) and by synapses (1.0 M)
SPIKE = Int(1, signed=False)
# Found by trial, with the weights and events of above: 3 % to 8 % of a layer fire in a step.
DENSE_THRESHOLDS = {2312: 4149, 512: 2387, 256: 1897}  # by the inputs of the layer
CONV_THRESHOLDS = (82, 2742, 5998, 72046, 1986)


@dataclass(frozen=True, eq=False)
class Workload:
    """A program and its events, (samples, steps, *input shape).

    ``batches``: what peers may choose from, beside 1. ``compared``: of so many samples every spike
    is held against the interpreter's, and the peers'. ``in_lava``: so many run in one graph.
    """

    letter: str
    title: str
    program: Program
    events: Events
    batches: tuple[int, ...]
    compared: int
    in_lava: int

    @property
    def steps(self) -> int:
        return int(self.events.shape[1])


def workloads(letters: str, samples: int | None = None) -> list[Workload]:
    """Those of ``letters``, with at most ``samples`` samples each."""
    makers = {"a": dense_workload, "b": conv_workload, "c": zoo_workload}
    most = {"a": 128, "b": 32, "c": 128}
    made = [makers[letter](min(samples or most[letter], most[letter])) for letter in letters]
    return [replace(one, batches=_up_to(len(one.events), one.batches)) for one in made]


def _up_to(most: int, batches: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(batch for batch in batches if batch <= most)


def dense_workload(samples: int) -> Workload:
    program = dense_program((2312, 512, 256, 10), "a")
    events = bernoulli((samples, 100, 2312), 0.02)
    title = "dense 2312-512-256-10, 100 steps"
    return Workload("a", title, program, events, (8, 32, 128), min(samples, 16), 3)


def conv_workload(samples: int) -> Workload:
    program = conv_program()
    events = bernoulli((samples, 50, 2, 64, 64), 0.015)
    title = "3 convolutions with pools on 2x64x64, 50 steps"
    return Workload("b", title, program, events, (4, 16), min(samples, 2), 1)


def zoo_workload(samples: int) -> Workload:
    compiled = compile_model(MODELS / LARGEST / "model.nir", "loihi2", 8, rounding="nearest")
    assert compiled.artifact is not None
    first = gesture_sim.NUMBERS["test"][0]
    events = gesture_sim.recordings(first, first + samples).events
    title = f"{LARGEST}, {events.shape[1]} steps"
    program = compiled.artifact.program
    return Workload("c", title, program, events, (8, 32, 128), min(samples, 16), 3)


def dense_program(sizes: tuple[int, ...], name: str) -> Program:
    """Fully connected layers of these sizes, the input's first."""
    chain = _Chain((sizes[0],))
    for inputs, size in pairwise(sizes):
        chain.dense(size, DENSE_THRESHOLDS[inputs])
    return chain.program(name)


def conv_program() -> Program:
    """The network of (b)."""
    chain = _Chain((2, 64, 64))
    for at, (channels, threshold) in enumerate(zip((16, 32, 64), CONV_THRESHOLDS, strict=False)):
        if at:
            chain.then(f"pool{at}", SumPool2d(kernel=(2, 2), stride=(2, 2)))
        weight = chain.weight(channels, chain.shape[0], 3, 3)
        chain.then(f"conv{at}", Conv2d(weight=weight, padding=((1, 1), (1, 1))))
        chain.neurons(threshold)
    chain.then("pool", SumPool2d(kernel=(2, 2), stride=(2, 2)))
    chain.then("flat", Flatten())
    for size, threshold in zip((256, 11), CONV_THRESHOLDS[3:], strict=True):
        chain.dense(size, threshold)
    return chain.program("b")


def bernoulli(shape: tuple[int, ...], share: float) -> Events:
    """Events of which about ``share`` are 1."""
    rng = np.random.default_rng(0)
    rows: Iterable[Any] = (rng.random(shape[1:], np.float32) < share for _ in range(shape[0]))
    return np.stack([row.astype(np.uint8) for row in rows])


class _Chain:
    """A feed-forward program in the making, every layer in the step of its projection."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes, self.consts = [Node("x", Input(shape=shape))], dict[str, Const]()
        self.shape, self.layers = shape, 0

    def then(self, name: str, op: Linear) -> None:
        element = Int(3, signed=False) if isinstance(self.nodes[-1].op, SumPool2d) else SPIKE
        self.shape = op.result(self.consts, TensorType(self.shape, element)).shape
        delay = int(isinstance(op, Dense | Conv2d))
        self.nodes.append(Node(name, op, (Edge(self.nodes[-1].name, delay),)))

    def dense(self, size: int, threshold: int) -> None:
        self.then(f"fc{self.layers}", Dense(weight=self.weight(size, self.shape[0])))
        self.neurons(threshold)

    def weight(self, *shape: int) -> Ref:
        name = f"w{self.layers}"
        data = np.clip(self.rng.normal(2, 30, shape).round(), -128, 127)
        self.consts[name] = Const(TensorType(shape, Int(8)), data)
        return Ref(name)

    def neurons(self, threshold: int) -> None:
        self.layers += 1
        op = loihi_neuron(self.shape, du=1024, dv=256, threshold=threshold, start=self.layers)
        self.nodes.append(Node(f"n{self.layers}", op, (Edge(self.nodes[-1].name),)))

    def program(self, name: str) -> Program:
        return check(Program(name, tuple(self.nodes), (self.nodes[-1].name,), self.consts))
