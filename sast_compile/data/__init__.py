"""Event data sets by name. A simulated set says so in its description."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple, cast

from sast_compile.contract import Encoding
from sast_compile.data import digits
from sast_compile.data.digits import SplitName
from sast_compile.data.events import Split
from sast_compile.errors import CompileError

__all__ = ["Dataset", "Split", "SplitName", "dataset", "dataset_names", "load_dataset"]

_SPLITS = ("train", "validation", "test")


class Dataset(NamedTuple):
    """A data set: how to load a split, how events became tensors, and the time step in seconds."""

    load: Callable[[SplitName], Split]
    encoding: Encoding
    dt: float


_DATASETS = {"digits": Dataset(digits.load, digits.ENCODING, digits.STEP_SECONDS)}


def dataset_names() -> tuple[str, ...]:
    """The names that :func:`dataset` knows."""
    return tuple(_DATASETS)


def dataset(name: str) -> Dataset:
    """The data set called ``name``; raises CompileError with the nearest name."""
    if name not in _DATASETS:
        raise _unknown("data set", name, dataset_names())
    return _DATASETS[name]


def load_dataset(name: str, split: str) -> Split:
    """One split of a data set; raises CompileError if either name is unknown."""
    found = dataset(name)
    if split not in _SPLITS:
        raise _unknown("split", split, _SPLITS)
    return found.load(cast(SplitName, split))


def _unknown(what: str, name: str, known: tuple[str, ...]) -> CompileError:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
    return CompileError(f"unknown {what} {name!r}", hint=hint)
