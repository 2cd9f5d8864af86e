"""``sast-compile train``: a network from its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from sast_compile.catalog import model_names, shipped, suggestion
from sast_compile.cli.console import PLAIN, errors, shown
from sast_compile.errors import BackendUnavailable, BadFile

if TYPE_CHECKING:
    from sast_compile.training.loop import Epoch
    from sast_compile.training.recipe import Recipe

Report: TypeAlias = "Callable[[Epoch], None]"


def train_(
    folder: Annotated[
        str,
        typer.Argument(
            help="A folder with model.py (which is run) and recipe.toml, or a shipped model's name."
        ),
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Where real recordings lie (or $SAST_DATA).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's.")] = None,
    bits: Annotated[
        int | None,
        typer.Option(min=2, max=8, help="Fine-tune with weights, leak and membrane as the chip's."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The chip of that stage; default: the recipe's, or loihi2.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto: CUDA if there is one.")
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where to write, instead of FOLDER (a shipped model: ./NAME)."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh/--resume", help="Forget an interrupted training of this folder, or go on."
        ),
    ] = False,
) -> None:
    """Trains a network, chooses by its hard accuracy on validation, measures the test split once.

    Ctrl-C or a kill at any moment loses at most the epoch that runs: the same command goes on.
    """
    try:
        from sast_compile.training.folder import overruled, train_folder
        from sast_compile.training.recipe import read_recipe
    except ImportError as error:
        raise BackendUnavailable(
            f"training needs torch, which cannot be imported here ({error})",
            hint="pip install sast-compile[all]",
        ) from None
    source = located(folder)
    out = out or (source if Path(folder).is_dir() else Path(folder))
    recipe = overruled(read_recipe(source / "recipe.toml")[0], seed, bits, target)
    with _watched(recipe) as report:
        provenance = train_folder(
            source,
            out=out,
            data=data,
            seed=seed,
            bits=bits,
            target=target,
            device=device,
            fresh=fresh,
            report=report,
        )
    _print(provenance, out)


def located(folder: str) -> Path:
    """A model folder by path, or by the name of a shipped model."""
    if Path(folder).is_dir():
        return Path(folder)
    if folder in model_names():
        return shipped("models") / folder
    raise BadFile("there is no such folder", where=folder, hint=suggestion(folder, model_names()))


@contextmanager
def _watched(recipe: Recipe) -> Iterator[Report]:
    """What is called after every epoch: moves a bar on a terminal, prints a line elsewhere."""
    if PLAIN or not errors.is_terminal:
        yield lambda epoch: typer.echo(_line(epoch))
        return
    from sast_compile.training.stages import stages

    plan = stages(recipe)
    begins = {stage.name: sum(s.epochs for s in plan[:at]) for at, stage in enumerate(plan)}
    columns = (SpinnerColumn(), TextColumn("epoch"), MofNCompleteColumn(), BarColumn(),
               TimeRemainingColumn(), TextColumn("{task.description}"))  # fmt: skip
    with Progress(*columns, console=errors) as progress:
        task = progress.add_task("", total=sum(stage.epochs for stage in plan))

        def move(epoch: Epoch) -> None:
            done = begins[epoch.stage] + epoch.number
            progress.update(task, completed=done, description=shown(_line(epoch)))

        yield move


def _line(epoch: Epoch) -> str:
    rates = " ".join(f"{name} {rate:.3f}" for name, rate in epoch.rates.items())
    return (
        f"{epoch.stage} {epoch.number:3}  loss {epoch.loss:.4f}  validation: surrogate "
        f"{epoch.surrogate:.2%}  hard {epoch.hard:.2%}  rates {rates}  {epoch.seconds:.1f} s"
    )


def _print(provenance: dict[str, Any], out: Path) -> None:
    typer.echo(f"epoch {provenance['epoch']} is kept; {provenance['seconds']:.1f} s")
    for name in ("validation", "test"):
        level = provenance[name]
        snapped = f"snapped {level['snapped']:.2%}  " if "snapped" in level else ""
        typer.echo(
            f"{name:10}  surrogate {level['surrogate']:.2%}  hard {level['hard']:.2%}  "
            f"{snapped}n = {level['n']}"
        )
    typer.echo(f"written: model.pt, model.nir, curve.png in {shown(str(out))}")
