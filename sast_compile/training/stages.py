"""The stages of a recipe, and what is scheduled over them: learning rate, rho, slope."""

from __future__ import annotations

import math
from typing import NamedTuple

from sast_compile.training.recipe import Augment, Recipe


class Stage(NamedTuple):
    """Some epochs on one data set; ``first`` of the ``total`` epochs that schedules are cut from.

    The hardware stage comes behind these: it keeps what they ended with.
    """

    name: str  # "pretrain", "train" or "hardware"
    epochs: int
    batch: int
    learning_rate: float
    augment: Augment
    first: int
    total: int


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """What a fit does, in order."""
    before, after = recipe.pretrain, recipe.hardware
    early = before.epochs if before else 0
    total = early + recipe.epochs
    main = Stage("train", recipe.epochs, recipe.batch, recipe.learning_rate, recipe.augment,
                 early, total)  # fmt: skip
    plan = [main]
    if before is not None:
        plan.insert(0, Stage("pretrain", before.epochs, before.batch, before.learning_rate,
                             before.augment, 0, total))  # fmt: skip
    if after:
        rate = after.learning_rate or recipe.learning_rate / 10
        plan.append(main._replace(name="hardware", epochs=after.epochs, learning_rate=rate,
                                  first=total))  # fmt: skip
    return tuple(plan)


def learning_rate(stage: Stage, epoch: int) -> float:
    """By cosine from the stage's rate toward zero, which comes after its last epoch.

    ``epoch`` from 0; all batches of an epoch have one rate.
    """
    return stage.learning_rate * (1 + math.cos(math.pi * epoch / stage.epochs)) / 2


def rho_at(recipe: Recipe, stage: Stage, epoch: int) -> float:
    """SAM's radius; 0 in the first ``rho_warmup`` of all epochs."""
    warming = (stage.first + epoch) < recipe.rho_warmup * stage.total
    return 0.0 if warming or recipe.method != "sast" else recipe.rho


def slopes_at(
    slopes: dict[str, float], recipe: Recipe, stage: Stage, epoch: int
) -> dict[str, float]:
    """Each layer's slope, on its geometric way from its own in ``slopes`` to ``slope_end``."""
    end = recipe.slope_end
    if end is None:
        return slopes
    share = min(1.0, (stage.first + epoch) / max(1, stage.total - 1))
    return {name: float(k ** (1 - share) * end**share) for name, k in slopes.items()}
