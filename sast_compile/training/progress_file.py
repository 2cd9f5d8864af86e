"""A fit that was interrupted, in one file: whole or not there, plain data only."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import torch

from sast_compile.data import Split
from sast_compile.errors import BadFile
from sast_compile.files import write_whole
from sast_compile.training.recipe import Recipe

FORMAT = "sast-training/1"


PROBED = 32  # samples of a split whose events are hashed: milliseconds, whatever the set's size


def key(description: list[dict[str, Any]], recipe: Recipe, data: Iterable[Split | None]) -> str:
    """What determines a fit, in one hash: a file of another key is not taken up.

    Of the data these are the splits' shapes, all labels and the events of the first samples.
    """
    seen = [fingerprint(split) for split in data]
    return hashlib.sha256(msgspec.json.encode([description, recipe, seen])).hexdigest()


def fingerprint(split: Split | None) -> str:
    """A hash by which two splits differ if their shapes, labels or first events do."""
    if split is None:
        return ""
    text = f"{split.events.shape} {split.events.dtype} {split.labels.dtype}"
    found = hashlib.sha256(text.encode())
    found.update(split.labels.tobytes())
    found.update(split.events[:PROBED].tobytes())
    return found.hexdigest()


def write(path: Path, key: str, state: dict[str, Any]) -> None:
    """``state`` lies at ``path`` under ``key``, whole or not at all."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "key": key, "state": state}, buffer)
    write_whole(path, buffer.getvalue())


def read(path: Path, key: str, device: str) -> dict[str, Any] | None:
    """The state at ``path``; None if there is none. BadFile if it is damaged or of another fit."""
    if not path.exists():
        return None
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
        if stored["format"] != FORMAT:
            raise ValueError(stored["format"])
        same, state = stored["key"] == key, stored["state"]
    except Exception as error:  # torch raises a dozen kinds on damaged files
        raise BadFile(
            f"is no interrupted training ({type(error).__name__})",
            where=str(path),
            hint="start anew: --fresh",
        ) from None
    if not same:
        raise BadFile(
            "is an interrupted training of another recipe, model, seed or data",
            where=str(path),
            hint="start anew with --fresh, or give this one another place with --out",
        )
    return dict(state)
