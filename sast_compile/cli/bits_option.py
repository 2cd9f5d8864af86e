"""``--bits`` and ``--budget``: what they say, and the tables of ``--bits auto``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from sast_compile.chunks import bytes_of
from sast_compile.cli.console import output, shown, table
from sast_compile.errors import CompileError
from sast_compile.report.mixed import Alone, Mixed, Point, in_words
from sast_compile.report.proportions import least_told

AUTO = "auto"
DEFAULT = 8  # bits of layers that are not named


def parse_bits(text: str) -> tuple[int, Mapping[str, int]]:
    """``4``, ``lif1=8,lif2=3`` or ``4,lif1=8``: the bits of most layers, and of those named.

    Raises BadParameter (a wrong command line) where that is not what ``text`` is.
    """
    others: int | None = None
    named: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        try:
            bits = int(number)
        except ValueError:
            raise _bad(f"{text!r}: {number!r} is no number of bits") from None
        if equals and name not in named:
            named[name] = bits
        elif not equals and others is None:
            others = bits
        else:
            raise _bad(f"{text!r} says twice how many bits {name or 'the others'} have")
    return DEFAULT if others is None else others, named


def _bad(what: str) -> typer.BadParameter:
    return typer.BadParameter(f"{what} (4, lif1=8,lif2=3 or {AUTO})", param_hint="'--bits'")


def parse_budget(text: str | None, bits: str) -> int | None:
    """``--budget`` in bytes; CompileError where nothing is chosen by it."""
    if text is None:
        return None
    if bits != AUTO:
        raise CompileError("--budget needs --bits auto")
    return bytes_of(text, "--budget")


def print_mixed(found: Mixed) -> None:
    """What each layer costs alone, and the front with the choice."""
    output.print(
        f"bits by layer, on {shown(found.origin)}; the float network "
        f"{found.before.value:.2%} right", soft_wrap=True,
    )  # fmt: skip
    _print_alone(found)
    _print_front(found)


def _print_alone(found: Mixed) -> None:
    columns = (">bits", ">bytes saved", ">points lost", ">spikes kept", ">v errs by")
    rows = table("each layer alone, the others at the widest", "layer", *columns)
    for one in found.alone:
        error = one.point.errors.get(one.layer)
        rows.add_row(
            shown(one.layer), str(one.bits), f"{one.saved:,}", f"{one.point.points:.2f}",
            f"{one.point.agreement:.2%}", "" if error is None else f"{error:.2%}",
        )  # fmt: skip
    output.print(rows)


def _print_front(found: Mixed) -> None:
    columns = (">bytes", ">accuracy", ">95 %", ">points lost", ">spikes kept", "")
    rows = table(f"front (n = {found.before.n})", "bits", *columns)
    for point in found.front:
        low, high = (-100 * end for end in (point.change.high, point.change.low))
        rows.add_row(
            shown(in_words(point.bits_of)), f"{point.size:,}", f"{point.after.value:.2%}",
            f"{point.after.low:.2%}..{point.after.high:.2%}",
            f"{point.points:.2f} ({low:.2f}..{high:.2f})", f"{point.agreement:.2%}",
            "[bold green]chosen[/]" if point is found.chosen else "",
        )  # fmt: skip
    output.print(rows)
    told = 100 * least_told(found.before.n)
    output.print(f"n = {found.before.n} tells no loss below {told:.2g} points from chance")


def mixed_document(found: Mixed) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "origin": found.origin,
        "before": found.before._asdict(),
        "alone": [_alone(one) for one in found.alone],
        "front": [_point(point) for point in found.front],
        "chosen": _point(found.chosen),
    }


def _alone(one: Alone) -> dict[str, Any]:
    return {"layer": one.layer, "bits": one.bits, "bytes_saved": one.saved, **_point(one.point)}


def _point(point: Point) -> dict[str, Any]:
    return {
        "bits_of": dict(point.bits_of),
        "bytes": point.size,
        "after": point.after._asdict(),
        "change": point.change._asdict(),
        "points": point.points,
        "agreement": point.agreement,
        "membrane_error": dict(point.errors),
    }
