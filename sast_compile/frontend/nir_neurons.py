"""NIR's neurons as populations in float64, under a discretisation contract.

``tau dv/dt = (v_leak - v) + r I`` becomes ``v <- alpha v + gain I`` with ``alpha = 1 - dt/tau``
(Euler) or ``exp(-dt/tau)`` (exact) and ``gain = r (1 - alpha)``; without leak, ``dv/dt = r I``, it
is ``alpha = 1``, ``gain = r dt``. A synaptic current, ``tau_syn dI/dt = -I + w_in S``, becomes
``I <- beta I + w_in (1 - beta) S``, and the voltage sees the I of its own step. The contract may
say otherwise of the gains (`Drive`, `Synapse`). Where it gives alpha, beta and gain themselves,
these are taken and only compared with the time constants.

Every population starts at rest, ``v = v_leak``, and is counted from there: v_leak becomes a part of
the threshold, ``v > v_threshold`` is ``v - v_leak > v_threshold - v_leak``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sast_compile.contract import Contract
from sast_compile.errors import BadFile, CompileError, Unsupported
from sast_compile.frontend.nir_kinds import READOUTS, kind_of
from sast_compile.frontend.numbers import Floats, finite, param
from sast_compile.ir.neuron import Factor, Fire, Param, Reset, State
from sast_compile.ir.ops import Neuron
from sast_compile.ir.types import Const

SAME_GAIN = 2.0**-21  # tau and r are often float32: their quotient is off by some 2^-23
TAU_TOLERANCE = 1e-4  # float32 keeps 7 digits of tau; 1 - dt/tau loses up to 3 of them
PARAMETERS = (
    "tau",
    "tau_mem",
    "tau_syn",
    "r",
    "w_in",
    "v_leak",
    "v_threshold",
    "v_reset",
    "threshold",
)


@dataclass(frozen=True)
class Discretiser:
    """Makes populations under ``contract``; their constants go into ``consts``."""

    contract: Contract
    consts: dict[str, Const]

    def population(
        self, name: str, node: Any, shape: tuple[int, ...], bias: Floats | None
    ) -> Neuron:
        """``node`` as a float population of ``shape`` with ``bias`` added to its current."""
        numbers = {
            key: finite(name, key, getattr(node, key)) for key in PARAMETERS if hasattr(node, key)
        }
        alpha, gain, synapse = self._decays(name, node, numbers)

        def at(what: str, value: Floats) -> Param:
            return param(f"{name}.{what}", value, shape, self.consts)

        synapses: tuple[State, ...] = ()
        if synapse is not None:
            if bias is not None:
                raise Unsupported(
                    "a bias reaches it through its synaptic current, which no chip adds there",
                    where=name,
                    hint="train without this bias, or with a neuron without synaptic current",
                )
            beta, weight = synapse
            synapses = (State(decay=Factor(alpha=at("beta", beta)), gain=at("w_in", weight)),)
        constant = np.zeros(()) if bias is None else gain * bias
        voltage = State(
            decay=Factor(alpha=at("alpha", alpha)), gain=at("gain", gain), bias=at("bias", constant)
        )
        if kind_of(node) in READOUTS:
            _at_rest(name, numbers, ("v_leak",))
            return Neuron(shape=shape, synapses=synapses, voltage=voltage, fire=None)
        fire, reset = self._fires(name, node, numbers, at)
        return Neuron(shape=shape, synapses=synapses, voltage=voltage, fire=fire, reset=reset)

    def _fires(
        self, name: str, node: Any, numbers: Mapping[str, Floats], at: Any
    ) -> tuple[Fire, Reset]:
        its = self.contract.of(name)
        if kind_of(node) == "Threshold":  # nothing is kept from step to step
            threshold = numbers["threshold"]
            _check_threshold(name, "threshold", threshold)
            return (
                Fire(compare=its.compare, threshold=at("threshold", threshold)),
                Reset(kind="zero"),
            )
        subtracts = its.reset == "subtract"
        rest = _rest(name, numbers, subtracts)
        threshold = numbers["v_threshold"] - rest
        what = "v_threshold - v_leak" if rest.any() else "v_threshold"
        _check_threshold(name, what, threshold)
        height = at("threshold", threshold)
        amount: Param = 0
        if subtracts:
            amount = height if not rest.any() else at("amount", numbers["v_threshold"] + 0 * rest)
        when = its.reset_when
        if subtracts and when == "after_input":  # a difference may be taken before a sum or after
            when = "after_decay"
        reset = Reset(kind=its.reset, when=when, amount=amount)
        return Fire(compare=its.compare, threshold=height, limit=its.spikes), reset

    def _decays(
        self, name: str, node: Any, numbers: Mapping[str, Floats]
    ) -> tuple[Floats, Floats, tuple[Floats, Floats] | None]:
        """alpha, gain, and of a synaptic current beta and its gain, stated or derived."""
        alpha, gain, synapse = self._derived(name, node, numbers)
        stated = self.contract.neurons.get(name)
        if stated is None:
            return alpha, gain, synapse
        self._compare(name, "alpha", stated.alpha, alpha)
        self._compare(name, "gain", stated.gain, gain)
        if synapse is not None and isinstance(stated.beta, float):
            self._compare(name, "beta", stated.beta, synapse[0])
            self._compare(name, "the current's gain", 1.0, synapse[1])
            synapse = np.asarray(stated.beta), np.ones(())
        elif synapse is None and isinstance(stated.beta, float):
            raise BadFile(
                f"the contract says beta = {stated.beta}, but it has no current", where=name
            )
        return np.asarray(stated.alpha), np.asarray(stated.gain), synapse

    def _compare(self, name: str, what: str, ours: float, theirs: Floats) -> None:
        if np.abs(ours - theirs).max() > TAU_TOLERANCE * max(1.0, abs(ours)):
            raise BadFile(
                f"the contract says {what} = {ours}, but tau, r and dt = {self.contract.dt} s "
                f"give {theirs.flat[0]:.9g}",
                where=name,
            )

    def _derived(
        self, name: str, node: Any, numbers: Mapping[str, Floats]
    ) -> tuple[Floats, Floats, tuple[Floats, Floats] | None]:
        match kind_of(node):
            case "Threshold":
                return np.zeros(()), np.ones(()), None
            case "IF" | "I":
                return np.ones(()), self._gain(numbers["r"], None), None
            case "LIF" | "LI":
                alpha = self._kept(name, "tau", node, numbers)
                return alpha, self._gain(numbers["r"], alpha), None
            case _:
                alpha = self._kept(name, "tau_mem", node, numbers)
                beta = self._kept(name, "tau_syn", node, numbers)
                synapse = beta, self._current_gain(numbers["w_in"], beta)
                return alpha, self._gain(numbers["r"], alpha), synapse

    def _gain(self, r: Floats, alpha: Floats | None) -> Floats:
        """What a step adds to v of a current of 1; ``alpha`` is None without a leak."""
        match self.contract.drive, alpha:
            case "unit", _:
                return np.ones(())
            case "step", None:
                return _agreed(r)
            case _, None:
                return _agreed(r * self.contract.dt)
            case _:
                return _agreed(r * (1 - alpha))

    def _current_gain(self, w_in: Floats, beta: Floats) -> Floats:
        """What a step adds to a synaptic current for a drive of 1."""
        match self.contract.synapse:
            case "nir":
                return _agreed(w_in * (1 - beta))
            case "unit" | "decayed" as rule:
                added = np.ones(()) if self.contract.drive == "unit" else w_in
                return _agreed(added if rule == "unit" else added * beta)

    def _kept(self, name: str, what: str, node: Any, numbers: Mapping[str, Floats]) -> Floats:
        """What a step keeps of a state with the time constant ``what``."""
        dt, tau = self.contract.dt, numbers[what]
        if (tau <= 0).any():
            raise CompileError(
                f"time constant {what} = {tau.min():g} s is not positive",
                where=name,
                hint="NIR's tau is in seconds; a neuron without leak is an IF",
            )
        stored = np.asarray(getattr(node, what)).dtype.type
        if self.contract.leak == "alpha":  # the exporter had dt in the type of tau, too
            dt = float(stored(dt))
        alpha = np.exp(-dt / tau) if self.contract.leak == "exact" else 1 - dt / tau
        if (alpha < 0).any():
            raise CompileError(
                f"dt = {dt:g} s exceeds {what} = {tau.min():g} s: an Euler step would overshoot",
                where=name,
                hint="choose a smaller dt, or the exact leak",
            )
        if self.contract.leak == "alpha":  # and alpha, when tau was written of it
            alpha = np.asarray(alpha, stored)
        return np.asarray(alpha, np.float64)


def _agreed(gain: Floats) -> Floats:
    """``gain``, as one number where neurons differ by no more than the rounding of tau and r.

    A gain per neuron would not fit a kernel, and r = tau / dt means 1 for all.
    """
    for middle in (np.ones(()), np.asarray(np.median(gain))):
        if (np.abs(gain - middle) <= SAME_GAIN * np.abs(middle)).all():
            return middle
    return gain


def _check_threshold(name: str, what: str, threshold: Floats) -> None:
    if (threshold <= 0).any():
        raise CompileError(
            f"{what} = {threshold.min():g} is not positive",
            where=name,
            hint="a neuron that fires at rest would fire in every step",
        )


def _rest(name: str, numbers: Mapping[str, Floats], subtracts: bool) -> Floats:
    """Where v rests, and is counted from; Unsupported where a reset leads elsewhere."""
    reset = numbers["v_reset"]
    rest = numbers.get("v_leak", np.zeros(()))
    if subtracts and reset.any():
        raise Unsupported(
            f"v_reset = {reset[reset != 0].flat[0]:g}, and the contract lets a spike subtract",
            where=name,
            hint="v_reset = 0 where the reset subtracts the threshold",
        )
    if not subtracts and (reset != rest).any():
        at = (reset != rest).argmax()
        found, wanted = (np.broadcast_to(x, np.shape(reset != rest)).flat[at]
                         for x in (reset, rest))  # fmt: skip
        where = f"v_leak = {wanted:g}" if "v_leak" in numbers else "0, where an IF starts"
        raise Unsupported(
            f"v_reset = {found:g} is not {where}; a chip resets to rest",
            where=name,
            hint="train with v_reset = v_leak" if "v_leak" in numbers else "train with v_reset = 0",
        )
    return rest


def _at_rest(name: str, numbers: Mapping[str, Floats], keys: tuple[str, ...]) -> None:
    for key in keys:
        value = numbers.get(key, np.zeros(()))
        if value.any():
            raise Unsupported(
                f"{key} = {value[value != 0].flat[0]:g} of a readout: its v is counted from rest",
                where=name,
                hint="subtract it behind the readout",
            )


def shape_of(name: str, node: Any, current: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The population's shape by its parameters; where all are single numbers, its current's."""
    shapes = {np.shape(getattr(node, key)) for key in PARAMETERS if hasattr(node, key)}
    many = {shape for shape in shapes if np.prod(shape, dtype=int) > 1}
    if len(many) > 1:
        listed = ", ".join(map(str, sorted(many)))
        raise BadFile(f"its parameters have the shapes {listed}", where=name)
    if many:
        return tuple(int(n) for n in many.pop())
    if current is not None:
        return current
    plain = {shape for shape in shapes if shape}
    return plain.pop() if len(plain) == 1 else None
