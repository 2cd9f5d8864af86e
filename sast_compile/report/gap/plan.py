"""What is compared: the configurations of a recipe, and the headline that was named beforehand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from sast_compile.catalog import target_names
from sast_compile.errors import BadFile, CompileError
from sast_compile.files import read_whole
from sast_compile.training.recipe import Recipe, controls

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "gap.toml"
SAST = "sast"
Radius: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=10)]
Control: TypeAlias = Literal["plain", "compute_matched", "annealed", "straight_through"]


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A folder's gap.toml: the headline, on which targets, and where rho is looked at.

    ``against`` and ``metric`` name the one comparison that counts; it stands in the folder before
    the first run. ``rho`` is SAST's radius where the recipe itself trains plain; ``targets`` are
    all shipped ones if none is named.
    """

    against: Control = "compute_matched"
    metric: Literal["hard", "surrogate"] = "hard"
    rho: Annotated[float, msgspec.Meta(gt=0, le=10)] | None = None
    rhos: tuple[Radius, ...] = ()
    targets: tuple[str, ...] = ()
    bits: tuple[Annotated[int, msgspec.Meta(ge=2, le=8)], ...] = (8, 4)


def read_plan(folder: Path) -> Plan:
    """The plan in ``folder``, or the default one; raises BadFile naming the key that is wrong."""
    path = folder / FILE
    plan = Plan()
    if path.exists():
        try:
            plan = msgspec.convert(tomllib.loads(read_whole(path).decode()), type=Plan)
        except (ValueError, RecursionError) as error:
            keys = ", ".join(Plan.__struct_fields__)
            raise BadFile(str(error), where=str(path), hint=f"the keys are {keys}") from None
    return plan if plan.targets else replace(plan, targets=tuple(target_names()))


def configurations(
    recipe: Recipe, plan: Plan, rhos: Sequence[float] = (), epochs: int | None = None
) -> dict[str, Recipe]:
    """The controls of ``recipe``, and SAST at every other radius, by name.

    ``epochs`` shortens the recipe, and its pre-training to no more than that. A radius of 0 is
    `plain`, the recipe's own is `sast`: neither is trained twice.
    """
    if plan.rho is not None:
        recipe = replace(recipe, method="sast", rho=plan.rho)
    if epochs is not None:
        before = recipe.pretrain
        before = before and replace(before, epochs=min(epochs, before.epochs))
        recipe = replace(recipe, epochs=epochs, pretrain=before)
    named = controls(recipe)
    for rho in rhos:
        if not 0 <= rho <= 10:
            raise CompileError(f"rho = {rho} is no radius", where="--rhos", hint="0 to 10")
        named.setdefault(at_radius(rho, recipe.rho), replace(recipe, rho=rho))
    return named


def at_radius(rho: float, own: float) -> str:
    """The name of the configuration that trains with SAM of this radius; ``own`` is SAST's."""
    return "plain" if rho == 0 else SAST if rho == own else f"sast_rho_{rho:g}"


def radius_of(name: str, own: float) -> float | None:
    """The radius of the configuration called ``name``; None for those that are no SAM."""
    if name in ("plain", SAST):
        return own if name == SAST else 0.0
    return float(name.removeprefix("sast_rho_")) if name.startswith("sast_rho_") else None
