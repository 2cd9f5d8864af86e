"""Events to run a network on: a file's, a data set's, or random ones, and whether they fit.

They are read a few samples at a time, by whoever runs them (`chunks`): a set may be larger than
memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

from sast_compile.contract import Contract
from sast_compile.data import dataset_names, open_dataset
from sast_compile.data.event_files import (
    is_recording,
    read_recording,
    recordings_in,
    stated_encoding,
)
from sast_compile.data.stored import Stored, in_memory, open_events
from sast_compile.errors import BadFile, CompileError
from sast_compile.ir.events import Events, as_array, by_input, check_shape, together
from sast_compile.ir.program import Program
from sast_compile.ir.sparse import SparseEvents, one_after_another
from sast_compile.ir.types import Array

RANDOM_STEPS = 32  # where the contract does not say how long a sample is
RANDOM_DENSITY = 0.1  # of spikes per input and step
SEED = 0


@dataclass(frozen=True)
class Samples:
    """``count`` samples of every input, labels if they have any, and where they are from."""

    inputs: Mapping[str, Stored]
    count: int
    labels: Array | None
    origin: str

    @property
    def steps(self) -> int:
        """The steps of a sample."""
        return next(iter(self.inputs.values())).shape[1]

    @property
    def held(self) -> int:
        """The bytes that are in memory however few samples are read."""
        return sum(stored.held for stored in {id(s): s for s in self.inputs.values()}.values())

    def cut(self, begin: int, end: int) -> Events:
        """Samples ``begin`` to ``end - 1``."""
        return {name: stored.cut(begin, end) for name, stored in self.inputs.items()}

    def array(self, begin: int, end: int) -> Array:
        """The same as one array (samples, steps, *input shape); of several inputs a structured one.

        See `ir/events.py`.
        """
        return together({n: as_array(n, s.cut(begin, end)) for n, s in self.inputs.items()})

    @property
    def events(self) -> Array:
        """All of them as one array, which may be large."""
        return self.array(0, self.count)


def samples_for(
    program: Program,
    contract: Contract,
    dataset: str | None,
    count: int | None,
    split: str = "test",
) -> Samples:
    """The first ``count`` samples (None: all) of the model's data set, else 16 or ``count`` random.

    A data set that is named but cannot be loaded here (its library is absent) is replaced by random
    events, and ``origin`` says so.
    """
    if dataset is None or dataset not in dataset_names():
        return random_samples(program, contract, count or 16, "the model names no known data set")
    try:
        stored, labels = open_dataset(dataset, split)
    except CompileError as error:
        return random_samples(program, contract, count or 16, str(error))
    n = len(labels) if count is None else min(count, len(labels))
    origin = f"{dataset}, {split} split, first {n}"
    return Samples(dict.fromkeys(program.inputs, stored), n, labels[:n], origin)


def samples_of(
    program: Program, events: Events, origin: str, labels: Array | None = None
) -> Samples:
    """Events that are in memory, (samples, steps, *input shape) for each input."""
    given = by_input(program, events)
    stored = {
        name: in_memory(data if isinstance(data, SparseEvents) else np.asarray(data))
        for name, data in given.items()
    }
    return _fitting(program, stored, None, labels, origin)


def random_samples(program: Program, contract: Contract, count: int, why: str) -> Samples:
    """Bernoulli events of a fixed seed; ``why`` says why no data set serves."""
    steps = contract.encoding.steps if contract.encoding else RANDOM_STEPS
    rng = np.random.default_rng(SEED)
    drawn = {
        name: (rng.random((count, steps, *program.types[name].shape)) < RANDOM_DENSITY).astype(
            np.uint8
        )
        for name in program.inputs
    }
    origin = f"{count} random samples, density {RANDOM_DENSITY} ({why})"
    return samples_of(program, drawn, origin)


MOST_AXES = 6  # of which all orders are tried
MOST_SHOWN = 3


def samples_from(
    program: Program, contract: Contract, path: str, key: str | None, count: int | None
) -> Samples:
    """The first ``count`` samples (None: all) of an array, a recording, or a folder of recordings.

    An array is (samples, steps, *input shape); several inputs are the arrays of a .npz called as
    they are. Raises BadFile if it is not; if other orders of its
    axes would be, the message names them. Equal axes cannot be told apart: rows and columns of a
    square sensor are the caller's to keep in order.
    """
    if len(program.inputs) > 1:
        arrays = {name: open_events(path, name) for name in program.inputs}
        return _fitting(program, arrays, count, None, path)
    (name,) = program.inputs
    shape = program.types[name].shape
    stored = _recordings(path, contract, shape) or open_events(path, key)
    found = stored.shape
    if len(found) < 2 or not found[1] or found[2:] != shape:
        expected = f"(samples, steps, {', '.join(map(str, shape))}) is expected"
        raise BadFile(
            f"holds an array of shape {found}",
            where=path,
            hint=expected + _way_out(found, shape, contract),
        )
    return _fitting(program, {name: stored}, count, None, path)


def _recordings(path: str, contract: Contract, shape: tuple[int, ...]) -> Stored | None:
    """The recording, or all of the folder, at ``path``; None if it is no such thing."""
    if not Path(path).is_dir() and not is_recording(path):
        return None
    paths = recordings_in(path) if Path(path).is_dir() else [path]

    def cut(begin: int, end: int) -> SparseEvents | Array:
        parts = [read_recording(one, contract, shape) for one in paths[begin:end]]
        sparse = [part for part in parts if isinstance(part, SparseEvents)]
        return one_after_another(sparse) if sparse else np.concatenate(parts)  # type: ignore[arg-type]

    encoding = stated_encoding(contract, path)
    return Stored((len(paths), encoding.steps, *shape), cut)


def _fitting(
    program: Program,
    inputs: Mapping[str, Stored],
    count: int | None,
    labels: Array | None,
    origin: str,
) -> Samples:
    """The first ``count`` samples of all inputs; CompileError if their shapes do not fit."""
    if set(inputs) != set(program.inputs):
        raise CompileError(f"events for {sorted(inputs)}, but the inputs are {program.inputs}")
    for name, stored in inputs.items():
        check_shape(program, name, stored.shape)
    sizes = {name: stored.shape[:2] for name, stored in inputs.items()}
    if len(set(sizes.values())) > 1:
        raise CompileError(f"the inputs differ in samples or steps: {sizes}")
    there = next(iter(sizes.values()))[0]
    n = there if count is None else min(count, there)
    return Samples(inputs, n, None if labels is None else labels[:n], origin)


def other_order(samples: Samples, program: Program, contract: Contract) -> str | None:
    """A warning if the events fit, but another order of their axes fits the contract's steps too.

    None where nothing is doubtful.
    """
    steps = contract.encoding.steps if contract.encoding else None
    if len(program.inputs) > 1:
        return None
    ((name, stored),) = samples.inputs.items()
    shape, found = program.types[name].shape, stored.shape
    if steps is None or found[1] == steps:
        return None
    better = [o for o in _orders(found, shape) if found[o[1]] == steps]
    if not better:
        return None
    return (
        f"{found[1]} steps a sample, where the model's contract states {steps}: "
        f"was .transpose{better[0]} meant?"
    )


def _orders(found: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The orders of the axes that end in ``shape``; the first of those that look the same."""
    if not 2 <= len(found) <= MOST_AXES or len(found) != len(shape) + 2:
        return
    seen = set()
    for order in permutations(range(len(found))):
        new = tuple(found[axis] for axis in order)
        if new[2:] == shape and order[:2] not in seen:
            seen.add(order[:2])
            yield order


def _way_out(found: tuple[int, ...], shape: tuple[int, ...], contract: Contract) -> str:
    """The transposes that would fit, those with the contract's steps first; "" if none would."""
    if found[1:] == shape:
        return "; one sample is array[None]"
    steps = contract.encoding.steps if contract.encoding else None
    orders = sorted(_orders(found, shape), key=lambda o: (found[o[1]] != steps, o[0]))
    if orders and found[orders[0][1]] == steps:
        orders = [o for o in orders if found[o[1]] == steps]
    if not orders:
        return ""
    fitting = " or ".join(f".transpose{order}" for order in orders[:MOST_SHOWN])
    return f"; the axes are in another order: {fitting}"
