"""Events to run a network on: a data set's where the model names one, random ones elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sast_compile.contract import Contract
from sast_compile.data import dataset_names, load_dataset
from sast_compile.errors import CompileError
from sast_compile.ir.ops import Input
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array

RANDOM_STEPS = 32  # where the contract does not say how long a sample is
RANDOM_DENSITY = 0.1  # of spikes per input and step
SEED = 0


@dataclass(frozen=True)
class Samples:
    """Events (samples, steps, *input shape), labels if they have any, and where they are from."""

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
    (name,) = program.inputs
    op = program.by_name[name].op
    assert isinstance(op, Input)
    steps = contract.encoding.steps if contract.encoding else RANDOM_STEPS
    draws = np.random.default_rng(SEED).random((count, steps, *op.shape))
    events = (draws < RANDOM_DENSITY).astype(np.uint8)
    return Samples(events, None, f"{count} random samples, density {RANDOM_DENSITY} ({why})")
