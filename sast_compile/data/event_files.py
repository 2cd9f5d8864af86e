"""Recordings of event cameras, read through tonic."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.contract import Contract, Encoding
from sast_compile.errors import BackendUnavailable, BadFile, CompileError
from sast_compile.files import read_whole
from sast_compile.ir.sparse import SparseEvents, from_spikes

Array: TypeAlias = npt.NDArray[Any]
EVENT = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])  # t in microseconds
AXES = {"P": "p", "Y": "y", "X": "x"}  # the letters of a contract's axes, as tonic's fields


def is_recording(path: str) -> bool:
    """Whether the file's suffix is one of those that are read through tonic."""
    return Path(path).suffix.lower() in READERS


def recordings_in(folder: str) -> list[str]:
    """The recordings in a folder and below it, by path; BadFile if there is none."""
    found = sorted(str(p) for p in Path(folder).rglob("*") if is_recording(str(p)) and p.is_file())
    if not found:
        endings = " or ".join(f"*{ending}" for ending in READERS)
        raise BadFile("holds no recording", where=folder, hint=f"{endings}, in it or below it")
    return found


def read_recording(
    path: str, contract: Contract, shape: tuple[int, ...]
) -> SparseEvents | npt.NDArray[np.uint8]:
    """One recording as one sample, binned as the contract's encoding says.

    Binary events are sparse, counts (at most 255 a step) an array (1, steps, *shape). Steps are
    equal parts of the recording from its first event to its last, so a recording of any length is
    one sample. Index p of a polarity axis is the file's polarity. Raises CompileError if the
    contract states no encoding, or an event lies outside ``shape``; BackendUnavailable if tonic is
    not installed.
    """
    encoding = stated_encoding(contract, path)
    read_whole(path)  # a file that is absent or empty is named before tonic is
    events = READERS[Path(path).suffix.lower()](path)
    if encoding.values == "binary":
        return as_sparse(events, encoding, shape, path)
    step, index = _places(events, encoding, shape, path)
    counts = np.zeros((encoding.steps, math.prod(shape)), np.int64)
    np.add.at(counts, (step, index), 1)
    return np.minimum(counts, 255).astype(np.uint8).reshape(1, encoding.steps, *shape)


def stated_encoding(contract: Contract, path: str) -> Encoding:
    """How the model wants events binned; CompileError if its contract does not say."""
    if contract.encoding is None:
        raise CompileError(
            "the model's contract states no encoding (steps, axes), so events cannot be binned",
            where=path,
            hint="bin them yourself and give a .npy (samples, steps, *axes)",
        )
    return contract.encoding


def as_sparse(events: Array, encoding: Encoding, shape: tuple[int, ...], path: str) -> SparseEvents:
    """Events with fields x, y, t, p as one binary sample; ``path`` names them in errors."""
    step, index = _places(events, encoding, shape, path)
    return from_spikes(shape, 1, encoding.steps, step, index)


def _places(
    events: Array, encoding: Encoding, shape: tuple[int, ...], path: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The step of each event, and its index in the flattened ``shape``."""
    if len(encoding.axes) != len(shape) or not set(encoding.axes) <= set(AXES):
        raise CompileError(
            f"events have axes P, Y and X, the model's are {encoding.axes} {shape}", where=path
        )
    if not len(events):
        raise BadFile("holds no events", where=path)
    at = [events[AXES[letter]].astype(np.int64) for letter in encoding.axes]
    for letter, index, size in zip(encoding.axes, at, shape, strict=True):
        if index.min() < 0 or index.max() >= size:
            raise CompileError(
                f"events reach {AXES[letter]} = {int(index.max())}, the model has {size}",
                where=path,
                hint="crop or scale the recording first",
            )
    time = events["t"].astype(np.int64) - int(events["t"].min())
    step = time * encoding.steps // (int(time.max()) + 1)
    return step, np.ravel_multi_index(tuple(at), shape).astype(np.int64)


def tonic_io(path: str) -> Any:
    """tonic's readers; BackendUnavailable naming ``path`` if it is not installed."""
    try:
        import tonic.io
    except ImportError as error:
        raise BackendUnavailable(
            f"event files are read through tonic, which cannot be imported here ({error})",
            where=path,
            hint="pip install tonic",
        ) from None
    return tonic.io


def read_nmnist(path: str) -> Array:
    """The events of one N-MNIST recording: fields x, y, t (microseconds), p."""
    if Path(path).stat().st_size % 5:
        raise BadFile("is cut off: N-MNIST's events have 5 bytes each", where=path)
    return np.asarray(tonic_io(path).read_mnist_file(path, EVENT))


def _dvs_gesture(path: str) -> Array:
    read = tonic_io(path).read_dvs_ibm
    try:
        return np.asarray(read(path)[1])
    except (ValueError, KeyError, IndexError, UnicodeError) as error:
        raise BadFile(f"is no .aedat of a DVS128: {error}", where=path) from None


READERS: dict[str, Callable[[str], Array]] = {".bin": read_nmnist, ".aedat": _dvs_gesture}
