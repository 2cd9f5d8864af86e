"""Where output goes: tables to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Protocol

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer import rich_utils

if TYPE_CHECKING:
    from sast_compile.frontend.source import Source

PLAIN = bool(os.environ.get("NO_COLOR"))  # no-color.org; bold and spinners are escape codes as well
if PLAIN:
    rich_utils.COLOR_SYSTEM = None
output = Console(highlight=False, color_system=None if PLAIN else "auto")
errors = Console(highlight=False, color_system=None if PLAIN else "auto", stderr=True)


def forgiving_streams() -> None:
    """What the terminal's encoding lacks is printed as an escape: ASCII never ends in a traceback.

    A path may also hold bytes that are no text in any encoding.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def shown(value: object) -> str:
    """``value`` for one line of output: what a file says is neither markup nor a terminal code."""
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value)))


class Status(Protocol):
    """What tells a watching user how far the work has come."""

    def update(self, status: str) -> None: ...


class _Unwatched:
    def update(self, status: str) -> None:
        pass


@contextmanager
def working(text: str) -> Iterator[Status]:
    """A spinner with ``text`` while something runs; nothing where no one watches."""
    if PLAIN or not errors.is_terminal:
        yield _Unwatched()
        return
    with errors.status(text) as status:
        yield status


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """What hears how many more of ``total`` samples are done: a bar with samples a second.

    Nothing is drawn where no one watches.
    """
    if PLAIN or not errors.is_terminal:
        yield lambda done: None
        return
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    began = time.perf_counter()
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(text, total=total, rate="")

        def told(done: int) -> None:
            bar.advance(task, done)
            a_second = bar.tasks[0].completed / (time.perf_counter() - began)
            bar.update(task, rate=f"{a_second:,.0f} samples/s")

        yield told


def print_said(source: Source, console: Console) -> None:
    """What was not taken from a model file as it stands: left out, or repaired."""
    for title, said in (("left out", source.left_out), ("repaired", source.repairs)):
        for what in said:
            console.print(f"[yellow]{title}:[/] {shown(what)}", soft_wrap=True)


def table(title: str, *columns: str, on: Console = output) -> Table:
    """An empty table under its title; columns that begin with ``>`` are right-aligned."""
    on.print(f"\n[bold]{title}[/]")
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
