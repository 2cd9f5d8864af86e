"""Events from files: arrays (.npy, .npz), and recordings of event cameras through tonic."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from sast_compile.contract import Contract, Encoding
from sast_compile.errors import BackendUnavailable, BadFile, CompileError
from sast_compile.files import read_whole

Array: TypeAlias = npt.NDArray[Any]
EVENT = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])  # t in microseconds
AXES = {"P": "p", "Y": "y", "X": "x"}  # the letters of a contract's axes, as tonic's fields


def read_array(path: str, key: str | None = None) -> Array:
    """The array in a .npy, or in a .npz the only one or the one called ``key``; BadFile if none."""
    stored = read_whole(path)
    try:
        data = np.load(io.BytesIO(stored), allow_pickle=False)
        if isinstance(data, np.ndarray):
            return data
        with data:
            return np.asarray(data[_member(list(data.files), key, path)])
    except (ValueError, OSError, EOFError, MemoryError, BadZipFile) as error:
        # numpy's own words recommend unpickling, which could run what the file says
        why = "damaged, foreign, or of Python objects" if "pickle" in str(error) else error
        raise BadFile(f"is no .npy of numbers: {why}", where=path) from None


def _member(names: list[str], key: str | None, path: str) -> str:
    if key is not None and key not in names:
        raise BadFile(f"holds no array {key!r}", where=path, hint=f"there is {', '.join(names)}")
    if key is None and len(names) != 1:
        raise BadFile(
            f"holds {len(names)} arrays", where=path, hint=f"--key, one of {', '.join(names)}"
        )
    return key if key is not None else names[0]


def is_recording(path: str) -> bool:
    """Whether the file's suffix is one of those that are read through tonic."""
    return Path(path).suffix.lower() in READERS


def read_recording(path: str, contract: Contract, shape: tuple[int, ...]) -> Array:
    """One recording as events uint8 (1, steps, *shape), binned as the contract's encoding says.

    Steps are equal parts of the recording from its first event to its last, so a recording of any
    length is one sample. Index p of a polarity axis is the file's polarity. Raises CompileError if
    the contract states no encoding, or an event lies outside ``shape``; BackendUnavailable if tonic
    is not installed.
    """
    encoding = contract.encoding
    if encoding is None:
        raise CompileError(
            "the model's contract states no encoding (steps, axes), so events cannot be binned",
            where=path,
            hint="bin them yourself and give a .npy (samples, steps, *axes)",
        )
    read_whole(path)  # a file that is absent or empty is named before tonic is
    return binned(READERS[Path(path).suffix.lower()](path), encoding, shape, path)


def binned(events: Array, encoding: Encoding, shape: tuple[int, ...], path: str) -> Array:
    """Events with fields x, y, t, p as uint8 (1, steps, *shape); ``path`` names them in errors."""
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
    counts = np.zeros((encoding.steps, *shape), np.int64)
    np.add.at(counts, (step, *at), 1)
    most = 1 if encoding.values == "binary" else 255
    return np.minimum(counts, most).astype(np.uint8)[None]


def _tonic(path: str) -> Any:
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
    return np.asarray(_tonic(path).read_mnist_file(path, EVENT))


def _dvs_gesture(path: str) -> Array:
    read = _tonic(path).read_dvs_ibm
    try:
        return np.asarray(read(path)[1])
    except (ValueError, KeyError, IndexError, UnicodeError) as error:
        raise BadFile(f"is no .aedat of a DVS128: {error}", where=path) from None


READERS: dict[str, Callable[[str], Array]] = {".bin": read_nmnist, ".aedat": _dvs_gesture}
