"""A training recipe: a short TOML file, read strictly into a frozen value; and its controls."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from sast_compile.errors import BadFile, CompileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Count: TypeAlias = Annotated[int, Meta(ge=1, le=10**6)]
Rate: TypeAlias = Annotated[float, Meta(gt=0, le=10)]  # of learning
Share: TypeAlias = Annotated[float, Meta(ge=0, lt=1)]
Frequency: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]  # spikes per neuron and step
Weight: TypeAlias = Annotated[float, Meta(ge=0, le=1e6)]
Slope: TypeAlias = Annotated[float, Meta(gt=0, le=1e6)]
Method: TypeAlias = Literal["sast", "plain", "straight_through"]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen table of the recipe: every key is known, every number is in its range."""


class Augment(Table, frozen=True, kw_only=True):
    """What happens to a batch of events: moved by up to ``shift`` pixels, a share dropped."""

    shift: Annotated[int, Meta(ge=0, le=64)] = 0
    drop: Share = 0.0


class Pretrain(Table, frozen=True, kw_only=True):
    """The stage before: the same network on another data set with the same events' shape."""

    dataset: str
    epochs: Count
    learning_rate: Rate
    batch: Count
    augment: Augment = Augment()


class Hardware(Table, frozen=True, kw_only=True):
    """The stage after: weights, leak and membrane as ``target`` holds them at ``bits`` bits.

    ``learning_rate`` is a tenth of the recipe's where it is not given.
    """

    target: str
    bits: Annotated[int, Meta(ge=2, le=8)]
    epochs: Count = 10
    learning_rate: Rate | None = None


class Recipe(Table, frozen=True, kw_only=True):
    """Everything that, with ``model.py`` and the data, determines the weights.

    ``method``: ``sast`` runs smooth spikes forward and descends by SAM of radius ``rho`` (at
    ``rho = 0`` that is ``plain``); ``straight_through`` fires hard forward and takes the
    surrogate's slope backward. ``rho`` is 0 in the first ``rho_warmup`` of all epochs. The slope of
    the surrogate goes geometrically from the model's to ``slope_end`` over all epochs (but those of
    ``hardware``, which keep it).
    ``initial_rate`` scales the fresh weights of each layer so that its hard firing rate on the
    first 64 training samples of the first stage is this. ``weight_decay`` is AdamW's, apart from
    the gradient: it shrinks every weight by ``learning_rate * weight_decay`` of itself a step.
    ``activity_weight`` adds to the loss, for each spiking layer but the output, the square of its
    mean spike's distance from ``activity_rate``.
    ``patience``: a stage ends after so many epochs without a better hard validation accuracy.
    """

    dataset: str
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    epochs: Count
    batch: Count
    learning_rate: Rate
    method: Method = "sast"
    rho: Annotated[float, Meta(ge=0, le=10)] = 0.0
    rho_warmup: Share = 0.0
    adaptive: bool = False
    second_batch: bool = False
    slope_end: Slope | None = None
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.0
    clip_norm: Annotated[float, Meta(gt=0)] | None = None
    activity_weight: Weight = 0.0
    activity_rate: Frequency | None = None
    initial_rate: Frequency | None = None
    patience: Count | None = None
    augment: Augment = Augment()
    pretrain: Pretrain | None = None
    # unset rather than None: recipes without it keep the hash that names their finished runs
    hardware: Hardware | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.method == "plain" and self.rho > 0:
            raise ValueError(f"rho = {self.rho} is SAM's: method = 'sast', or leave rho out")
        if (self.activity_weight > 0) != (self.activity_rate is not None):
            raise ValueError("activity_weight and activity_rate belong together: give both or none")


def controls(recipe: Recipe) -> dict[str, Recipe]:
    """``recipe`` and what it must be compared with, by name, alike but for what the name says.

    - ``plain``: the surrogate-forward network without SAM
    - ``compute_matched``: the same for as many gradients as ``sast`` takes, i.e. about twice the
      epochs in every stage (less the share of ``rho_warmup``, in which SAM takes one)
    - ``annealed``: plain, the surrogate's slope going to 10 (or to the recipe's ``slope_end``)
    - ``straight_through``: the classic surrogate gradient, hard spikes forward
    - ``sast``: the recipe itself; raises CompileError unless that is SAM with ``rho > 0``
    """
    if recipe.method != "sast" or recipe.rho == 0:
        raise CompileError(
            f"method {recipe.method!r} with rho = {recipe.rho} has nothing to be compared with",
            where="recipe",
            hint="method = 'sast' and rho > 0, for example 0.05",
        )
    plain = replace(recipe, method="plain", rho=0.0, rho_warmup=0.0, adaptive=False,
                    second_batch=False)  # fmt: skip
    return {
        "plain": plain,
        "compute_matched": _longer(plain, 2 - recipe.rho_warmup),
        "annealed": replace(plain, slope_end=recipe.slope_end or 10.0),
        "straight_through": replace(plain, method="straight_through"),
        "sast": recipe,
    }


def _longer(recipe: Recipe, factor: float) -> Recipe:
    """``recipe`` with every stage, and the patience, ``factor`` times as long."""

    def times(epochs: int) -> int:
        return round(factor * epochs)

    before, after = recipe.pretrain, recipe.hardware
    return replace(
        recipe,
        epochs=times(recipe.epochs),
        patience=recipe.patience and times(recipe.patience),
        pretrain=before and replace(before, epochs=times(before.epochs)),
        hardware=after and replace(after, epochs=times(after.epochs)),
    )


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
