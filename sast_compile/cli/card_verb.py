"""``sast-compile card``: the measured part of a model's card."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from sast_compile.catalog import DEFAULT_TARGET
from sast_compile.cli.train_verb import located
from sast_compile.errors import BackendUnavailable


def card_(
    folder: Annotated[str, typer.Argument(help="A folder with model.pt, as train writes it.")],
    target: Annotated[str, typer.Option("--target", help="A chip by name or path.")] = (
        DEFAULT_TARGET
    ),
) -> None:
    """Measures a trained model on its test split and writes the figures into its card.md."""
    if find_spec("torch") is None:
        raise BackendUnavailable(
            "a model's card needs torch, which is not installed here",
            hint="pip install sast-compile[all]",
        )
    from sast_compile.report.card import write_card

    where: Path = located(folder)
    typer.echo(write_card(where, target))
