"""The reference interpreter: the definition of what a program computes, in numpy.

It is meant to be read before it is meant to be fast: wires here, equations in `equations.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_never

from sast_compile.backends.reference.equations import Values, neuron_step, numbers, product, shift
from sast_compile.errors import CompileError
from sast_compile.ir.conv import convolve
from sast_compile.ir.events import Events, input_batch
from sast_compile.ir.ops import (
    Add,
    Conv2d,
    Dense,
    Flatten,
    Input,
    Join,
    Neuron,
    Scale,
    SumPool2d,
    Terms,
)
from sast_compile.ir.pool import sum_pool
from sast_compile.ir.population import register
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.ir.types import Float, TensorType, scale_column, storage
from sast_compile.trace import Layer, Record, Tally, Trace


def run(program: Program, events: Events, record: Record = "spikes") -> Trace:
    """The trace of ``program`` on ``events``, (samples, steps, *input shape) for each input.

    ``record`` says what is kept: the outputs' spikes, every layer's, or these and the states.
    Every sample starts from rest. Raises CompileError if the events do not fit the inputs.
    """
    batch = input_batch(program, events)
    samples, steps = next(iter(batch.values())).shape[:2]
    machine = _Machine(program, batch, samples)
    kept = program.outputs if record == "outputs" else (*program.neurons, *program.outputs)
    log = {name: _Log(program, name, samples, steps, record == "states") for name in kept}
    for _ in range(steps + max(log_.start for log_ in log.values())):
        machine.step()
        for log_ in log.values():
            log_.keep(machine)
    return Trace({name: log_.layer() for name, log_ in log.items()})


class _Machine:
    """The wires and states of one run, moved on one step at a time."""

    def __init__(self, program: Program, batch: Mapping[str, Values], samples: int) -> None:
        self.program, self.batch, self.samples, self.time = program, batch, samples, -1
        self.now: dict[str, Values] = {}
        longest = max((e.delay for n in program.nodes for e in n.inputs), default=0)
        self.past: deque[dict[str, Values]] = deque(maxlen=max(1, longest))
        self.states = {n: self._rest(n, op) for n, op in program.neurons.items()}
        self.tallies = dict.fromkeys(program.neurons, Tally())

    def step(self) -> None:
        if self.time >= 0:
            self.past.appendleft(self.now)
        self.now, self.time = {}, self.time + 1
        for node in self.program.nodes:
            self.now[node.name] = self._value(node, [self._wire(edge) for edge in node.inputs])

    def _value(self, node: Node, xs: list[Values]) -> Values:
        op, consts = node.op, self.program.consts
        match op:
            case Input():
                events = self.batch[node.name]
                return events[:, self.time] if self.time < events.shape[1] else 0 * events[:, 0]
            case Flatten():
                return xs[0].reshape(self.samples, *self.program.types[node.name].shape)
            case Scale():
                return xs[0] * numbers(op.factor, consts)
            case SumPool2d():
                return sum_pool(op, xs[0])
            case Dense():
                return shift(product(xs[0], numbers(op.weight, consts)), op.exponent)
            case Conv2d():
                return shift(convolve(op, xs[0], numbers(op.weight, consts), product), op.exponent)
            case Terms():
                weight = numbers(op.weight, consts)
                return shift(xs[0][:, :, None] * weight.T, op.exponent)
            case Add():
                total: Values = np.sum(xs, axis=0)
                return total
            case Join():
                return np.concatenate(xs, axis=1)
            case Neuron():
                drives = [self._drive(op, e, x) for e, x in zip(node.inputs, xs, strict=True)]
                return self._fire(node.name, op, drives)
        assert_never(op)

    def _fire(self, name: str, op: Neuron, drives: list[Values]) -> Values:
        states = self.states[name]
        if self.time < op.start:
            return _zeros(self.program.types[name], self.samples)
        try:
            spikes, tally = neuron_step(op, self.program.consts, drives, states)
        except OverflowError as error:
            raise CompileError(str(error), where=name) from None
        self.tallies[name] += tally
        return spikes

    def _wire(self, edge: Edge) -> Values:
        if edge.delay == 0:
            return self.now[edge.node]
        if edge.delay <= len(self.past):
            return self.past[edge.delay - 1][edge.node]
        return _zeros(self.program.types[edge.node], self.samples)

    def _drive(self, op: Neuron, edge: Edge, x: Values) -> Values:
        """The current as the neuron takes it: a float neuron reads model units."""
        return x * scale_column(self.program.types[edge.node]) if op.is_float else x

    def _rest(self, name: str, op: Neuron) -> dict[str, Values]:
        kind = np.float64 if op.is_float else np.int64
        names = ["fired", *(state for state, _ in op.named_states())]
        return {state: np.zeros((self.samples, *op.shape), kind) for state in names}


def _zeros(type_: TensorType, samples: int) -> Values:
    kind = np.float64 if isinstance(type_.element, Float) else np.int64
    return np.zeros((samples, *type_.shape), kind)


class _Log:
    """The record of one node over its window of columns."""

    def __init__(self, program: Program, name: str, samples: int, steps: int, states: bool) -> None:
        type_ = program.types[name]
        self.name, self.start, self.steps = name, program.start_of(name), steps
        shape = (samples, steps, *type_.shape)
        self.values = np.zeros(shape, storage(type_.element))
        self.states: dict[str, npt.NDArray[Any]] = {}
        self.tally: Tally | None = None
        if states and name in program.neurons:
            op = program.neurons[name]
            self.states = {
                name: np.zeros(shape, register(state)) for name, state in op.named_states()
            }

    def keep(self, machine: _Machine) -> None:
        column = machine.time - self.start
        if not 0 <= column < self.steps:
            return
        self.values[:, column] = machine.now[self.name]
        for state, record in self.states.items():
            record[:, column] = machine.states[self.name][state]
        self.tally = machine.tallies.get(self.name)

    def layer(self) -> Layer:
        return Layer(self.values, self.states, self.tally)
