"""One layer of the integers beside the same layer of the float network: v and spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sast_compile.compare import Agreement, Difference, agreement, first_difference
from sast_compile.ir.types import Array
from sast_compile.passes.feeders import Floats
from sast_compile.trace import Layer

NEAR = 0.1  # of the threshold: how far a v that is near it lies from it at most
SATURATED = 0.95  # spikes a step from which on a neuron says no more
EDGES = np.linspace(-1, 1, 101)  # of the histogram of errors, in thresholds


@dataclass(frozen=True)
class Moments:
    """``n`` values, their mean, and the sum of their squared distances from it."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of these values themselves (with n); nan of none."""
        return math.sqrt(self.squares / self.n) if self.n else math.nan

    def __add__(self, other: Moments) -> Moments:
        """Of both sets together (Chan, Golub and LeVeque 1979)."""
        n = self.n + other.n
        if not n:
            return self
        apart = other.mean - self.mean
        return Moments(
            n,
            self.mean + apart * other.n / n,
            self.squares + other.squares + apart**2 * self.n * other.n / n,
        )


def moments(values: Floats) -> Moments:
    """Of all of ``values``."""
    if not values.size:
        return Moments()
    mean = float(values.mean())
    return Moments(values.size, mean, float(((values - mean) ** 2).sum()))


@dataclass(frozen=True, eq=False)
class Membrane:
    """By how much the chip's v errs, in thresholds (in model units where nothing fires).

    ``agreed``: up to a neuron's first flip in a sample, that is before one of the two was reset
    and the other was not. ``near``: those of them where the float v is within `NEAR` of the
    threshold, the errors that decide. ``bins`` counts all errors between `EDGES`.
    """

    all: Moments
    agreed: Moments
    near: Moments
    bins: Array

    def __add__(self, other: Membrane) -> Membrane:
        return Membrane(
            self.all + other.all,
            self.agreed + other.agreed,
            self.near + other.near,
            self.bins + other.bins,
        )


@dataclass(frozen=True, eq=False)
class Flips:
    """Where the two fire differently.

    ``lost`` are spikes that only the float network has, ``added`` those that only the integers
    have; ``samples`` have a flip at all. ``before`` and ``after`` (*shape) count each neuron's
    spikes, ``by_step`` (steps,) the flips. ``first`` is the earliest: by step, then sample.
    """

    kept: Agreement
    lost: int
    added: int
    samples: int
    first: Difference | None
    before: Array
    after: Array
    by_step: Array

    def __add__(self, other: Flips) -> Flips:
        """On these samples and, behind them, on those of ``other`` (`moved`)."""
        found = [d for d in (self.first, other.first) if d is not None]
        first = min(found, key=lambda d: (d.step, d.sample), default=None)
        return Flips(
            self.kept + other.kept,
            self.lost + other.lost,
            self.added + other.added,
            self.samples + other.samples,
            first and replace(first, count=sum(d.count for d in found)),
            self.before + other.before,
            self.after + other.after,
            self.by_step + other.by_step,
        )

    def moved(self, by: int) -> Flips:
        """The same of samples that are numbered from ``by`` on."""
        first = self.first
        return replace(self, first=first and replace(first, sample=first.sample + by))


@dataclass(frozen=True, eq=False)
class LayerDrift:
    """A layer on ``slots`` steps, those of all samples; ``flips`` is None where nothing fires."""

    layer: str
    slots: int
    membrane: Membrane
    flips: Flips | None

    def __add__(self, other: LayerDrift) -> LayerDrift:
        flips = None if self.flips is None or other.flips is None else self.flips + other.flips
        return replace(
            self,
            slots=self.slots + other.slots,
            membrane=self.membrane + other.membrane,
            flips=flips,
        )

    def rate(self, counts: Array) -> float:
        """The spikes a neuron and step of these counts."""
        return int(counts.sum()) / (self.slots * counts.size)

    def silent(self, counts: Array) -> Array:
        """Which neurons, of these spike counts, never fired."""
        return np.asarray(counts == 0)

    def saturated(self, counts: Array) -> Array:
        """Which of them fired in (nearly) every step."""
        return np.asarray(counts >= SATURATED * self.slots)


def layer_drift(
    name: str, before: Layer, after: Layer, step: Floats, height: Floats | None, first: int = 0
) -> LayerDrift:
    """The layer of the integers, ``after``, beside that of the floats, ``before``.

    Both recorded v as it was compared. ``step`` is what a step of the integers' v is worth,
    ``height`` the float threshold, None where nothing fires; the samples are numbered from
    ``first`` on.
    """
    samples, steps = before.spikes.shape[:2]
    fires = height is not None
    differs = before.spikes != after.spikes if fires else np.zeros(before.spikes.shape, bool)
    unit = np.ones(()) if height is None else height
    at = before.states["v"] / unit
    error = after.states["v"] * (step / unit) - at
    agreed = np.ones(at.shape, bool)
    agreed[:, 1:] = ~np.logical_or.accumulate(differs, axis=1)[:, :-1]
    near = agreed & (np.abs(at - 1) <= NEAR) if fires else np.zeros(at.shape, bool)
    bins = np.histogram(error, EDGES)[0]
    membrane = Membrane(moments(error), moments(error[agreed]), moments(error[near]), bins)
    flips = _flips(name, before.spikes, after.spikes, differs).moved(first) if fires else None
    return LayerDrift(name, samples * steps, membrane, flips)


def _flips(name: str, before: Array, after: Array, differs: Array) -> Flips:
    (kept,) = agreement({name: before}, {name: after})
    neurons = tuple(range(2, before.ndim))
    counts = [spikes.sum(axis=(0, 1), dtype=np.int64) for spikes in (before, after)]
    return Flips(
        kept,
        lost=int(counts[0].sum()) - kept.matched,
        added=int(counts[1].sum()) - kept.matched,
        samples=int(differs.any(axis=(1, *neurons)).sum()),
        first=first_difference(name, "spikes", before, after),
        before=counts[0],
        after=counts[1],
        by_step=differs.sum(axis=(0, *neurons), dtype=np.int64),
    )
