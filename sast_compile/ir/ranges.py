"""How far every current and state of an integer program can go, for every possible input.

Interval arithmetic, per neuron: a bound inside a clamp proves that the clamp never acts. A state
``x <- r x + c`` with ``0 <= r < 1`` stays within ``c / (1 - r)``; without leak only a run of known
length bounds it. A neuron that fires and resets to 0 starts each step at most at its threshold,
which bounds v from above.

A bound may also be asked for under a stated event rate: no more than a share of each input's
elements is other than 0 in one step. A sum is then that of its largest terms, as many as can be
active.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_never

from sast_compile.ir.conv import convolve
from sast_compile.ir.neuron import BitShift, Clamp, Decay, Factor, MulShift, Param, Ref, State
from sast_compile.ir.ops import (
    Add,
    Consts,
    Conv2d,
    Dense,
    Flatten,
    Input,
    Join,
    Neuron,
    Scale,
    SumPool2d,
    Terms,
    lookup,
)
from sast_compile.ir.pool import sum_pool
from sast_compile.ir.program import Program
from sast_compile.ir.types import Float

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """Per element the least and greatest value that can occur: before a clamp, or after it.

    ``active``: how many elements can be other than 0 in one step; None where nothing is known.
    """

    low: Floats
    high: Floats
    active: int | None = None

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
            if (clamp := clamps[name]) and _leaves(reach, clamp)
        ]


def reaches(
    program: Program, steps: int | None = None, event_rate: float | None = None
) -> dict[str, Reach]:
    """The reach of every integer population, for any input and (if given) up to ``steps`` steps.

    With an ``event_rate``, for inputs of which at most this share is other than 0 in one step.
    """
    wires: dict[str, Range] = {}
    found: dict[str, Reach] = {}
    for node in program.nodes:
        xs = [wires.get(e.node) or _of_type(program, e.node) for e in node.inputs]
        op = node.op
        match op:
            case Input():
                whole = _of_type(program, node.name)
                wires[node.name] = replace(whole, active=at_rate(whole.low.size, event_rate))
            case Terms() | Join() | Scale():
                wires[node.name] = _of_type(program, node.name)
            case Flatten():
                shape = program.types[node.name].shape
                low, high = xs[0].low.reshape(shape), xs[0].high.reshape(shape)
                wires[node.name] = Range(low, high, xs[0].active)
            case SumPool2d():
                wires[node.name] = Range(
                    *(sum_pool(op, e[None])[0] for e in (xs[0].low, xs[0].high))
                )
            case Dense():
                wires[node.name] = _projected(op, program.consts, xs[0])
            case Conv2d():
                wires[node.name] = _convolved(op, program.consts, xs[0])
            case Add():
                wires[node.name] = reduce(add, xs)
            case Neuron():
                wires[node.name] = _of_type(program, node.name)
                if not op.is_float:
                    found[node.name] = _population(op, program.consts, xs, steps)
            case _:
                assert_never(op)
    return found


def at_rate(size: int, event_rate: float | None) -> int | None:
    """How many of ``size`` elements a share of ``event_rate`` are, at least one."""
    return None if event_rate is None else max(math.ceil(event_rate * size), 1)


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
    if x.active is not None and x.active < weight.shape[1]:
        low = -_largest(-(positive * x.low + negative * x.high), x.active)
        high = _largest(positive * x.high + negative * x.low, x.active)
    else:
        low, high = positive @ x.low + negative @ x.high, positive @ x.high + negative @ x.low
    return Range(np.floor(low * 2.0**op.exponent), np.floor(high * 2.0**op.exponent))


def _largest(terms: Floats, count: int) -> Floats:
    """The sum of the ``count`` largest terms of every row; none is below 0."""
    rows = terms.reshape(len(terms), -1)
    count = min(count, rows.shape[1])
    total: Floats = np.partition(rows, rows.shape[1] - count, axis=1)[:, -count:].sum(axis=1)
    return total


def _convolved(op: Conv2d, consts: Consts, x: Range) -> Range:
    weight = lookup(op.weight, consts).data.astype(np.float64)
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    low = convolve(op, x.low[None], positive) + convolve(op, x.high[None], negative)
    high = convolve(op, x.high[None], positive) + convolve(op, x.low[None], negative)
    low, high = low[0], high[0]
    if x.active is not None:
        least, most = float(x.low.min()), float(x.high.max())
        channels = (len(weight), *(1,) * (low.ndim - 1))
        bottom = -_largest(-(positive * least + negative * most), x.active).reshape(channels)
        top = _largest(positive * most + negative * least, x.active).reshape(channels)
        low, high = np.maximum(low, bottom), np.minimum(high, top)
    return Range(np.floor(low * 2.0**op.exponent), np.floor(high * 2.0**op.exponent))


def _population(op: Neuron, consts: Consts, xs: list[Range], steps: int | None) -> Reach:
    states: dict[str, Range] = {}
    drive = xs[0]
    if op.synapses:
        named = op.named_states()[:-1]
        for (name, state), x in zip(named, xs, strict=True):
            states[name] = _state(state, consts, x, steps, _Resets())
        drive = _clamped_sum(op, states)
    states["v"] = _state(op.voltage, consts, drive, steps, _resets(op, consts))
    return Reach(tuple(xs), states)


def _clamped_sum(op: Neuron, states: Mapping[str, Range]) -> Range:
    """The sum of the synaptic states as the voltage sees it: inside their clamps."""
    total = Range(np.zeros(op.shape), np.zeros(op.shape))
    for name, state in op.named_states()[:-1]:
        x, clamp = states[name], state.clamp
        one_wrap = clamp is not None and clamp.rule == "wrap_once"
        if clamp and _leaves(x, clamp) and not (one_wrap and np.isinf(x.least)):
            x = Range(np.full(op.shape, float(clamp.low)), np.full(op.shape, float(clamp.high)))
        total = total + x
    return total


@dataclass(frozen=True)
class _Resets:
    """What resets do to v between two steps: where it can start, how far they move it beyond 0."""

    low: Floats | float = -np.inf
    high: Floats | float = np.inf
    dip: Floats | float = 0.0  # at most 0: how far below 0 a subtraction takes v
    lift: Floats | float = 0.0  # at least 0: how far above 0 a floor takes v


def _resets(op: Neuron, consts: Consts) -> _Resets:
    """A reset to 0 keeps v at the threshold or below; a subtraction starts from the threshold."""
    if op.fire is None or op.reset is None:
        return _Resets()
    reset, threshold = op.reset, _values(op.fire.threshold, consts) * op.fire.unit
    floor = None if reset.floor is None else _values(reset.floor, consts)
    low = -np.inf if floor is None else np.minimum(floor, 0)
    lift = 0.0 if floor is None else np.maximum(floor, 0)
    if reset.kind == "zero":
        return _Resets(low, np.maximum(threshold, lift), 0.0, lift)
    amount = _values(reset.amount, consts)
    left = threshold - amount
    if reset.when == "after_decay":  # n spikes need v >= threshold + (n - 1) amount
        kept, _ = _kept(op.voltage.decay, consts)
        left = kept * threshold - amount - (1 - kept) * (op.fire.limit - 1) * amount
    return _Resets(low, np.inf, np.minimum(left, 0), lift)


def _state(state: State, consts: Consts, x: Range, steps: int | None, resets: _Resets) -> Range:
    """The reach of ``state``: ``x <- decay(x) + c``, between which ``resets`` act."""
    nowhere = np.full(x.low.shape[-1:], np.inf)
    if state.adds != "sum" or state.decays != "first":  # it saturates inside the step: no bound
        return Range(-nowhere, nowhere)
    gain = _values(state.gain, consts)
    bias = np.floor(_values(state.bias, consts) * 2.0**state.bias_exponent)
    kept, slack = _kept(state.decay, consts)
    rounding = slack * (kept > 0)
    low, high = x.low * gain + bias - rounding, x.high * gain + bias + rounding
    lowest = resets.dip - _accumulated(np.maximum(-low, 0), kept, steps)
    highest = resets.lift + _accumulated(np.maximum(high, 0), kept, steps)
    lowest = np.maximum(lowest, np.minimum(_scaled(kept, resets.low) + low, 0))
    highest = np.minimum(highest, np.maximum(_scaled(kept, resets.high) + high, 0))
    left = np.maximum(resets.dip, np.minimum(resets.low, 0))  # what a reset itself leaves behind
    lowest, highest = np.minimum(lowest, left), np.maximum(highest, resets.lift)
    reach, clamp = Range(lowest, highest), state.clamp
    if clamp is None or clamp.rule not in ("wrap", "wrap_once") or not _leaves(reach, clamp):
        return reach
    span = clamp.high - clamp.low + 1  # a wrap reaches everything inside the clamp
    reach = Range(
        np.minimum(kept * clamp.low + resets.dip + low, clamp.low + resets.dip),
        np.maximum(kept * clamp.high + resets.lift + high, clamp.high),
    )
    if clamp.rule == "wrap_once" and _leaves(reach, clamp, span):
        return Range(-nowhere, nowhere)
    return reach


def _leaves(x: Range, clamp: Clamp, beyond: int = 0) -> bool:
    return x.least < clamp.low - beyond or x.most > clamp.high + beyond


def _scaled(kept: Floats, end: Floats | float) -> Floats:
    """``kept end``; an unknown end stays unknown, whatever is kept."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(end), end, kept * end)


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


def _values(param: Param, consts: Consts) -> Floats:
    data = lookup(param, consts).data if isinstance(param, Ref) else np.asarray(param)
    return data.astype(np.float64)
