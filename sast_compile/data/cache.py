"""What was made once, kept in a folder of the user's: ``$SAST_CACHE`` or ``~/.cache/sast-compile``.

A file's name carries a hash of everything that determines its content, so a changed generator never
reads an old file. Events are kept as bits, in the file and in memory, and a few samples at a time
are unpacked. A cache that cannot be written is done without.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from sast_compile.data.events import Labelled, Split, labelled
from sast_compile.data.stored import Stored
from sast_compile.errors import CompileError
from sast_compile.files import cache_folder, write_whole


def cached(name: str, parameters: Mapping[str, object], make: Callable[[], Split]) -> Labelled:
    """What ``make()`` gives, or what it made under this ``name`` and ``parameters`` before."""
    text = json.dumps(parameters, sort_keys=True, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = cache_folder() / f"{name}-{key}.npz"
    kept = _read(path)
    if kept is not None:
        return kept
    made = make()
    _write(path, made)
    return labelled(made)


def _read(path: Path) -> Labelled | None:
    """The samples in ``path``; None if there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            shape = tuple(int(n) for n in stored["shape"])
            bits, labels = stored["bits"], stored["labels"].astype(np.int64)
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        return None
    if len(bits) != -(-math.prod(shape) // 8) or labels.shape != shape[:1]:
        return None
    size = math.prod(shape[1:])

    def cut(begin: int, end: int) -> npt.NDArray[np.uint8]:
        skipped = begin * size % 8  # a sample may begin within a byte
        some = bits[begin * size // 8 : -(-end * size // 8)]
        values = np.unpackbits(some, count=skipped + (end - begin) * size)[skipped:]
        return values.reshape(end - begin, *shape[1:])

    return Labelled(Stored(shape, cut, held=bits.nbytes), labels)


def _write(path: Path, split: Split) -> None:
    buffer = io.BytesIO()
    bits = np.packbits(split.events)
    np.savez(buffer, bits=bits, shape=np.array(split.events.shape), labels=split.labels)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue())
    except (OSError, CompileError):
        return  # a read-only home costs time, not the result
