"""A float population in the registers of a chip's neuron: what fold_thresholds does to one of them.

A register is one number for the population where all neurons agree, else one for each; a chip that
shares registers then splits the population.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.neuron import Factor, Fire, MulShift, Param, Ref, Reset, State
from sast_compile.ir.ops import Neuron
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const, Int, TensorType, int_holding
from sast_compile.passes.feeders import Floats
from sast_compile.passes.snap_decays import exact_registers
from sast_compile.target import Register, Target


@dataclass(frozen=True)
class Composed:
    """The chip's population, its constants, and whether no comparison changed its meaning."""

    neuron: Neuron
    consts: dict[str, Const]
    exact: bool


def composed(program: Program, name: str, unit_of_a: Floats, target: Target) -> Composed:
    """The float population ``name`` as the target's; a step of its current is worth ``unit_of_a``.

    That is one number for the population, or one for each row of its weights.

    Raises TargetLimit naming the register whose range does not hold what is wanted.
    """
    return _Composer(program, name, unit_of_a / _gain(target), target).composed()


def _gain(target: Target) -> int:
    """Steps of v for a step of the summed current."""
    synapse = target.neurons.synapse
    return (synapse.gain if synapse else 1) * target.neurons.voltage.gain


@dataclass
class _Composer:
    program: Program
    name: str
    unit_of_v: Floats
    target: Target
    consts: dict[str, Const] = field(default_factory=dict)

    def composed(self) -> Composed:
        before, chip = self.program.neurons[self.name], self.target.neurons
        bias, exponent = self._bias(before.voltage.bias)
        voltage = self._state(chip.voltage, "v", before.voltage)
        voltage = replace(voltage, bias=bias, bias_exponent=exponent)
        after = Neuron(
            shape=before.shape,
            synapses=self._synapses(before),
            voltage=voltage,
            fire=None,
            reset=None,
        )
        if before.fire is None:
            return Composed(after, self.consts, exact=True)
        assert before.reset is not None
        reset, on_grid = self._reset(before.reset, before.fire)
        lasts = bool(before.synapses) and self._values(_alpha(before.synapses[0])).any()
        whole = (
            on_grid
            and not lasts
            and bool((self._values(_alpha(before.voltage)) == 1).all())
            and self._adds_multiples(bias, exponent)
        )
        fire, exact = self._fire(before.fire, whole)
        return Composed(replace(after, fire=fire, reset=reset), self.consts, exact)

    # ---- states

    def _synapses(self, before: Neuron) -> tuple[State, ...]:
        """The chip's synaptic state; it forgets at once where the float neuron has none."""
        synapse = self.target.neurons.synapse
        if synapse is None:
            return ()
        state = before.synapses[0] if before.synapses else State(decay=Factor(alpha=0.0))
        if len(before.synapses) > 1:
            raise Unsupported("two synaptic currents are not supported", where=self.name)
        return (self._state(synapse, "u", state),)

    def _state(self, register: Register, key: str, before: State) -> State:
        decay = register.decay
        alpha = self._values(_alpha(before))
        return State(
            decay=MulShift(
                decay=self._param(f"{key}_decay", exact_registers(alpha, decay, self.name)),
                offset=decay.offset,
                bits=decay.bits,
                rounding=decay.rounding,
            ),
            gain=register.gain,
            clamp=register.clamp,
        )

    def _bias(self, bias: Param) -> tuple[Param, int]:
        """Mantissa and exponent of the bias: the finest exponent under which all mantissas fit."""
        limits, wanted = self.target.bias, self._values(bias) / self.unit_of_v
        largest = (1 << (limits.mantissa_bits - 1)) - 1
        for exponent in range(limits.exponent_low, limits.exponent_high + 1):
            mantissa = np.rint(wanted / 2.0**exponent)
            if np.abs(mantissa).max() <= largest:
                break
        else:
            raise TargetLimit(
                f"bias {np.abs(wanted).max():.0f} exceeds {self.target.name}'s "
                f"{largest << limits.exponent_high}",
                where=self.name,
                hint="a smaller bias, or larger weights: they are worth more per step of v",
            )
        if not isinstance(bias, Ref) and not mantissa.any():
            return 0, exponent
        if not mantissa.shape:
            return int(mantissa), exponent
        key = bias.name if isinstance(bias, Ref) else f"{self.name}.bias"
        mantissa = np.broadcast_to(mantissa, self._shape)
        scale = self.unit_of_v.ravel() * 2.0**exponent
        worth = float(scale[0]) if scale.size == 1 else tuple(scale.tolist())
        type_ = TensorType(mantissa.shape, Int(limits.mantissa_bits), worth)
        self.consts[key] = Const(type_, mantissa)
        return Ref(key), exponent

    def _adds_multiples(self, bias: Param, exponent: int) -> bool:
        """Whether every step adds a multiple of the threshold's unit to v."""
        unit = self.target.threshold.unit
        mantissa = self.consts[bias.name].data if isinstance(bias, Ref) else np.asarray(bias)
        return (
            _gain(self.target) % unit == 0
            and not ((mantissa.astype(np.int64) << exponent) % unit).any()
        )

    # ---- spikes

    def _fire(self, before: Fire, whole: bool) -> tuple[Fire, bool]:
        """The threshold's registers, and whether no comparison changes.

        ``whole``: v is always a multiple of the unit, so a threshold between two multiples can be
        moved to either without changing a comparison.
        """
        if before.limit > 1:
            raise Unsupported(
                f"up to {before.limit} spikes of a neuron in one step; a chip's sends one",
                where=self.name,
                hint="--contract-set spikes=1, and train it so",
            )
        threshold = self.target.threshold
        wanted = self._values(before.threshold) / (self.unit_of_v * threshold.unit)
        exact = whole or before.compare == threshold.compare
        if whole:
            least = np.ceil(wanted) if before.compare == ">=" else np.floor(wanted) + 1
            registers = least - 1 if threshold.compare == ">" else least
        else:
            registers = np.rint(wanted)
        self._check_threshold(registers)
        height = self._param("threshold", registers)
        return Fire(compare=threshold.compare, threshold=height, unit=threshold.unit), exact

    def _check_threshold(self, registers: Floats) -> None:
        limits, name = self.target.threshold, self.target.name
        most = self.target.neurons.voltage.clamp.high  # a threshold that v cannot pass is none
        high = min(limits.high, (most - (limits.compare == ">")) // limits.unit)
        for register in (registers.min(), registers.max()):
            if limits.low <= register <= high:
                continue
            way, bits = ("larger", "") if register < limits.low else ("smaller", ", or fewer bits")
            raise TargetLimit(
                f"threshold {int(register)} lies outside {name}'s {limits.low}..{high}",
                where=self.name,
                hint=f"a threshold that is {way} beside the layer's largest weight{bits}",
            )

    def _reset(self, before: Reset, fire: Fire) -> tuple[Reset, bool]:
        """The reset in steps of v, and whether it keeps v on multiples of the threshold's unit.

        What takes the threshold itself is rounded like it: both are then off by one factor, as if
        the weights were.
        """
        if before.floor is not None:
            raise Unsupported("a floor of the reset is not supported", where=self.name)
        if before.kind == "zero":
            return Reset(kind="zero"), True
        unit = self.target.threshold.unit if before.amount == fire.threshold else 1
        amount = np.rint(self._values(before.amount) / (self.unit_of_v * unit)) * unit
        amount = np.maximum(amount, 1)
        on_grid = not (amount % self.target.threshold.unit).any()
        register = self._param("amount", amount)
        return Reset(kind="subtract", when=before.when, amount=register), on_grid

    # ---- numbers

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.program.neurons[self.name].shape

    def _values(self, param: Param) -> Floats:
        data = self.program.consts[param.name].data if isinstance(param, Ref) else param
        return np.asarray(data, dtype=np.float64)

    def _param(self, what: str, registers: Floats) -> Param:
        """One register for all neurons where they agree, else the constant ``name.what``."""
        if (registers == registers.flat[0]).all():
            return int(registers.flat[0])
        registers = np.broadcast_to(registers, self._shape)
        element = int_holding(int(registers.min()), int(registers.max()))
        key = f"{self.name}.{what}"
        self.consts[key] = Const(TensorType(registers.shape, element), registers)
        return Ref(key)


def _alpha(state: State) -> Param:
    """What a step of a float state keeps; without a leak all of it."""
    return state.decay.alpha if isinstance(state.decay, Factor) else 1.0
