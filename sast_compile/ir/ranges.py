"""How far every current and state of an integer program can go, for every possible input.

Interval arithmetic, per neuron: a bound inside a clamp proves that the clamp never acts. A state
``x <- r x + c`` with ``0 <= r < 1`` stays within ``c / (1 - r)``; without leak only a run of known
length bounds it. A neuron that fires and resets to 0 starts each step at most at its threshold,
which bounds v from above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_never

from sast_compile.ir.neuron import BitShift, Decay, Factor, MulShift, Param, Ref, State
from sast_compile.ir.ops import Add, Consts, Dense, Flatten, Input, Join, Neuron, Terms, lookup
from sast_compile.ir.program import Program
from sast_compile.ir.types import Float

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """Per element the least and greatest value that can occur, before any clamp."""

    low: Floats
    high: Floats

    @property
    def least(self) -> float:
        return float(self.low.min())

    @property
    def most(self) -> float:
        return float(self.high.max())

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Reach:
    """The ranges of one population: its input currents, and its states by name (u, v)."""

    currents: tuple[Range, ...]
    states: Mapping[str, Range]

    def may_clamp(self, op: Neuron) -> list[str]:
        """The names of the states whose clamp is not proven idle."""
        clamps = {name: state.clamp for name, state in op.named_states()}
        return [
            name
            for name, reach in self.states.items()
            if (clamp := clamps[name]) and (reach.least < clamp.low or reach.most > clamp.high)
        ]


def reaches(program: Program, steps: int | None = None) -> dict[str, Reach]:
    """The reach of every integer population, for any input and (if given) up to ``steps`` steps."""
    wires: dict[str, Range] = {}
    found: dict[str, Reach] = {}
    for node in program.nodes:
        xs = [wires.get(e.node) or _of_type(program, e.node) for e in node.inputs]
        op = node.op
        match op:
            case Input() | Terms() | Join():
                wires[node.name] = _of_type(program, node.name)
            case Flatten():
                wires[node.name] = Range(xs[0].low.ravel(), xs[0].high.ravel())
            case Dense():
                wires[node.name] = _projected(op, program.consts, xs[0])
            case Add():
                wires[node.name] = reduce(add, xs)
            case Neuron():
                wires[node.name] = _of_type(program, node.name)
                if not op.is_float:
                    found[node.name] = _population(op, program.consts, xs, steps)
            case _:
                assert_never(op)
    return found


def _of_type(program: Program, name: str) -> Range:
    """What the type allows; a float may be anything."""
    op = program.by_name[name].op
    type_ = op.spikes() if isinstance(op, Neuron) and op.fire else program.types[name]
    if isinstance(type_.element, Float):
        return Range(np.full(type_.shape, -np.inf), np.full(type_.shape, np.inf))
    element = type_.element
    return Range(
        np.full(type_.shape, float(element.low)), np.full(type_.shape, float(element.high))
    )


def _projected(op: Dense, consts: Consts, x: Range) -> Range:
    weight = lookup(op.weight, consts).data.astype(np.float64)
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    low, high = positive @ x.low + negative @ x.high, positive @ x.high + negative @ x.low
    return Range(np.floor(low * 2.0**op.exponent), np.floor(high * 2.0**op.exponent))


def _population(op: Neuron, consts: Consts, xs: list[Range], steps: int | None) -> Reach:
    states: dict[str, Range] = {}
    drive = xs[0]
    if op.synapses:
        named = op.named_states()[:-1]
        for (name, state), x in zip(named, xs, strict=True):
            states[name] = _state(state, consts, x, steps, ceiling=None)
        drive = _clamped_sum(op, states)
    states["v"] = _state(op.voltage, consts, drive, steps, ceiling=_ceiling(op, consts))
    return Reach(tuple(xs), states)


def _clamped_sum(op: Neuron, states: Mapping[str, Range]) -> Range:
    """The sum of the synaptic states as the voltage sees it: inside their clamps."""
    total = Range(np.zeros(op.shape), np.zeros(op.shape))
    for name, state in op.named_states()[:-1]:
        x, clamp = states[name], state.clamp
        if clamp and (x.least < clamp.low or x.most > clamp.high):  # a wrap reaches everything
            x = Range(np.full(op.shape, float(clamp.low)), np.full(op.shape, float(clamp.high)))
        total = total + x
    return total


def _state(
    state: State, consts: Consts, x: Range, steps: int | None, ceiling: Floats | None
) -> Range:
    """The reach of ``state``; ``ceiling`` is the most that a step can start from."""
    if state.adds != "sum" or state.decays != "first":  # it saturates inside the step: no bound
        return Range(np.full(x.low.shape[-1:], -np.inf), np.full(x.high.shape[-1:], np.inf))
    gain = _values(state.gain, consts)
    bias = _values(state.bias, consts) * 2.0**state.bias_exponent
    low, high = x.low * gain + bias, x.high * gain + bias
    kept, slack = _kept(state.decay, consts)
    lowest = -_accumulated(np.maximum(-low, 0) + slack * (kept > 0), kept, steps)
    highest = _accumulated(np.maximum(high, 0) + slack * (kept > 0), kept, steps)
    if ceiling is not None:
        highest = np.minimum(highest, np.maximum(kept * ceiling + high + slack, 0))
    return Range(lowest, highest)


def _accumulated(c: Floats, kept: Floats, steps: int | None) -> Floats:
    """The most that ``x <- kept x + c`` can become, for ``c >= 0``."""
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 and 0 inf, where c is 0
        settled = np.where(c > 0, c / (1 - kept), 0.0)
        summed = np.where(c > 0, c * (np.inf if steps is None else steps), 0.0)
    return np.minimum(settled, summed)


def _kept(decay: Decay | None, consts: Consts) -> tuple[Floats, float]:
    """The fraction of x that a step keeps, and by how much rounding may exceed it."""
    match decay:
        case None:
            return np.asarray(1.0), 0.0
        case Factor():
            return _values(decay.alpha, consts), 0.0
        case MulShift():
            kept = 1 - (_values(decay.decay, consts) + decay.offset) / 2.0**decay.bits
            exact = decay.rounding == "toward_zero" or bool((kept == 1).all())
            return kept, 0.0 if exact else 1.0
        case BitShift():
            return 1 - 2.0 ** -_values(decay.dash, consts), 1.0
    assert_never(decay)


def _ceiling(op: Neuron, consts: Consts) -> Floats | None:
    """v at the start of a step cannot exceed the threshold if every spike sets it to 0."""
    if op.fire is None or op.reset is None or op.reset.kind != "zero":
        return None
    return _values(op.fire.threshold, consts) * op.fire.unit


def _values(param: Param, consts: Consts) -> Floats:
    data = lookup(param, consts).data if isinstance(param, Ref) else np.asarray(param)
    return data.astype(np.float64)
