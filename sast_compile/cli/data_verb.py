"""``sast-compile data``: the data sets, and one of them in numbers and as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import typer

from sast_compile.cli.console import output, print_json, shown, table, working
from sast_compile.cli.look_verbs import Json
from sast_compile.data import SPLITS, Dataset, Split, SplitName, dataset, dataset_names
from sast_compile.data.picture import picture
from sast_compile.errors import CompileError
from sast_compile.files import write_whole

DRAWN: SplitName = "validation"  # the smallest of most sets, and never what is judged on


class Part(NamedTuple):
    """One split in numbers."""

    split: str
    n: int
    shape: list[int]  # of one sample: steps, then the encoding's axes
    classes: int
    events: float  # per sample, the mean of the sums


def data_(
    name: Annotated[
        str | None, typer.Argument(help="A data set; without one, all by name.")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option("-o", "--output", help="A PNG of a few samples to write.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Where real recordings lie (or $SAST_DATA).")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the data sets, or show one: recorded or simulated, its splits, how events are binned."""
    if name is None:
        if draw is not None:
            raise CompileError(
                "a picture is of one data set", hint="sast-compile data NAME -o FILE"
            )
        _list(as_json)
        return
    if draw is not None and draw.suffix.lower() != ".png":
        raise CompileError("pictures are written as PNG", where=str(draw), hint="FILE.png")
    found = dataset(name, data)
    with working(f"reading {name}"):
        parts = [_part(split, found.load(split)) for split in SPLITS]
    if draw is not None:
        write_whole(draw, picture(name, found, found.load(DRAWN)))
    _print(name, found, parts, as_json)
    if draw is not None and not as_json:
        output.print(f"written: {shown(draw)} (of the {DRAWN} split)", soft_wrap=True)


def _list(as_json: bool) -> None:
    sets = {name: dataset(name) for name in dataset_names()}
    if as_json:
        print_json({name: _facts(found) for name, found in sets.items()})
        return
    rows = table("data sets", "name", "events", ">steps", "axes", "values", ">time step")
    for name, found in sets.items():
        encoding = found.encoding
        rows.add_row(name, _kind(found), str(encoding.steps), encoding.axes, encoding.values,
                     _time(found))  # fmt: skip
    output.print(rows)


def _part(split: SplitName, held: Split) -> Part:
    sums = held.events.sum(axis=tuple(range(1, held.events.ndim)), dtype=np.int64)
    shape = [int(size) for size in held.events.shape[1:]]
    return Part(split, len(held.labels), shape, len(np.unique(held.labels)), float(sums.mean()))


def _print(name: str, found: Dataset, parts: list[Part], as_json: bool) -> None:
    if as_json:
        print_json({name: {**_facts(found), "splits": [part._asdict() for part in parts]}})
        return
    facts = table(name, "key", "value")
    for key, value in _lines(found):
        facts.add_row(key, shown(value))
    output.print(facts)
    rows = table("splits", "split", ">n", "sample", ">classes", ">events a sample")
    for part in parts:
        shape = " x ".join(map(str, part.shape))
        rows.add_row(part.split, f"{part.n:,}", shape, str(part.classes), f"{part.events:,.1f}")
    output.print(rows)


def _lines(found: Dataset) -> Iterator[tuple[str, str]]:
    encoding = found.encoding
    yield "events", _kind(found)
    yield "encoding", f"{encoding.steps} steps of {encoding.axes}, {encoding.values}"
    yield "a step", encoding.bin
    yield "time step dt", _time(found)
    if found.credit is not None:
        yield "from", found.credit


def _facts(found: Dataset) -> dict[str, Any]:
    return {
        "simulated": found.simulated,
        "encoding": msgspec.to_builtins(found.encoding),
        "dt": found.dt,
        "credit": found.credit,
    }


def _kind(found: Dataset) -> str:
    return "simulated" if found.simulated else "recorded"


def _time(found: Dataset) -> str:
    return f"{1e3 * found.dt:g} ms"
