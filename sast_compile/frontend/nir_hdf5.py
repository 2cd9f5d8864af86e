"""What an HDF5 file of a graph holds, as plain values: bounded, and nothing from outside the file.

libhdf5 follows links into other files, unpacks what a few bytes declare, and lets a group hold
itself. Here all of this is refused, and what cannot be read is named where it stands, so that the
rest of the file can still be looked at.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import h5py
import numpy as np

from sast_compile.errors import BadFile
from sast_compile.files import HDF5

Tree: TypeAlias = dict[str, Any]  # of trees, arrays, numbers, texts, None and `Unreadable`

HEAP = b"GCOL\x01\0\0\0"  # what a global heap, of texts, begins with
DEEPEST = 32  # groups in each other
MOST_BYTES = 2**31  # that all data sets declare together: a few bytes of a file can declare any
SMALL, MOST_PACKED = 2**16, 1100  # bytes; deflate makes at most 1032 of one
PLAIN = "biufcSU"  # kinds of numpy types that hold their data in themselves


@dataclass(frozen=True)
class Unreadable:
    """Stands for a value that cannot be read; ``why`` ends a sentence about it."""

    why: str


def read_tree(data: bytes, where: str) -> Tree:
    """The group ``node`` of the HDF5 file in ``data``; BadFile if it is none or no tree."""
    if not data.startswith(HDF5):
        raise BadFile("is no HDF5 file, so no NIR graph", where=where)
    if not _heaps_end(data):  # libhdf5 would go round in it for ever
        raise BadFile("cannot be read as NIR: the heap of its texts is damaged", where=where)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            root = _Reader(where).value("node", file, 0)
    except BadFile:
        raise
    except Exception as error:  # libhdf5 raises whatever a damaged file makes it meet
        raise BadFile(f"cannot be read as NIR: {_said(error)}", where=where) from None
    if isinstance(root, Unreadable):
        raise BadFile(f"cannot be read as NIR: its group `node` {root.why}", where=where)
    if not isinstance(root, dict):
        raise BadFile("cannot be read as NIR: `node` is no group", where=where)
    return root


def _heaps_end(data: bytes) -> bool:
    """Whether every global heap lies in the file, its objects one behind the other to its end."""
    start = data.find(HEAP)
    while start >= 0:
        at = start + 16
        end = start + int.from_bytes(data[start + 8 : at], "little")
        if not at <= end <= len(data):
            return False
        while at + 16 <= end:
            size = int.from_bytes(data[at + 8 : at + 16], "little")
            free = data[at : at + 2] == b"\0\0"  # the rest; its size counts its head too
            if free and size != end - at:
                return False
            at += size if free else 16 + -(-size // 8) * 8
        if at > end:
            return False
        start = data.find(HEAP, start + 16)
    return True


def _said(error: Exception) -> str:
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())[:300]


@dataclass
class _Reader:
    where: str
    declared: int = 0  # bytes up to now
    seen: set[int] = field(default_factory=set)  # addresses of groups

    def value(self, name: str, group: Any, depth: int) -> Any:
        """What ``name`` in ``group`` holds."""
        try:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                return Unreadable("is a link, not data")
            item = group[name]
            if isinstance(item, h5py.Group):
                return self._tree(item, depth)
            return self._array(item) if isinstance(item, h5py.Dataset) else Unreadable("is no data")
        except BadFile:
            raise
        except Exception as error:
            return Unreadable(f"cannot be read: {_said(error)}")

    def _tree(self, group: Any, depth: int) -> Tree:
        address = h5py.h5o.get_info(group.id).addr
        if address in self.seen or depth > DEEPEST:
            why = "holds a group twice" if address in self.seen else f"nests deeper than {DEEPEST}"
            raise BadFile(f"cannot be read as NIR: {group.name} {why}", where=self.where)
        self.seen.add(address)
        return {name: self.value(name, group, depth + 1) for name in _names(group)}

    def _array(self, item: Any) -> Any:
        if item.is_virtual or item.external:
            return Unreadable("has its data in another file")
        if item.shape is None:
            return None
        # libhdf5 crashes on some sequences whose type is damaged; NIR has none
        if item.dtype.kind not in PLAIN and h5py.check_string_dtype(item.dtype) is None:
            return Unreadable(f"is of {item.dtype}, neither numbers nor text")
        size = math.prod(item.shape) * item.dtype.itemsize
        stored = item.id.get_storage_size()
        if size > SMALL + MOST_PACKED * stored:
            return Unreadable(f"declares a shape {item.shape} that its {stored} bytes cannot hold")
        chunk = math.prod(item.chunks or ()) * item.dtype.itemsize
        self.declared += max(size, chunk)
        if self.declared > MOST_BYTES:
            raise BadFile(
                f"{item.name} declares a shape {item.shape}: with it the file would hold more than "
                f"{MOST_BYTES >> 30} GiB",
                where=self.where,
            )
        return _plain(item[()])


def _names(group: Any) -> Iterator[str]:
    for name in group:
        yield name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    """Texts as str, everything else as numpy has it."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.size == 1:
        return _plain(value.item())
    if isinstance(value, np.ndarray) and value.dtype.kind in "SU" and value.size == 1:
        return _plain(value.item())
    return value.decode("utf-8") if isinstance(value, bytes) else value
