"""``sast-compile train``: a network from its folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from sast_compile.catalog import model_names, shipped, suggestion
from sast_compile.cli.console import PLAIN, errors, shown
from sast_compile.errors import BackendUnavailable, BadFile

if TYPE_CHECKING:
    from sast_compile.training.loop import Batch, Epoch
    from sast_compile.training.recipe import Recipe

REDRAWN = 0.1  # seconds between two readings of the loss, which wait for a GPU


class Watcher(NamedTuple):
    """What a training calls: ``report`` after every epoch, ``watch`` after every batch."""

    report: Callable[[Epoch], None]
    watch: Callable[[Batch], None]


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
    with _watched(recipe) as watcher:
        provenance = train_folder(
            source,
            out=out,
            data=data,
            seed=seed,
            bits=bits,
            target=target,
            device=device,
            fresh=fresh,
            report=watcher.report,
            watch=watcher.watch,
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
def _watched(recipe: Recipe) -> Iterator[Watcher]:
    """A bar that every batch moves, under a line an epoch; without a terminal the lines alone."""
    if PLAIN or not errors.is_terminal:
        yield Watcher(lambda epoch: typer.echo(_line(epoch)), lambda batch: None)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=None),
               TimeRemainingColumn(compact=True))  # fmt: skip
    # the time left comes from this many seconds: epochs are slow, and pause to be measured
    with Progress(*columns, console=errors, expand=True, speed_estimate_period=600) as progress:
        bar = _Bar(progress, recipe)
        yield Watcher(bar.report, bar.watch)


class _Bar:
    """How far a training is, in epochs; the share of one that runs is counted in batches."""

    def __init__(self, progress: Progress, recipe: Recipe) -> None:
        from sast_compile.training.stages import stages

        plan = stages(recipe)
        self._begins = {x.name: sum(s.epochs for s in plan[:at]) for at, x in enumerate(plan)}
        self._epochs = {stage.name: stage.epochs for stage in plan}
        self._progress, self._total = progress, sum(self._epochs.values())
        self._task = progress.add_task("reading the data", total=self._total)
        self._last: Epoch | None = None
        self._drawn: float | None = None

    def watch(self, batch: Batch) -> None:
        """Moves the bar; a training that was taken up begins where it was."""
        # one part more than batches: the measuring behind them
        share = batch.number / (batch.batches + 1)
        at = self._begins[batch.stage] + batch.epoch - 1 + share
        if self._drawn is None:
            self._progress.reset(self._task, total=self._total, completed=at)  # type: ignore[arg-type]
        now = time.monotonic()
        if self._drawn is None or now - self._drawn >= REDRAWN or batch.number == batch.batches:
            self._drawn = now
            text = _moment(batch, self._epochs[batch.stage], self._last)
            self._progress.update(self._task, completed=at, description=text)

    def report(self, epoch: Epoch) -> None:
        """Leaves the epoch's line above the bar."""
        self._last = epoch
        self._progress.update(self._task, completed=self._begins[epoch.stage] + epoch.number)
        self._progress.console.print(shown(_line(epoch)), soft_wrap=True)


def _moment(batch: Batch, epochs: int, last: Epoch | None) -> str:
    """Stage, epoch and loss so far, and what validation said last."""
    text = f"{batch.stage} {batch.epoch}/{epochs}  loss {batch.loss:.4f}"
    if last is None:
        return text
    return f"{text}  surrogate {last.surrogate:.2%}  hard {last.hard:.2%}"


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
    if find_spec("matplotlib") is None:
        typer.echo("no curve.png: matplotlib is not installed (pip install sast-compile[train])")
        typer.echo(f"written: model.pt, model.nir in {shown(str(out))}")
        return
    typer.echo(f"written: model.pt, model.nir, curve.png in {shown(str(out))}")
