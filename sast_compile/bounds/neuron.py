"""Bounds of one population on plain numbers; every formula is derived in docs/bounds.md.

With ``w[t]`` the membrane before the spike and ``s = g(k (w - theta))`` all four resets are one
recurrence ``w[t] = phi(w[t-1]) + I[t]``, and ``phi`` is

- zero, both orders:        ``alpha w (1 - s)``
- subtract, after_fire:     ``alpha (w - theta s)``
- subtract, after_decay:    ``alpha w - theta s``
- none (a leaky readout):   ``alpha w``

A current-based population has ``I[t] = beta I[t-1] + x[t]``; a recurrent one hears ``R s[t-1]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Reset: TypeAlias = Literal["zero", "subtract", "none"]
STEEPEST = {"sigmoid": 0.25, "atan": 0.5, "fast_sigmoid": 0.5}  # sup g'
SLACK = 1 + 1e-12  # for the roundings of the formulas themselves


class Range(NamedTuple):
    """The lowest and the highest value of each neuron, both of one shape."""

    low: Floats
    high: Floats


class Register(NamedTuple):
    """Bits of a signed register: ``safe`` holds every membrane, ``least`` just the threshold.

    ``safe`` is None where no width is.
    """

    safe: int | None
    least: int


@dataclass(frozen=True)
class Population:
    """One population's numbers; ``recurrent`` is the spectral norm of ``R``, 0 without one."""

    alpha: float
    threshold: float = 0.0
    reset: Reset = "none"
    reset_when: str = ""
    surrogate: str = "sigmoid"
    slope: float = 1.0
    beta: float = 0.0
    recurrent: float = 0.0

    @property
    def steepness(self) -> float:
        """``sup ds/dw``; 1 for a readout, whose output is ``w`` itself."""
        return 1.0 if self.reset == "none" else self.slope * STEEPEST[self.surrogate]

    @property
    def contraction(self) -> float:
        """``c = sup |phi'|`` over all membranes: two of them come closer by c in each step."""
        kappa = self.slope * self.threshold
        pull = self.threshold * self.steepness
        match self.reset, self.reset_when:
            case "none", _:
                return self.alpha
            case "zero", _:
                return self.alpha * zero_reset_factor(self.surrogate, kappa)
            case _, "after_fire":
                return self.alpha * max(1.0, SLACK * (pull - 1))
            case _:
                return max(self.alpha, SLACK * (pull - self.alpha))

    @property
    def radius(self) -> float:
        """The contraction factor of the whole state: synaptic current, membrane, own spikes.

        The spectral radius of the matrix of docs/bounds.md, section 2; plain ``contraction`` where
        there is neither ``beta`` nor recurrence.
        """
        own, heard = self.contraction + self._heard, self.beta * self._heard
        apart = math.sqrt((own - self.beta) ** 2 + 4 * heard)
        return (own + self.beta + apart) / 2

    def gain(self, steps: int | None = None) -> float:
        """The largest ``||w - w'|| / ||x - x'||``, l2 over neurons and ``steps`` (None: for ever).

        Infinite for ever unless the population contracts.
        """
        own = self.contraction + self._heard
        if steps is None:
            rest = (1 - own) * (1 - self.beta) - self.beta * self._heard
            return SLACK / rest if own < 1 and rest > 0 else math.inf
        membrane = current = 0.0
        for _ in range(steps):
            heard = self._heard * membrane
            current = self.beta * current + heard + 1
            membrane = self.contraction * membrane + current
            if membrane > 1e300:
                return math.inf
        return SLACK * membrane

    def lipschitz(self, norm: float, steps: int | None = None) -> float:
        """The largest ``||s - s'|| / ||y - y'||`` for currents ``W y`` with ||W|| = ``norm``."""
        return self.steepness * norm * self.gain(steps)

    def membrane(
        self, drive: Range, steps: int | None = None, *, hard: bool, rounding: float = 0.0
    ) -> Range:
        """Where the membrane, before and after the spike, stays if ``x`` stays within ``drive``.

        From rest, over ``steps`` (None: for ever), for smooth or for hard spikes. ``rounding`` is
        what one multiplication by a decay may lose downwards: 1 for integers that round to floor.
        """
        often, lasting = geometric(self.alpha, steps), geometric(self.beta, steps)
        low, high = np.minimum(drive.low, 0), np.maximum(drive.high, 0)
        if self.beta:
            low = _times(low - rounding, lasting)
            high = _times(high, lasting)
        lowest = _times(low - self._pull(hard) - rounding, often)
        after = self.reset == "subtract" and self.reset_when == "after_fire" and not hard
        return Range(lowest - (self.threshold if after else 0.0), _times(high, often))

    @property
    def _heard(self) -> float:
        return self.steepness * self.recurrent

    def _pull(self, hard: bool) -> float:
        """How far below ``alpha w`` the reset takes a negative membrane in a step, at most.

        A hard spike needs ``w >= theta``, so its reset cannot take the membrane far below zero.
        """
        if self.reset != "subtract":
            return 0.0
        if self.reset_when == "after_fire":
            return 0.0 if hard else self.alpha * self.threshold
        return (1 - self.alpha if hard else 1.0) * self.threshold


def zero_reset_factor(surrogate: str, kappa: float) -> float:
    """``sup |1 - g(y) - (y + kappa) g'(y)|`` over all y, with ``kappa = k theta``.

    The factor that reset to zero puts before the leak, in closed form; sigmoid's two stationary
    points are bracketed by bisection, and the end with the larger value is taken.
    """
    if surrogate == "fast_sigmoid":
        return max(1.0, SLACK * (kappa - 1) / 2)
    if surrogate == "atan":
        return max(1.0, SLACK * ((kappa - 1) / 2 + math.atan2(2, math.pi * kappa) / math.pi))
    below = _root(lambda z: (z - kappa) * math.tanh(z / 2) - 2, kappa, kappa + 3)
    above = _root(lambda y: (y + kappa) * math.tanh(y / 2) - 2, 0.0, 3.0)
    return SLACK * max(-1 / math.expm1(-below), 1 / math.expm1(above))


def geometric(factor: float, steps: int | None) -> float:
    """``1 + factor + factor^2 ..`` of ``steps`` terms, or of all of them."""
    if steps is None:
        return SLACK / (1 - factor) if factor < 1 else math.inf
    return SLACK * sum(factor**t for t in range(steps))


def register(membrane: Range, threshold: float) -> Register:
    """The signed widths for integers within ``membrane`` that are compared with ``threshold``."""
    least = _width(0.0, threshold)
    low, high = float(membrane.low.min()), max(float(membrane.high.max()), threshold)
    if not math.isfinite(low) or not math.isfinite(high):
        return Register(None, least)
    return Register(_width(low, high), least)


def _width(low: float, high: float) -> int:
    """The least b with ``-2^(b-1) <= low`` and ``high <= 2^(b-1) - 1``."""
    return 1 + max(math.ceil(high).bit_length(), (-math.floor(low) - 1).bit_length() if low else 0)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """A point just below the only root of an increasing ``function`` in [low, high]."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return low


def _times(values: Floats, factor: float) -> Floats:
    """``values * factor``, with ``0 * inf = 0``: what is not driven stays at rest."""
    scaled = np.zeros_like(values)
    return np.multiply(values, factor, out=scaled, where=values != 0)
