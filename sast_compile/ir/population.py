"""The op of a population: its typing rule, and that its parts fit together."""

from __future__ import annotations

import math

import numpy as np

from sast_compile.errors import TypeMismatch
from sast_compile.ir.consts import Consts, lookup
from sast_compile.ir.neuron import (
    BitShift,
    Clamp,
    Fire,
    MulShift,
    Natural,
    Param,
    Positive,
    Record,
    Ref,
    Reset,
    State,
)
from sast_compile.ir.types import (
    Element,
    Float,
    Int,
    Scale,
    TensorType,
    int_holding,
    same_scale,
    times,
)


class Neuron(Record, frozen=True, kw_only=True, tag="neuron"):
    """A population: inputs -> synaptic states -> voltage -> spikes (without ``fire``: v itself).

    With synapses, input i drives synapse i and their sum drives the voltage; without, the one input
    drives the voltage. ``start`` is the step in which the population computes column 0 of a sample;
    before it, the states rest at 0.
    """

    shape: tuple[Positive, ...]
    synapses: tuple[State, ...] = ()
    voltage: State
    fire: Fire | None
    reset: Reset | None = None
    start: Natural = 0

    def result(self, consts: Consts, *xs: TensorType) -> TensorType:
        self._check_inputs(xs)
        self._check_arithmetic(xs)
        scale = self.voltage_scale(*xs)
        self._check_params(consts)
        self._check_width(consts, xs)
        self._check_amounts(consts)
        if self.fire is not None:
            return self.spikes()
        clamp = self.voltage.clamp
        if clamp and clamp.rule == "wrap_once":
            raise TypeMismatch("v is read out, but one wrap may leave it outside its clamp")
        element: Element = int_holding(clamp.low, clamp.high) if clamp else Float()
        return TensorType(self.shape, element, scale)

    def spikes(self) -> TensorType:
        """The type of the spikes, known without the inputs: so a loop can be typed."""
        limit = self.fire.limit if self.fire else 1
        return TensorType(self.shape, int_holding(0, limit))

    def voltage_scale(self, *xs: TensorType) -> Scale:
        """Model units of one step of v: the current's, divided by the gains on its way."""
        if self.is_float:
            return 1.0  # values are in model units already
        synaptic = [
            times(x.scale, 1.0 / float(s.gain))  # type: ignore[arg-type]  # no Ref: one number
            for x, s in zip(xs, self.synapses, strict=False)
        ] or [xs[0].scale]
        if not all(same_scale(synaptic[0], other) for other in synaptic[1:]):
            raise TypeMismatch(f"the synapses' scales differ: {synaptic}")
        return times(synaptic[0], 1.0 / float(self.voltage.gain))  # type: ignore[arg-type]

    @property
    def states(self) -> tuple[State, ...]:
        """Synapses first, voltage last."""
        return (*self.synapses, self.voltage)

    @property
    def is_float(self) -> bool:
        return self.voltage.clamp is None

    def params(self) -> dict[str, Param | None]:
        """Every parameter that may be one number per neuron, by a name for messages."""
        named: dict[str, Param | None] = {}
        for name, state in self.named_states():
            decay = state.decay
            rate = None if decay is None else getattr(decay, decay.__struct_fields__[0])
            named |= {f"{name} decay": rate, f"{name} gain": state.gain, f"{name} bias": state.bias}
        if self.fire:
            named["threshold"] = self.fire.threshold
        if self.reset:
            named |= {"reset amount": self.reset.amount, "reset floor": self.reset.floor}
        return named

    def named_states(self) -> list[tuple[str, State]]:
        """Each state by name: u for one synapse (u0, u1 .. for several), v for the voltage."""
        many = len(self.synapses) > 1
        synapses = [(f"u{i}" if many else "u", s) for i, s in enumerate(self.synapses)]
        return [*synapses, ("v", self.voltage)]

    def _check_inputs(self, xs: tuple[TensorType, ...]) -> None:
        drivers = self.synapses or (self.voltage,)
        if len(xs) != len(drivers):
            raise TypeMismatch(f"{len(xs)} inputs for {len(drivers)} driven states")
        if self.synapses and self.voltage.adds == "each":
            raise TypeMismatch("the synapses give the voltage one sum, not terms to add one by one")
        for x, state in zip(xs, drivers, strict=True):
            shape = x.shape[1:] if state.adds == "each" else x.shape
            if shape != self.shape:
                raise TypeMismatch(f"input {x} does not fit a population of shape {self.shape}")

    def _check_arithmetic(self, xs: tuple[TensorType, ...]) -> None:
        floats = [s.clamp is None for s in self.states]
        if any(floats) and not all(floats):
            raise TypeMismatch("some states are floats (no clamp), some integers")
        if not self.is_float and any(isinstance(x.element, Float) for x in xs):
            raise TypeMismatch("a float current drives integer states")
        for name, value in self.params().items():
            if not self.is_float and isinstance(value, float):
                raise TypeMismatch(f"{name} {value} is a float in an integer neuron")
            if isinstance(value, (int, float)) and not abs(value) < 2**63:  # nor NaN or Inf
                raise TypeMismatch(f"{name} {value} is no number below 2^63")
        for name, state in self.named_states():
            if not self.is_float and (isinstance(state.gain, Ref) or state.gain < 1):
                raise TypeMismatch(f"{name} gain is not one positive number in an integer neuron")
            if state.decay is not None and isinstance(state.clamp, Clamp) == (
                state.decay.__struct_config__.tag == "factor"
            ):
                raise TypeMismatch("factor decays floats; mul_shift and bit_shift decay integers")
        if self.fire is not None:
            self._check_reset(self.fire)
        elif self.reset is not None:
            raise TypeMismatch("a reset without fire never acts")

    def _check_reset(self, fire: Fire) -> None:
        if self.reset is None:
            raise TypeMismatch("a neuron that fires needs a reset")
        adds_plainly = self.voltage.adds == "sum" and self.voltage.decays == "first"
        if self.reset.when in ("after_decay", "after_input") and not adds_plainly:
            raise TypeMismatch("a reset after the decay needs adds='sum' and decays='first'")
        if self.reset.when == "after_input" and not self.is_float:
            raise TypeMismatch("a reset after the input acts on floats only")
        if self.reset.floor is not None and self.reset.when != "after_fire":
            raise TypeMismatch("a floor needs a reset after the spike")

    def _check_params(self, consts: Consts) -> None:
        for name, value in self.params().items():
            if isinstance(value, Ref):
                const = lookup(value, consts)
                if const.type.shape != self.shape:
                    raise TypeMismatch(f"{name}: {const.type} for a population of {self.shape}")
                if not self.is_float and isinstance(const.type.element, Float):
                    raise TypeMismatch(f"{name}: {const.type} in an integer neuron")
        for name, state in self.named_states():
            low, high = ends(self.params()[f"{name} decay"], consts)
            most = 63 if isinstance(state.decay, BitShift) else math.inf
            if isinstance(state.decay, MulShift):
                most = 2**state.decay.bits - state.decay.offset
            if low < 0 or high > most:
                raise TypeMismatch(f"{name} decay {low}..{high} lies outside 0..{most}")

    def _check_amounts(self, consts: Consts) -> None:
        """Firing ends, and a reset leaves v inside its clamp."""
        fire, reset, clamp = self.fire, self.reset, self.voltage.clamp
        if fire is None or reset is None:
            return
        if fire.limit > 1 and ends(fire.threshold, consts)[0] <= 0:
            raise TypeMismatch("from a threshold of 0 or less it would fire without end")
        if reset.kind == "subtract":
            if ends(reset.amount, consts)[0] <= 0:
                raise TypeMismatch("a subtracting reset needs a positive amount")
            left = _values(fire.threshold, consts) * fire.unit - _values(reset.amount, consts)
            if clamp and reset.when == "after_fire" and left.min() < clamp.low:
                raise TypeMismatch("a reset from the threshold would leave the clamp of v")
        floor = ends(reset.floor, consts)
        if clamp and not (clamp.low <= floor[0] and floor[1] <= clamp.high):
            raise TypeMismatch("the floor of the reset lies outside the clamp of v")

    def _check_width(self, consts: Consts, xs: tuple[TensorType, ...]) -> None:
        """Nothing on the way to a clamp needs more than the 64 bits that back ends compute with."""
        if self.is_float:
            return
        drives = [_most(x.element) for x in xs]
        if self.synapses:
            drives.append(sum(_most(_register(s)) for s in self.synapses))
        for (name, state), drive in zip(self.named_states(), drives, strict=True):
            kept = state.decay.bits if isinstance(state.decay, MulShift) else 0
            bias = most_of(state.bias, consts) << max(state.bias_exponent, 0)
            gain = most_of(state.gain, consts)
            need = (_most(_register(state)) << kept) + gain * drive + bias
            if name == "v" and self.fire and self.reset:
                need += most_of(self.fire.threshold, consts) * self.fire.unit
                need += most_of(self.reset.amount, consts)
            if need >= 1 << 62:
                raise TypeMismatch(f"{name} may need {need.bit_length() + 1} bits on the way")


