"""Object code on disk, in the user's cache folder (`$SAST_CACHE`), for all processes.

A file is written whole or not at all and begins with the hash of what follows, so that neither a
writer beside this one nor a damaged disk can have wrong code run. A cache that cannot be written is
done without: that costs time, not the result.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from sast_compile.errors import CompileError
from sast_compile.files import cache_folder, write_whole

KEPT = 200  # files
DIGEST = hashlib.sha256().digest_size


def load(key: str) -> bytes | None:
    """The code kept under ``key``; None if there is none, or it is damaged."""
    path = _path(key)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, code = data[:DIGEST], data[DIGEST:]
    if hashlib.sha256(code).digest() != digest:
        return None
    with suppress(OSError):  # a cache that can only be read
        os.utime(path)  # it was used just now
    return code


def store(key: str, code: bytes) -> None:
    """Keeps ``code``; of more than `KEPT` files those that were used longest ago go."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, hashlib.sha256(code).digest() + code)
        for old in sorted(path.parent.glob("*.o"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    except (OSError, CompileError):
        return


def _path(key: str) -> Path:
    return cache_folder() / "emulator" / f"{key}.o"
