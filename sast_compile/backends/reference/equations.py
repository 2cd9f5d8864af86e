"""The equations of a neuron, in numpy: the definition of `ir/neuron.py`'s records.

Integers are int64, wider than any register that a program declares; floats are float64.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_never

from sast_compile.ir.neuron import (
    BitShift,
    Clamp,
    Decay,
    Factor,
    Fire,
    MulShift,
    Param,
    Ref,
    Reset,
    Rounding,
    State,
)
from sast_compile.ir.ops import Consts, Neuron, lookup
from sast_compile.trace import Tally

Values: TypeAlias = npt.NDArray[Any]  # int64 or float64, (samples, ...)


def neuron_step(
    op: Neuron, consts: Consts, drives: list[Values], states: dict[str, Values]
) -> tuple[Values, Tally]:
    """One step of a population; ``states`` (u.., v, fired) is brought up to date."""
    clamped: dict[str, int] = {}
    inputs = list(drives)
    named = op.named_states()
    for (name, state), drive in zip(named[:-1], inputs, strict=False):
        states[name], clamped[name] = state_step(state, consts, states[name], drive)
    current = np.sum([states[n] for n, _ in named[:-1]], axis=0) if op.synapses else inputs[0]
    v, late = late_reset(op.reset, consts, states["v"], states["fired"])
    v, clamped["v"] = state_step(op.voltage, consts, v, current, late)
    if op.reset is not None and (op.reset.kind, op.reset.when) == ("zero", "after_input"):
        v = np.where(states["fired"] > 0, 0, v)
    if op.fire is None or op.reset is None:
        states["v"] = v
        return v, Tally(negatives=int((v < 0).sum()), clamped=clamped)
    threshold = numbers(op.fire.threshold, consts) * op.fire.unit
    fired = spike_count(op.fire, op.reset, consts, v, threshold)
    tally = Tally(int(fired.sum()), int((v == threshold).sum()), int((v < 0).sum()), clamped)
    states["v"], states["fired"] = early_reset(op.reset, consts, v, fired), fired
    return fired, tally


def state_step(
    state: State, consts: Consts, x: Values, drive: Values, late: Values | int = 0
) -> tuple[Values, int]:
    """The state after one step, and how many elements its clamp changed; see `State`."""
    gain, bias = numbers(state.gain, consts), numbers(state.bias, consts)
    bias = shift(bias, state.bias_exponent)
    limit = _Limit(state.clamp)
    if state.adds == "increment":
        leak = _wrapped(decayed(state.decay, consts, x) - x, state.clamp)
        step = limit(limit(leak + gain * drive) + bias)
        return limit(x + step), limit.acted
    if state.decays == "first":
        x = decayed(state.decay, consts, x)
    if state.adds == "each":
        for term in np.moveaxis(drive, 1, 0):
            x = limit(x + gain * term)
        x = limit(x + bias)
    else:
        x = limit(x + gain * drive + bias + late)
    if state.decays == "last":
        x = decayed(state.decay, consts, x)
    return x, limit.acted


def decayed(decay: Decay | None, consts: Consts, x: Values) -> Values:
    """x after one step of leak."""
    match decay:
        case None:
            return x
        case Factor():
            return x * numbers(decay.alpha, consts)
        case MulShift():
            kept = (1 << decay.bits) - numbers(decay.decay, consts) - decay.offset
            return rounded_shift(x * kept, decay.bits, decay.rounding)
        case BitShift():
            step = x >> numbers(decay.dash, consts)
            return x - np.where(step == 0, decay.min_step * np.sign(x), step)
    assert_never(decay)


def rounded_shift(x: Values, bits: int, rounding: Rounding) -> Values:
    """``x / 2^bits``, rounded to an integer."""
    half = 1 << bits >> 1
    rounded: dict[Rounding, Values] = {
        "toward_zero": np.sign(x) * (np.abs(x) >> bits),
        "floor": x >> bits,
        "half_even": (x + half - 1 + ((x >> bits) & 1)) >> bits,
    }
    return rounded[rounding]


def spike_count(fire: Fire, reset: Reset, consts: Consts, v: Values, threshold: Values) -> Values:
    """How often each neuron fires in this step: up to ``fire.limit`` times."""
    passes = v > threshold if fire.compare == ">" else v >= threshold
    if fire.limit == 1:
        return passes.astype(np.int64)
    amount = numbers(reset.amount, consts) if reset.kind == "subtract" else threshold
    above = v - threshold
    more = above // amount if fire.compare == ">=" else -(-above // amount) - 1
    return np.where(passes, np.minimum(more + 1, fire.limit), 0).astype(np.int64)


def early_reset(reset: Reset, consts: Consts, v: Values, fired: Values) -> Values:
    """v after the resets that act in the step of the spike."""
    if reset.when != "after_fire":
        return v
    if reset.kind == "zero":
        v = np.where(fired > 0, 0, v)
    else:
        v = v - fired * numbers(reset.amount, consts)
    return v if reset.floor is None else np.maximum(v, numbers(reset.floor, consts))


def late_reset(
    reset: Reset | None, consts: Consts, v: Values, fired: Values
) -> tuple[Values, Values | int]:
    """v before the decay, and what is added after it, for resets that act in the next step."""
    if reset is None or reset.when == "after_fire":
        return v, 0
    if (reset.kind, reset.when) == ("zero", "after_input"):  # takes the drive of the step with it
        return v, 0
    if reset.kind == "zero":  # the decay of 0 is 0: before and after it are the same
        return np.where(fired > 0, 0, v), 0
    amount = fired * numbers(reset.amount, consts)
    return (v - amount, 0) if reset.when == "before_decay" else (v, -amount)


class _Limit:
    """A clamp that counts the elements it changed."""

    def __init__(self, clamp: Clamp | None) -> None:
        self.clamp, self.acted = clamp, 0

    def __call__(self, x: Values) -> Values:
        if self.clamp is None:
            return x
        low, high, span = self.clamp.low, self.clamp.high, self.clamp.high - self.clamp.low + 1
        outside = int(((x < low) | (x > high)).sum())
        self.acted += outside
        if not outside:
            return x
        match self.clamp.rule:
            case "forbid":
                raise OverflowError(f"{x.min()}..{x.max()} leaves [{low}, {high}]")
            case "saturate":
                return np.clip(x, low, high)
            case "wrap":
                return _wrapped(x, self.clamp)
            case "wrap_once":
                return np.where(x > high, x - span, np.where(x < low, x + span, x))
        assert_never(self.clamp.rule)


def _wrapped(x: Values, clamp: Clamp | None) -> Values:
    if clamp is None:
        return x
    return (x - clamp.low) % (clamp.high - clamp.low + 1) + clamp.low


def shift(x: Values, exponent: int) -> Values:
    """``x 2^exponent``; integers shift, to the right with floor."""
    if x.dtype.kind == "f":
        return x * 2.0**exponent
    return x << exponent if exponent >= 0 else x >> -exponent


EXACT = 2**53  # integers below this are exact in float64, and so are sums of them


def product(x: Values, weight: Values) -> Values:
    """``x @ weight.T``, x (samples, n), weight (m, n), exact.

    Integers are multiplied in float64, by BLAS, where no sum can reach 2^53; numpy's own product of
    integers is some ten times slower.
    """
    whole = "f" not in (x.dtype.kind, weight.dtype.kind)
    if not whole or not _sums_stay_exact(x, weight):
        summed: Values = x @ weight.T
        return summed
    exact: Values = (x.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.int64)
    return exact


def _sums_stay_exact(x: Values, weight: Values) -> bool:
    """Whether every partial sum of ``x @ weight.T`` is below 2^53."""
    largest = max(int(x.max(initial=0)), -int(x.min(initial=0)), 1)
    heaviest = np.abs(weight.astype(np.float64)).sum(axis=1).max(initial=0)
    # the float sum itself may be rounded by its last bit: half the bound leaves room
    return bool(largest * heaviest < EXACT / 2)


def numbers(param: Param, consts: Consts) -> Values:
    data = lookup(param, consts).data if isinstance(param, Ref) else np.asarray(param)
    return data.astype(np.float64 if data.dtype.kind == "f" else np.int64)
