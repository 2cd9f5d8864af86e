"""Events that are read a few samples at a time: from memory, from a .npy, or from a .npz.

A part of a .npy is read, not mapped: the pages of a mapped file would count as memory of this
process. A .npz may be compressed, and is read as a whole when its first sample is asked for.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TypeAlias
from zipfile import BadZipFile, ZipFile

import numpy as np

from sast_compile.errors import BadFile
from sast_compile.ir.sparse import SparseEvents, check_sparse
from sast_compile.ir.types import Array

Cut: TypeAlias = Callable[[int, int], SparseEvents | Array]
DAMAGED = (ValueError, EOFError, KeyError, RuntimeError, MemoryError, BadZipFile, zlib.error)
SPARSE = ("first", "index", "shape")  # the arrays of a .npz of sparse events
ZIP = b"PK"


@dataclass(frozen=True)
class Stored:
    """The events of one input, ``shape`` = (samples, steps, *input shape).

    ``cut(begin, end)`` reads samples ``begin`` to ``end - 1``, 0 <= begin < end <= samples.
    An element of an array that it gives has ``width`` bytes; ``held`` bytes are in memory all the
    time from the first cut on.
    """

    shape: tuple[int, ...]
    cut: Cut
    width: int = 1
    held: int = 0

    def dense(self) -> Array:
        """All of them as one array, which may be large."""
        events = self.cut(0, self.shape[0])
        return events.to_dense() if isinstance(events, SparseEvents) else events


def in_memory(events: SparseEvents | Array) -> Stored:
    """Events that are there already."""
    if isinstance(events, SparseEvents):
        shape = (events.samples, events.steps, *events.shape)
        return Stored(shape, events.cut, held=events.nbytes)
    return Stored(
        events.shape, lambda begin, end: events[begin:end], events.dtype.itemsize, events.nbytes
    )


def open_events(path: str, key: str | None = None) -> Stored:
    """The array in a .npy, or in a .npz the only one or the one called ``key``; BadFile if none.

    A .npz of the arrays ``first``, ``index`` and ``shape`` = (samples, steps, *input shape) is
    `SparseEvents`. Nothing but headers is read before the first cut.
    """
    with _refusals(path), Path(path).open("rb") as file:
        start = file.read(2)
        file.seek(0)
        if not start:
            raise BadFile("is empty", where=path)
        return _npz(path, key) if start == ZIP else _npy(path, file)


def _npy(path: str, file: IO[bytes]) -> Stored:
    shape, columns_first, dtype = _header(file)
    start, size = file.tell(), math.prod(shape) * dtype.itemsize
    if os.fstat(file.fileno()).st_size < start + size:
        raise ValueError(f"it ends before its {size} bytes of data do")
    if columns_first or not shape:
        return _whole(shape, dtype, lambda: _loaded(path, None))
    items = math.prod(shape[1:])

    def cut(begin: int, end: int) -> Array:
        with _refusals(path), Path(path).open("rb") as data:
            data.seek(start + begin * items * dtype.itemsize)
            found = np.fromfile(data, dtype, (end - begin) * items)
        if found.size != (end - begin) * items:
            raise BadFile(f"was cut off before sample {end - 1} could be read", where=path)
        return found.reshape(end - begin, *shape[1:])

    return Stored(shape, cut, dtype.itemsize)


def _npz(path: str, key: str | None) -> Stored:
    with ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if key is None and sorted(names) == sorted(SPARSE):
            return _sparse(path, sum(info.file_size for info in archive.infolist()))
        name = _member(names, key, path)
        with archive.open(f"{name}.npy") as member:
            shape, _, dtype = _header(member)
    return _whole(shape, dtype, lambda: _loaded(path, name))


def _sparse(path: str, size: int) -> Stored:
    stated = _loaded(path, "shape")
    numbers = stated.ndim == 1 and stated.dtype.kind in "iu" and len(stated) >= 2
    if not numbers or (stated < 0).any():
        raise BadFile("its shape is not (samples, steps, *input shape)", where=path)
    samples, steps, *shape = stated.tolist()

    @cache
    def read() -> SparseEvents:
        first, index = (_loaded(path, name) for name in SPARSE[:2])
        return check_sparse(SparseEvents(tuple(shape), samples, steps, first, index), path)

    return Stored((samples, steps, *shape), lambda begin, end: read().cut(begin, end), held=size)


def _whole(
    shape: tuple[int, ...], dtype: np.dtype[np.generic], read: Callable[[], Array]
) -> Stored:
    once, size = cache(read), dtype.itemsize
    return Stored(shape, lambda begin, end: once()[begin:end], size, math.prod(shape) * size)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, whether the first axis is the fastest, and type; ValueError if it holds objects."""
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"its format has version {version}")
    shape, columns_first, dtype = read[version](file)
    if dtype.hasobject:
        raise ValueError("pickled")
    return shape, columns_first, dtype


def _loaded(path: str, name: str | None) -> Array:
    """The array in a .npy, or the one called ``name`` in a .npz."""
    with _refusals(path):
        data = np.load(path, allow_pickle=False)
        if name is None:
            return np.asarray(data)
        with data:
            return np.asarray(data[name])


@contextmanager
def _refusals(path: str) -> Iterator[None]:
    """What goes wrong with the file at ``path`` becomes a BadFile."""
    try:
        yield
    except FileNotFoundError:
        raise BadFile("there is no such file", where=path) from None
    except OSError as error:
        raise BadFile(f"cannot be read: {error.strerror or error}", where=path) from None
    except DAMAGED as error:
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
