"""What a run leaves behind: spikes and states of every recorded layer, column by column.

Every back end returns the same `Trace`, aligned to samples: column k of a layer is the k-th step of
its own window, however late the chip computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Record: TypeAlias = Literal["outputs", "spikes", "states"]  # what a run keeps


@dataclass(frozen=True)
class Tally:
    """How often something remarkable happened in a layer, over all samples, steps and neurons."""

    spikes: int = 0
    ties: int = 0  # v equal to the threshold: > and >= differ
    negatives: int = 0  # v below 0: roundings of the leak differ
    clamped: Mapping[str, int] = field(default_factory=dict)  # by state: saturated or wrapped

    def __add__(self, other: Tally) -> Tally:
        names = {*self.clamped, *other.clamped}
        return Tally(
            self.spikes + other.spikes,
            self.ties + other.ties,
            self.negatives + other.negatives,
            {n: self.clamped.get(n, 0) + other.clamped.get(n, 0) for n in sorted(names)},
        )


@dataclass(frozen=True)
class Layer:
    """One layer's record; every array is (samples, steps, *shape).

    ``spikes`` counts the spikes of each step; for a population that does not fire it is v itself.
    ``states`` holds u (u0, u1 ..) and v after the step, empty unless they were asked for.
    """

    spikes: Array
    states: Mapping[str, Array] = field(default_factory=dict)
    tally: Tally | None = None


@dataclass(frozen=True)
class Trace:
    """The layers of one run, by node name, in execution order."""

    layers: Mapping[str, Layer]

    def __getitem__(self, name: str) -> Layer:
        return self.layers[name]
