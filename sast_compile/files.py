"""Files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from sast_compile.errors import BadFile

HDF5 = b"\x89HDF\r\n\x1a\n"  # what such a file begins with


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """``data`` lies at ``path``; an interruption leaves the old file or none, never half of one."""
    target = Path(path)
    if os.path.isdir(target):  # pathlib's raises for some names
        raise BadFile("cannot be written: is a folder", where=str(target), hint="name a file in it")
    # beside the target, because a rename is atomic only within one file system
    draft = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        hint = None if os.path.isdir(target.parent) else f"there is no folder {target.parent}"
        raise BadFile(f"cannot be written: {why}", where=str(path), hint=hint) from None
    finally:
        with suppress(OSError):
            draft.unlink()


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """The bytes of the file at ``path``; BadFile if there is none or it cannot be read."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise BadFile("there is no such file", where=str(path)) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadFile(f"cannot be read: {why}", where=str(path)) from None
    if not data:
        raise BadFile("is empty", where=str(path))
    return data


def cache_folder() -> Path:
    """Where files are kept that can be made again: ``$SAST_CACHE``, else in the user's cache.

    It need not exist.
    """
    named = os.environ.get("SAST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "sast-compile"


def sha256(data: bytes) -> str:
    """The SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
