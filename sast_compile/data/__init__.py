"""Event data sets by name. A simulated set says so in its description."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sast_compile.contract import Encoding
from sast_compile.data import digits, gesture_sim, nmnist_sim, recordings
from sast_compile.data.digits import SplitName
from sast_compile.data.events import Labelled, Split
from sast_compile.errors import CompileError

__all__ = [
    "SPLITS",
    "Dataset",
    "Labelled",
    "Split",
    "SplitName",
    "dataset",
    "dataset_names",
    "load_dataset",
    "open_dataset",
]

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class Dataset(NamedTuple):
    """A data set: how to open a split, how events became tensors, and the time step in seconds.

    ``credit`` names who recorded the events, and their licence where it asks for that.
    """

    open: Callable[[SplitName], Labelled]
    encoding: Encoding
    dt: float
    simulated: bool
    credit: str | None = None

    def load(self, split: SplitName) -> Split:
        """One split in memory."""
        return self.open(split).whole()


def _recorded(
    load: Callable[[Path | None, SplitName], Labelled], dt: float, credit: str
) -> Callable[[Path | None], Dataset]:
    return lambda folder: Dataset(
        partial(load, folder), recordings.ENCODING, dt, simulated=False, credit=credit
    )


def _simulated(
    load: Callable[[SplitName], Labelled], encoding: Encoding, dt: float
) -> Callable[[Path | None], Dataset]:
    return lambda folder: Dataset(load, encoding, dt, simulated=True)


_DATASETS = {
    "digits": _simulated(digits.load, digits.ENCODING, digits.STEP_SECONDS),
    "nmnist-sim": _simulated(nmnist_sim.load, nmnist_sim.ENCODING, nmnist_sim.STEP_SECONDS),
    "gesture-sim": _simulated(gesture_sim.load, recordings.ENCODING, recordings.GESTURE_STEP),
    "nmnist-1k": _recorded(
        recordings.load_nmnist_1k, recordings.NMNIST_STEP, recordings.NMNIST_CREDIT
    ),
    "nmnist": _recorded(recordings.load_nmnist, recordings.NMNIST_STEP, recordings.NMNIST_CREDIT),
    "dvs-gesture": _recorded(
        recordings.load_dvs_gesture, recordings.GESTURE_STEP, recordings.GESTURE_CREDIT
    ),
}


def dataset_names() -> tuple[str, ...]:
    """The names that :func:`dataset` knows."""
    return tuple(_DATASETS)


def dataset(name: str, folder: Path | None = None) -> Dataset:
    """The data set called ``name``; raises CompileError with the nearest name.

    ``folder`` is where recordings lie; without it, ``$SAST_DATA`` and ``$SAST_SHARED`` are looked
    at. A simulated set needs none.
    """
    if name not in _DATASETS:
        raise _unknown("data set", name, dataset_names())
    return _DATASETS[name](folder)


def load_dataset(name: str, split: str, folder: Path | None = None) -> Split:
    """One split of a data set in memory; raises CompileError if either name is unknown."""
    return open_dataset(name, split, folder).whole()


def open_dataset(name: str, split: str, folder: Path | None = None) -> Labelled:
    """One split, to be read a few samples at a time; CompileError if either name is unknown."""
    found = dataset(name, folder)
    if split not in SPLITS:
        raise _unknown("split", split, SPLITS)
    return found.open(split)


def _unknown(what: str, name: str, known: tuple[str, ...]) -> CompileError:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
    return CompileError(f"unknown {what} {name!r}", hint=hint)
