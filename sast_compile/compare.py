"""Two traces side by side: the first value that differs, and how many spikes agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sast_compile.ir.types import Array
from sast_compile.trace import Layer, Trace


@dataclass(frozen=True)
class Difference:
    """The first value in which two runs of a layer differ: earliest step, then sample, neuron."""

    layer: str
    what: str  # spikes, u, v
    sample: int
    step: int
    neuron: tuple[int, ...]
    ours: int
    theirs: int
    count: int  # how many values of this kind differ in the layer


@dataclass(frozen=True)
class Compared:
    """How much of a layer was compared between two runs, and where they differ."""

    layer: str
    spikes: int  # spikes in the reference's record: 0 makes an equality worth nothing
    values: Mapping[str, int]  # compared values by kind (spikes, u, v)
    differing: Mapping[str, int]  # how many of them differ
    difference: Difference | None

    @property
    def identical(self) -> bool:
        return self.difference is None

    def __add__(self, other: Compared) -> Compared:
        """The layer on these samples and, behind them, on those of ``other``; see `moved`."""
        differing = {what: n + other.differing[what] for what, n in self.differing.items()}
        found = [d for d in (self.difference, other.difference) if d is not None]
        first = min(found, key=lambda d: (d.step, d.sample), default=None)
        return Compared(
            self.layer,
            self.spikes + other.spikes,
            {what: n + other.values[what] for what, n in self.values.items()},
            differing,
            None if first is None else replace(first, count=differing[first.what]),
        )

    def moved(self, by: int) -> Compared:
        """The same of samples that are numbered from ``by`` on."""
        if self.difference is None:
            return self
        return replace(
            self, difference=replace(self.difference, sample=self.difference.sample + by)
        )


def compare_traces(reference: Trace, other: Trace) -> list[Compared]:
    """Every layer of ``reference`` against the same layer of ``other``, spikes first, then states.

    States are compared where both runs recorded them.
    """
    return [
        compare_layers(name, layer, other[name])
        for name, layer in reference.layers.items()
        if name in other.layers
    ]


def compare_layers(name: str, reference: Layer, other: Layer) -> Compared:
    """One layer against the same layer of another run."""
    pairs = {"spikes": (reference.spikes, other.spikes)}
    shared = [s for s in reference.states if s in other.states]
    pairs |= {s: (reference.states[s], other.states[s]) for s in shared}
    found = [d for what, (a, b) in pairs.items() if (d := first_difference(name, what, a, b))]
    earliest = min(found, key=lambda d: (d.step, d.sample), default=None)
    return Compared(
        name,
        int(reference.spikes.sum()),
        {what: ours.size for what, (ours, _) in pairs.items()},
        dict.fromkeys(pairs, 0) | {d.what: d.count for d in found},
        earliest,
    )


def first_difference(layer: str, what: str, ours: Array, theirs: Array) -> Difference | None:
    """The earliest differing element of two arrays (samples, steps, *shape), or None."""
    if ours.shape != theirs.shape:
        raise ValueError(f"{layer}: {what} of shapes {ours.shape} and {theirs.shape}")
    differs = ours != theirs
    if not differs.any():
        return None
    step = int(np.flatnonzero(differs.any(axis=(0, *range(2, ours.ndim))))[0])
    sample, *neuron = (int(i) for i in np.argwhere(differs[:, step])[0])
    at = (sample, step, *neuron)
    return Difference(
        layer,
        what,
        sample,
        step,
        tuple(neuron),
        ours[at].item(),
        theirs[at].item(),
        int(differs.sum()),
    )


@dataclass(frozen=True)
class Agreement:
    """How far two models' spikes agree: those at the same place over those of either."""

    layer: str
    matched: int
    union: int

    def __add__(self, other: Agreement) -> Agreement:
        """Of two sets of samples together."""
        return Agreement(self.layer, self.matched + other.matched, self.union + other.union)

    @property
    def share(self) -> float:
        """Matched over union; 1 where neither fires."""
        return self.matched / self.union if self.union else 1.0


def agreement(a: Mapping[str, Array], b: Mapping[str, Array]) -> list[Agreement]:
    """The agreement of the spikes of every layer that both have."""
    return [
        Agreement(n, int(np.minimum(a[n], b[n]).sum()), int(np.maximum(a[n], b[n]).sum()))
        for n in a
        if n in b
    ]


def decisions(output_spikes: Array) -> Array:
    """The class of each sample: the output with most spikes, the lowest index among equals."""
    counts = output_spikes.sum(axis=1, dtype=np.float64)  # exact for spikes, and L0 has fractions
    chosen: Array = np.argmax(counts.reshape(len(counts), -1), axis=1)
    return chosen