def _values(param: Param, consts: Consts) -> np.ndarray:
    data = np.asarray(lookup(param, consts).data if isinstance(param, Ref) else param)
    return data.astype(np.float64 if data.dtype.kind == "f" else np.int64)


def ends(param: Param | None, consts: Consts) -> tuple[int | float, int | float]:
    """The least and the greatest value of a parameter."""
    if not isinstance(param, Ref):
        return (0, 0) if param is None else (param, param)
    data = lookup(param, consts).data
    return data.min().item(), data.max().item()


def _most(element: Element) -> int:
    """The greatest magnitude of an integer type."""
    return max(-element.low, element.high) if isinstance(element, Int) else 0


def most_of(param: Param, consts: Consts) -> int:
    """The greatest magnitude of an integer parameter."""
    return int(max(map(abs, ends(param, consts))))


def kept_as(state: State) -> np.dtype[np.generic]:
    """What a record keeps ``state`` in; a single wrap may leave it anywhere."""
    register = _register(state)
    if isinstance(register, Float) or state.clamp is None:
        return np.dtype(np.float64)
    narrow = register.bits <= 32 and state.clamp.rule != "wrap_once"
    return np.dtype(np.int32 if narrow else np.int64)


def _register(state: State) -> Element:
    return int_holding(state.clamp.low, state.clamp.high) if state.clamp else Float()
