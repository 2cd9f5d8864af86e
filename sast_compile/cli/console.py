"""Where output goes: tables to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.box import SIMPLE_HEAD
from rich.table import Table

output = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@contextmanager
def working(text: str) -> Iterator[Any]:
    """A spinner with ``text`` while something runs; nothing where no one watches."""
    with errors.status(text) as status:
        yield status


def table(title: str, *columns: str) -> Table:
    """An empty table under its title; columns that begin with ``>`` are right-aligned."""
    output.print(f"\n[bold]{title}[/]")
    empty = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for column in columns:
        empty.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return empty


def print_json(document: Any) -> None:
    """``document`` as JSON on standard output."""
    typer.echo(json.dumps(document, indent=2, default=_plain))


def _plain(value: object) -> object:
    """A numpy scalar or array as Python's own numbers."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def wide_enough(console: Console) -> Console:
    """``console``, never so narrow that a pipe or a log cuts columns off."""
    if not console.is_terminal:
        console.width = max(console.width, 120)
    return console


wide_enough(output)
wide_enough(errors)
