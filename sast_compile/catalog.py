"""Where the shipped targets and models lie: a plain name is ours, a path is the user's."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from sast_compile.errors import CompileError

PACKAGE = Path(__file__).resolve().parent
DEFAULT_TARGET = "loihi2"  # of the command line and of the Python calls


def shipped(kind: str) -> Path:
    """The folder of shipped ``targets`` or ``models``: in the wheel, or beside the package."""
    inside = PACKAGE / kind
    return inside if inside.is_dir() else PACKAGE.parent / kind


def target_names() -> list[str]:
    """The names of the shipped chips."""
    return sorted(path.stem for path in shipped("targets").glob("*.toml"))


def model_names() -> list[str]:
    """The names of the shipped models."""
    return sorted(path.parent.name for path in shipped("models").glob("*/recipe.toml"))


def locate_target(name: str) -> Path:
    """The TOML file of a target given by name, or by a path (with a separator or ``.toml``)."""
    if os.sep in name or name.endswith(".toml"):
        return Path(name)
    if name not in target_names():
        raise CompileError(
            f"unknown target {name!r}",
            hint=f"{suggestion(name, target_names())} (or give the path of a .toml file)",
        )
    return shipped("targets") / f"{name}.toml"


def suggestion(name: str, known: Iterable[str]) -> str:
    """``did you mean `x`? `` or the list of what is known, for the end of a message."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"
