"""Binary events kept as a list of who spiked when, so that memory and time follow the spikes.

A row is one step of one sample; a row's events are the places of its spikes in the flattened input,
ascending. This is the compressed sparse row form of the matrix (samples * steps, input size).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from sast_compile.errors import CompileError
from sast_compile.ir.types import Array


@dataclass(frozen=True, eq=False)  # equal to itself only, so it can be in a set
class SparseEvents:
    """The spikes of one input: row ``sample * steps + step`` is index[first[row]:first[row + 1]].

    ``index`` counts the elements of ``shape`` in C order; a row names each at most once. An event
    is worth 1: counts and graded values are kept dense. What was not made by this file's own
    functions is taken as it is, and `check_sparse` says whether it holds to this.
    """

    shape: tuple[int, ...]
    samples: int
    steps: int
    first: npt.NDArray[np.int64]  # (samples * steps + 1,)
    index: npt.NDArray[np.int32]  # (events,)

    @property
    def size(self) -> int:
        """The elements of one step."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.first.nbytes + self.index.nbytes

    def __len__(self) -> int:
        return self.samples

    def cut(self, begin: int, end: int) -> SparseEvents:
        """Samples ``begin`` to ``end - 1``; their indices are not copied."""
        begin, end, _ = slice(begin, end).indices(self.samples)
        rows = self.first[begin * self.steps : end * self.steps + 1]
        index = self.index[rows[0] : rows[-1]]
        return SparseEvents(self.shape, end - begin, self.steps, rows - rows[0], index)

    def to_dense(self) -> npt.NDArray[np.uint8]:
        """The same events as 0 and 1, (samples, steps, *shape)."""
        rows = self.samples * self.steps
        dense = np.zeros((rows, self.size), np.uint8)
        dense[np.repeat(np.arange(rows), np.diff(self.first)), self.index] = 1
        return dense.reshape(self.samples, self.steps, *self.shape)

    def counts(self) -> npt.NDArray[np.int64]:
        """How often each element spiked in all samples and steps, (*shape,)."""
        return np.bincount(self.index, minlength=self.size).reshape(self.shape)

    def busiest(self) -> float:
        """The largest share of the elements that spike in one step of one sample."""
        return int(np.diff(self.first).max(initial=0)) / self.size


def from_dense(events: Array, name: str = "events") -> SparseEvents:
    """The spikes of an array (samples, steps, *shape) of 0 and 1; CompileError if it holds else."""
    if events.ndim < 2:
        raise CompileError(f"{events.shape} has no samples and steps", where=name)
    samples, steps, *shape = events.shape
    flat = events.reshape(samples * steps, math.prod(shape))
    row, index = np.nonzero(flat)
    if (flat[row, index] != 1).any():
        raise CompileError(
            f"events {events.min()}..{events.max()} are not 0 and 1",
            where=name,
            hint="counts and graded events are kept as an array",
        )
    return SparseEvents(
        tuple(shape), samples, steps, _starts(row, len(flat)), index.astype(np.int32)
    )


def from_spikes(
    shape: tuple[int, ...], samples: int, steps: int, row: Array, index: Array
) -> SparseEvents:
    """Spikes in any order, each in its ``row`` = sample * steps + step; several of one count as 1.

    ``row`` and ``index`` must lie inside: whoever reads them from a file has to see to that.
    """
    size = math.prod(shape)
    places = np.unique(row.astype(np.int64) * size + index)
    return SparseEvents(
        shape,
        samples,
        steps,
        _starts(places // size, samples * steps),
        (places % size).astype(np.int32),
    )


def one_after_another(parts: Sequence[SparseEvents]) -> SparseEvents:
    """The samples of all ``parts``, which have one shape and as many steps; at least one part."""
    kinds = {(part.shape, part.steps) for part in parts}
    if len(kinds) != 1:
        raise CompileError(f"the parts differ in shape or steps: {sorted(kinds)}")
    ((shape, steps),) = kinds
    ends = np.cumsum([0, *(len(part.index) for part in parts)])
    first = [part.first[:-1] + end for part, end in zip(parts, ends[:-1], strict=True)]
    return SparseEvents(
        shape,
        sum(part.samples for part in parts),
        steps,
        np.concatenate([*first, ends[-1:]]),
        np.concatenate([part.index for part in parts]),
    )


_sound: WeakSet[SparseEvents] = WeakSet()  # what has been checked


def check_sparse(events: SparseEvents, name: str) -> SparseEvents:
    """``events`` if they are what `SparseEvents` promises; CompileError naming the input if not.

    Their arrays can be read only from then on, so what was found once holds.
    """
    if events in _sound:
        return events
    _check(events, name)
    for array in (events.first, events.index):
        array.flags.writeable = False
    _sound.add(events)
    return events


def _check(events: SparseEvents, name: str) -> None:
    first, index, rows = events.first, events.index, events.samples * events.steps
    found = [f"{array.dtype}, {array.ndim}-d" for array in (first, index)]
    if found != ["int64, 1-d", "int32, 1-d"]:
        raise CompileError(
            f"sparse events need first (int64, 1-d) and index (int32, 1-d), not {found}", where=name
        )
    if len(first) != rows + 1:
        raise CompileError(
            f"sparse events of {events.samples} samples x {events.steps} steps need {rows + 1} "
            f"row starts, not {len(first)}",
            where=name,
        )
    if first[0] != 0 or first[-1] != len(index) or (np.diff(first) < 0).any():
        raise CompileError(f"row starts do not rise from 0 to {len(index)} events", where=name)
    if len(index) and (index.min() < 0 or index.max() >= events.size):
        raise CompileError(
            f"events reach index {index.min()}..{index.max()}, the input has {events.size} "
            "elements",
            where=name,
        )
    rises = np.diff(index) > 0
    rises[first[1:-1][(first[1:-1] > 0) & (first[1:-1] < len(index))] - 1] = True  # a new row
    if not rises.all():
        at = int(np.searchsorted(first, np.flatnonzero(~rises)[0], side="right")) - 1
        raise CompileError(
            f"indices do not rise in sample {at // events.steps}, step {at % events.steps}",
            where=name,
            hint="sparse.from_spikes sorts events, and counts several of one as 1",
        )


def _starts(row: Array, rows: int) -> npt.NDArray[np.int64]:
    """Where each of ``rows`` begins in a sorted list of the rows of all events."""
    return np.searchsorted(row, np.arange(rows + 1)).astype(np.int64)
