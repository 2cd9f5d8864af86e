"""Events to run a network on: a file's, a data set's, or random ones, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from sast_compile.contract import Contract
from sast_compile.data import dataset_names, load_dataset
from sast_compile.data.event_files import is_recording, read_array, read_recording
from sast_compile.errors import BadFile, CompileError
from sast_compile.ir.events import input_batch, together
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array

RANDOM_STEPS = 32  # where the contract does not say how long a sample is
RANDOM_DENSITY = 0.1  # of spikes per input and step
SEED = 0


@dataclass(frozen=True)
class Samples:
    """Events (samples, steps, *input shape), labels if they have any, and where they are from.

    The events of several inputs are a structured array: `ir/events.py`.
    """

    events: Array
    labels: Array | None
    origin: str


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
        split_ = load_dataset(dataset, split)
    except CompileError as error:
        return random_samples(program, contract, count or 16, str(error))
    n = len(split_.labels) if count is None else min(count, len(split_.labels))
    return Samples(split_.events[:n], split_.labels[:n], f"{dataset}, {split} split, first {n}")


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
    return Samples(
        together(drawn), None, f"{count} random samples, density {RANDOM_DENSITY} ({why})"
    )


MOST_AXES = 6  # of which all orders are tried
MOST_SHOWN = 3


def samples_from(
    program: Program, contract: Contract, path: str, key: str | None, count: int | None
) -> Samples:
    """The first ``count`` samples (None: all) of an array or a recording.

    An array is (samples, steps, *input shape); several inputs are the arrays of a .npz called as
    they are. Raises BadFile if it is not; if other orders of its
    axes would be, the message names them. Equal axes cannot be told apart: rows and columns of a
    square sensor are the caller's to keep in order.
    """
    if len(program.inputs) > 1:
        arrays = {name: read_array(path, name)[:count] for name in program.inputs}
        input_batch(program, arrays)  # they fit
        return Samples(together(arrays), None, path)
    shape = _input_shape(program)
    if is_recording(path):
        return Samples(read_recording(path, contract, shape), None, path)
    data = read_array(path, key)
    expected = f"(samples, steps, {', '.join(map(str, shape))}) is expected"
    if data.ndim < 2 or not data.shape[1] or data.shape[2:] != shape:
        found = f"holds an array of shape {data.shape}"
        raise BadFile(found, where=path, hint=expected + _way_out(data.shape, shape, contract))
    return Samples(data[:count], None, path)


def other_order(samples: Samples, program: Program, contract: Contract) -> str | None:
    """A warning if the events fit, but another order of their axes fits the contract's steps too.

    None where nothing is doubtful.
    """
    steps = contract.encoding.steps if contract.encoding else None
    if len(program.inputs) > 1:
        return None
    shape, found = _input_shape(program), samples.events.shape
    if steps is None or found[1] == steps:
        return None
    better = [o for o in _orders(found, shape) if found[o[1]] == steps]
    if not better:
        return None
    return (
        f"{found[1]} steps a sample, where the model's contract states {steps}: "
        f"was .transpose{better[0]} meant?"
    )


def _input_shape(program: Program) -> tuple[int, ...]:
    (name,) = program.inputs
    return program.types[name].shape


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
