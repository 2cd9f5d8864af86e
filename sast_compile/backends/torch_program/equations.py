"""The equations of a neuron's parts in torch, as the docstrings of `ir/neuron.py` state them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from typing_extensions import assert_never

from sast_compile.ir.consts import lookup
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
from sast_compile.ir.ops import Consts
from sast_compile.ir.types import Array

Values: TypeAlias = Array | int  # on the host, int64
Number: TypeAlias = Tensor | int  # on the device


@dataclass(frozen=True)
class Numbers:
    """A program's parameters on their way to the device, in the type of a population."""

    consts: Consts
    kind: torch.dtype
    device: torch.device

    def of(self, param: Param) -> Values:
        """One number for the population, or one for each neuron."""
        if isinstance(param, Ref):
            return lookup(param, self.consts).data.astype(np.int64)
        return int(param)

    def put(self, values: Values) -> Number:
        if isinstance(values, int):
            return values
        return torch.from_numpy(values).to(self.device, self.kind)


class Limit:
    """A clamp that counts the elements it changes; on the device, so that no step waits for it."""

    def __init__(self, clamp: Clamp, idle: bool, device: torch.device) -> None:
        self.clamp, self.idle = clamp, idle
        self.count = torch.zeros((), dtype=torch.int64, device=device)

    def __call__(self, x: Tensor) -> Tensor:
        if self.idle:
            return x
        inside = _inside(x, self.clamp)
        self.count = self.count + torch.count_nonzero(x != inside)
        return inside


def _inside(x: Tensor, clamp: Clamp) -> Tensor:
    low, high = clamp.low, clamp.high
    match clamp.rule:
        case "saturate" | "forbid":  # what is forbidden is counted, and refused when all is done
            return x.clamp(low, high)
        case "wrap":
            return wrapped(x, clamp)
        case "wrap_once":
            span = high - low + 1
            return torch.where(x > high, x - span, torch.where(x < low, x + span, x))
    assert_never(clamp.rule)


def wrapped(x: Tensor, clamp: Clamp) -> Tensor:
    """``x`` modulo the number of values of ``clamp``."""
    return torch.remainder(x - clamp.low, clamp.high - clamp.low + 1) + clamp.low


class Leak:
    """The decay of one state, its numbers on the device."""

    def __init__(self, decay: Decay | None, numbers: Numbers) -> None:
        self.decay = decay
        self.kept: Number = 0
        self.dash: Number = 0
        match decay:
            case MulShift():
                self.kept = numbers.put((1 << decay.bits) - numbers.of(decay.decay) - decay.offset)
            case BitShift():  # a shift by all bits is left undefined
                most = 8 * numbers.kind.itemsize - 1
                dash = numbers.of(decay.dash)
                self.dash = numbers.put(
                    min(dash, most) if isinstance(dash, int) else np.minimum(dash, most)
                )

    def __call__(self, x: Tensor) -> Tensor:
        match self.decay:
            case None:
                return x
            case MulShift(bits=bits, rounding=rounding):
                return _rounded_shift(x * self.kept, bits, rounding)
            case BitShift(min_step=least):
                step = x >> self.dash
                return x - torch.where(step == 0, least * x.sign(), step)
            case Factor():
                raise AssertionError("floats are refused")
        assert_never(self.decay)


def _rounded_shift(x: Tensor, bits: int, rounding: Rounding) -> Tensor:
    """``x / 2^bits``, rounded to an integer."""
    match rounding:
        case "toward_zero":
            return torch.div(x, 1 << bits, rounding_mode="trunc")
        case "floor":
            return x >> bits
        case "half_even":
            odd = (x >> bits) & 1
            return (x + ((1 << bits >> 1) - 1) + odd) >> bits
    assert_never(rounding)


class Register:
    """One state variable's step, `State`; ``limit`` counts what its clamp changed."""

    def __init__(self, state: State, idle: bool, numbers: Numbers) -> None:
        assert state.clamp is not None
        self.state, self.clamp = state, state.clamp
        self.leak = Leak(state.decay, numbers)
        self.limit = Limit(state.clamp, idle, numbers.device)
        self.gain = int(numbers.of(state.gain))
        bias, exponent = numbers.of(state.bias), state.bias_exponent
        self.bias = numbers.put(bias << exponent if exponent >= 0 else bias >> -exponent)

    def step(self, x: Tensor, drive: Tensor, late: Number) -> Tensor:
        """The state after one step; ``late`` is what a reset adds to the decayed one."""
        limit = self.limit
        if self.state.adds == "increment":
            leak = wrapped(self.leak(x) - x, self.clamp)
            return limit(x + limit(_plus(limit(self._driven(leak, drive)), self.bias)))
        if self.state.decays == "first":
            x = self.leak(x)
        if self.state.adds == "each":
            for term in drive.unbind(1):
                x = limit(self._driven(x, term))
            x = limit(_plus(x, self.bias))
        else:
            x = limit(_plus(_plus(self._driven(x, drive), self.bias), late))
        return self.leak(x) if self.state.decays == "last" else x

    def _driven(self, x: Tensor, drive: Tensor) -> Tensor:
        """``x + gain drive``, in the wider of their types."""
        return torch.add(x, drive, alpha=self.gain)


def _plus(x: Tensor, number: Number) -> Tensor:
    """``x + number``; a 0 costs no pass over x."""
    return x if isinstance(number, int) and number == 0 else x + number


class Spiking:
    """When a population fires, and what its spikes do to v; counts of spikes are of v's type."""

    def __init__(self, fire: Fire, reset: Reset, numbers: Numbers) -> None:
        self.fire, self.reset = fire, reset
        self.threshold = numbers.put(numbers.of(fire.threshold) * fire.unit)
        self.amount = numbers.put(numbers.of(reset.amount))
        self.floor = None if reset.floor is None else numbers.put(numbers.of(reset.floor))

    def count(self, v: Tensor) -> Tensor:
        """How often each neuron fires in this step."""
        strict = self.fire.compare == ">"
        passes = v > self.threshold if strict else v >= self.threshold
        if self.fire.limit == 1:
            return passes.to(v.dtype)
        amount = self.amount if self.reset.kind == "subtract" else self.threshold
        left = v - self.threshold - int(strict)  # v > t is v >= t + 1
        more = torch.div(left, amount, rounding_mode="floor")
        return torch.where(passes, (more + 1).clamp(max=self.fire.limit), 0)

    def after_fire(self, v: Tensor, fired: Tensor) -> Tensor:
        """v after the resets of the spike's own step."""
        if self.reset.when != "after_fire":
            return v
        v = self._emptied(v, fired)
        return v if self.floor is None else v.clamp(min=self.floor)

    def before_decay(self, v: Tensor, fired: Tensor) -> tuple[Tensor, Number]:
        """v at the start of the next step, and what is added to it once it has decayed."""
        if self.reset.when == "after_fire":
            return v, 0
        if self.reset.when == "after_decay" and self.reset.kind == "subtract":
            return v, -fired * self.amount
        return self._emptied(v, fired), 0  # nothing decays to nothing: zero may come before

    def _emptied(self, v: Tensor, fired: Tensor) -> Tensor:
        if self.reset.kind == "zero":
            return v.masked_fill(fired > 0, 0)
        return v - fired * self.amount
