"""``sast-compile gap``: a model trained in several ways, smooth, hard and in integers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sast_compile.cli.train_verb import located
from sast_compile.errors import BackendUnavailable, CompileError

if TYPE_CHECKING:
    from sast_compile.report.gap.runs import Run


def gap_(
    folder: Annotated[
        str, typer.Argument(help="A folder with model.py (which is run) and recipe.toml.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds, from the recipe's on.")] = 5,
    rhos: Annotated[
        str | None, typer.Option("--rhos", help="Radii of SAM, with commas; default: gap.toml's.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Fewer epochs than the recipe's: to try it out.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Chips; default: gap.toml's, or all.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Where real recordings lie (or $SAST_DATA).")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto: CUDA if there is one.")
    ] = "auto",
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at the same time.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write; default: gap-NAME here.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--into", help="A document whose section on this to rewrite.")
    ] = None,
) -> None:
    """Trains plain, with twice the steps, annealed, straight-through and by SAST; compares them.

    Every finished run is kept, so the same command goes on after an interruption. gap.toml in the
    folder names the comparison that counts before the first run.
    """
    try:
        from sast_compile.report.gap.study import study_folder, write_into, write_study
    except ImportError as error:
        raise BackendUnavailable(
            f"training needs torch, which cannot be imported here ({error})",
            hint="pip install sast-compile[all]",
        ) from None
    where = located(folder)
    place = out or Path(f"gap-{where.resolve().name}")
    study = study_folder(
        where,
        place,
        seeds=seeds,
        rhos=None if rhos is None else _numbers(rhos),
        epochs=epochs,
        targets=target or (),
        data=data,
        device=device,
        processes=jobs,
        told=_tell,
    )
    typer.echo(write_study(study, place))
    if into is not None:
        write_into(study, into)


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise CompileError(
            f"{text!r} is no list of numbers", where="--rhos", hint="for example 0,0.02,0.05"
        ) from None


def _tell(run: Run) -> None:
    typer.echo(
        f"{run.configuration} seed {run.seed}: surrogate {run.surrogate:.2%} hard {run.hard:.2%} "
        f"({run.seconds:.0f} s on {run.device})",
        err=True,
    )
