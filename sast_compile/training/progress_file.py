"""A fit that was interrupted, in one file: whole or not there, plain data only."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import msgspec
import torch

from sast_compile.errors import BadFile
from sast_compile.files import write_whole
from sast_compile.training.recipe import Recipe

FORMAT = "sast-training/1"


def key(description: list[dict[str, Any]], recipe: Recipe) -> str:
    """What determines a fit: a file of another key is not taken up."""
    return hashlib.sha256(msgspec.json.encode([description, recipe])).hexdigest()


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
            "is an interrupted training of another recipe, model or seed",
            where=str(path),
            hint="start anew with --fresh, or give this one another place with --out",
        )
    return dict(state)
