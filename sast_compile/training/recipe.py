"""A training recipe: a short TOML file, read strictly into a frozen value."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from sast_compile.errors import BadFile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=10**6)]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that, with ``model.py``, determines the weights."""

    dataset: str
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    epochs: Count
    batch: Count
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=10)]
    rho: Annotated[float, msgspec.Meta(ge=0, le=10)]  # SAM's radius; 0 is plain training


def read_recipe(path: str | os.PathLike[str]) -> tuple[Recipe, str]:
    """The recipe at ``path`` and its text; raises BadFile naming the key that is wrong."""
    where = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadFile("there is no such file", where=where) from None
    except (OSError, ValueError) as error:
        raise BadFile(f"cannot be read: {error}", where=where) from None
    return recipe_from_toml(text, where), text


def recipe_from_toml(text: str, where: str) -> Recipe:
    """The recipe in ``text``; raises BadFile naming ``where`` and the key that is wrong."""
    try:
        return msgspec.convert(tomllib.loads(text), type=Recipe)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"is not TOML: {error}", where=where) from None
    except (msgspec.ValidationError, RecursionError) as error:
        keys = ", ".join(Recipe.__struct_fields__)
        raise BadFile(str(error), where=where, hint=f"the keys are {keys}") from None
