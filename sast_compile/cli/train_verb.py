"""``sast-compile train``: a network from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sast_compile.catalog import model_names, shipped, suggestion
from sast_compile.cli.console import shown
from sast_compile.errors import BackendUnavailable, BadFile

if TYPE_CHECKING:
    from sast_compile.training.loop import Epoch


def train_(
    folder: Annotated[
        str, typer.Argument(help="A folder with model.py (which is run) and recipe.toml.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Where real recordings lie (or $SAST_DATA).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's.")] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto: CUDA if there is one.")
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write, instead of FOLDER.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget an interrupted training of this folder.")
    ] = False,
) -> None:
    """Trains a network, chooses by its hard accuracy on validation, measures the test split once.

    Ctrl-C or a kill at any moment loses at most the epoch that runs: the same command goes on.
    """
    try:
        from sast_compile.training.folder import train_folder
    except ImportError as error:
        raise BackendUnavailable(
            f"training needs torch, which cannot be imported here ({error})",
            hint="pip install sast-compile[all]",
        ) from None
    provenance = train_folder(
        located(folder),
        out=out,
        data=data,
        seed=seed,
        device=device,
        fresh=fresh,
        report=_report,
    )
    _print(provenance, out or Path(folder))


def located(folder: str) -> Path:
    """A model folder by path, or by the name of a shipped model."""
    if Path(folder).is_dir():
        return Path(folder)
    if folder in model_names():
        return shipped("models") / folder
    raise BadFile("there is no such folder", where=folder, hint=suggestion(folder, model_names()))


def _report(epoch: Epoch) -> None:
    rates = " ".join(f"{name} {rate:.3f}" for name, rate in epoch.rates.items())
    typer.echo(
        f"{epoch.stage} {epoch.number:3}  loss {epoch.loss:.4f}  validation: surrogate "
        f"{epoch.surrogate:.2%}  hard {epoch.hard:.2%}  rates {rates}  {epoch.seconds:.1f} s"
    )


def _print(provenance: dict[str, Any], out: Path) -> None:
    typer.echo(f"epoch {provenance['epoch']} is kept; {provenance['seconds']:.1f} s")
    for name in ("validation", "test"):
        level = provenance[name]
        typer.echo(
            f"{name:10}  surrogate {level['surrogate']:.2%}  hard {level['hard']:.2%}  "
            f"n = {level['n']}"
        )
    typer.echo(f"written: model.pt, model.nir, curve.png in {shown(str(out))}")
