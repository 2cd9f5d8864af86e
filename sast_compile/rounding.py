"""The chip's integers against the floats that they stand for, register by register.

The torch integer model takes its integers from the compiled program, so it alone would not see a
lowering that permutes weights or drops an exponent. Here every integer, times its scale, must be
its float: a weight one of the two integers beside it (or clipped at the grid's end), a bias within
half a step, a reset amount too, a leak within one register step, and a threshold too, but for what
the leak's rounding makes of v (`snap_decays`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_compile.ir.neuron import Factor, MulShift, Param, Ref, State
from sast_compile.ir.ops import Neuron, Projection
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const, Float, Int, TensorType, scale_column
from sast_compile.passes.feeders import by_row, feeders
from sast_compile.passes.fold_scales import gain_of
from sast_compile.passes.share_thresholds import common_threshold

Floats = npt.NDArray[np.float64]
SLACK = 1e-6  # of a step: the scale is a float64, and so is its product


@dataclass(frozen=True)
class Rounded:
    """One register of one node: how many values, and the largest distance in steps."""

    node: str
    register: str
    values: int
    clipped: int
    steps: float
    allowed: float

    @property
    def faithful(self) -> bool:
        return self.steps <= self.allowed + SLACK


def rounded(source: Program, compiled: Program) -> list[Rounded]:
    """Every weight, threshold, leak and bias of ``compiled`` against ``source``, by node.

    ``source`` is the float program of the same model. A node that only one of them has is left to
    the comparison of spikes.
    """
    found: list[Rounded] = []
    for name, before in source.neurons.items():
        after = compiled.neurons.get(name)
        if after is None or after.shape != before.shape or not before.is_float or after.is_float:
            continue
        found += _weights(source, compiled, name, before)
        found += _registers(source, compiled, name, before, after)
    return found


def _folded(source: Program, compiled: Program, name: str) -> Floats:
    """What v is multiplied with, by neuron, so that thresholds are one (`share_thresholds`)."""
    before, after = source.neurons[name], compiled.neurons[name]
    if before.fire is None or after.fire is None:
        return np.ones(())
    threshold = _values(before.fire.threshold, source)
    if not threshold.shape:
        return np.ones(())
    height = _values(after.fire.threshold, compiled) * after.fire.unit * _unit(compiled, name)
    common = common_threshold(threshold)
    own = np.abs(np.log(height / threshold)).sum() <= np.abs(np.log(height / common)).sum()
    return np.ones(()) if own else np.asarray(common / threshold)


def _unit(compiled: Program, name: str) -> Floats:
    """What a step of v is worth, shaped to broadcast against the population."""
    after = compiled.neurons[name]
    scale = after.voltage_scale(*(compiled.types[e.node] for e in compiled.by_name[name].inputs))
    return np.asarray(scale_column(TensorType(after.shape, Float(), scale)))


def _weights(source: Program, compiled: Program, name: str, before: Neuron) -> Iterator[Rounded]:
    factor = gain_of(source, before) * _folded(source, compiled, name)
    for feeder in feeders(source, name):
        wanted, got = _weight(source, feeder), _weight(compiled, feeder)
        if wanted is None or got is None or wanted.type.shape != got.type.shape:
            continue
        element = got.type.element
        if isinstance(element, Float):
            continue
        floats = wanted.data * by_row(source, feeder, factor, "factor") / scale_column(got.type)
        clipped = _clipped(floats, got.data, element)
        distance = np.where(clipped, 0, np.abs(floats - got.data))
        yield Rounded(
            feeder, "weight", got.data.size, int(clipped.sum()), float(distance.max()), 1.0
        )


def _clipped(
    floats: Floats, integers: npt.NDArray[np.generic], element: Int
) -> npt.NDArray[np.bool_]:
    low = (integers == element.low) & (floats < element.low)
    high = (integers == element.high) & (floats > element.high)
    return np.asarray(low | high)


def _registers(
    source: Program, compiled: Program, name: str, before: Neuron, after: Neuron
) -> Iterator[Rounded]:
    unit = _unit(compiled, name)
    n = int(np.prod(before.shape))
    factor = _folded(source, compiled, name)
    if before.fire is not None and after.fire is not None:
        step = unit * after.fire.unit
        wanted = factor * _values(before.fire.threshold, source) / step
        got = _values(after.fire.threshold, compiled)
        most = float((wanted * _loss(before.voltage, after.voltage, source, compiled)).max())
        yield Rounded(name, "threshold", got.size, 0, _farthest(wanted, got), 1.0 + most)
    yield from _leak(name, "leak", before.voltage, after.voltage, source, compiled)
    for was, now in zip(before.synapses or (FORGETS,), after.synapses, strict=False):
        yield from _leak(name, "current's leak", was, now, source, compiled)
    yield from _reset(name, before, after, unit / factor, source, compiled)
    step = unit * 2.0**after.voltage.bias_exponent
    wanted = factor * _values(before.voltage.bias, source) / step
    got = _values(after.voltage.bias, compiled)
    if wanted.any() or got.any():
        yield Rounded(name, "bias", n, 0, _farthest(wanted, got), 0.5)


def _loss(was: State, now: State, source: Program, compiled: Program) -> Floats:
    """By what share v settles lower or higher, the leak being another: a threshold may follow."""
    before, after = was.decay, now.decay
    if not isinstance(before, Factor) or not isinstance(after, MulShift):
        return np.zeros(())
    wanted = 1 - _values(before.alpha, source)
    got = (_values(after.decay, compiled) + after.offset) / 2**after.bits
    smaller = np.minimum(wanted, got)
    return np.asarray(np.abs(wanted - got) / np.where(smaller > 0, smaller, np.inf))


FORGETS = State(decay=Factor(alpha=0.0))  # the current of a neuron without a synaptic state


def _leak(
    name: str, what: str, was: State, now: State, source: Program, compiled: Program
) -> Iterator[Rounded]:
    before, after = was.decay, now.decay
    if isinstance(before, Factor) and isinstance(after, MulShift):
        wanted = (1 - _values(before.alpha, source)) * 2**after.bits
        got = _values(after.decay, compiled) + after.offset
        yield Rounded(name, what, got.size, 0, _farthest(wanted, got), 1.0)


def _reset(
    name: str,
    before: Neuron,
    after: Neuron,
    unit: Floats,
    source: Program,
    compiled: Program,
) -> Iterator[Rounded]:
    """What a spike subtracts; where it was subtracted behind the decay, what is left of it."""
    was, now = before.reset, after.reset
    if was is None or now is None or "zero" in (was.kind, now.kind):
        return
    wanted, decay = _values(was.amount, source) / unit, before.voltage.decay
    if isinstance(decay, Factor) and (was.when, now.when) == ("after_decay", "after_fire"):
        wanted = wanted / _values(decay.alpha, source)
    got, step = _values(now.amount, compiled), 1
    if before.fire is not None and after.fire is not None and was.amount == before.fire.threshold:
        step = after.fire.unit  # rounded like the threshold
    yield Rounded(name, "reset amount", got.size, 0, _farthest(wanted / step, got / step), 0.5)


def _farthest(wanted: Floats, got: Floats) -> float:
    return float(np.abs(wanted - got).max())


def _weight(program: Program, name: str) -> Const | None:
    node = program.by_name.get(name)
    op = node.op if node else None
    return program.consts[op.weight.name] if isinstance(op, Projection) else None


def _values(param: Param, program: Program) -> Floats:
    data = program.consts[param.name].data if isinstance(param, Ref) else np.asarray(param)
    return data.astype(np.float64)
