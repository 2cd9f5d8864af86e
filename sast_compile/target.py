"""A chip, read from its TOML file into frozen records: data with sources, and no behaviour.

The records say what the chip's registers hold and which passes lower a program to it. Every key is
required and none may be unknown, so that a chip's description has no hidden defaults. A file may
state only what differs from another one (``inherits``); what is read, and what goes into an
artifact, is then the whole text.
"""

from __future__ import annotations

import os
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from sast_compile.catalog import locate_target, suggestion, target_names
from sast_compile.contract import Compare
from sast_compile.errors import BadFile
from sast_compile.files import read_whole
from sast_compile.ir.neuron import Clamp, Rounding
from sast_compile.target_inheritance import inherited

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = "sast-target/1"

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Positive: TypeAlias = Annotated[int, Meta(ge=1)]
Width: TypeAlias = Annotated[int, Meta(ge=1, le=62)]  # bits: sums must fit the 64 of a back end
Exponent: TypeAlias = Annotated[int, Meta(ge=-62, le=62)]
Name: TypeAlias = Annotated[str, Meta(pattern=r"^[\w.\-]+\Z")]  # a part of the artifact's name
Evidence: TypeAlias = Literal["recorded", "oracle", "documented", "unverified"]
NativeReset: TypeAlias = Literal["zero", "subtract", "subtract_after_decay"]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen table of the target file; each ``*low`` is at most the ``*high`` beside it."""

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            if not field.endswith("low"):
                continue
            high = f"{field.removesuffix('low')}high"
            if getattr(self, field) > getattr(self, high):
                least, most = getattr(self, field), getattr(self, high)
                raise ValueError(f"{field} = {least} exceeds {high} = {most}")


class Timing(Table, frozen=True, kw_only=True):
    """``connection_latency``: steps from a spike to the current it makes, in every projection."""

    connection_latency: Count
    longest_delay: Count
    source: str


class Grid(Table, frozen=True, kw_only=True):
    """Weights of b bits, as integers w; the synapse adds ``w 2^(top_bits - b + exponent)``.

    Unsigned grids hold 0..2^b - 1, signed ones -2^(b-1)..2^(b-1) - 1.
    """

    signed: bool
    top_bits: Width


class Weights(Table, frozen=True, kw_only=True):
    """The widths that a weight may have, its exponents, and a signed grid and perhaps another."""

    bits: Annotated[tuple[Width, ...], Meta(min_length=1)]
    exponent_low: Exponent
    exponent_high: Exponent
    grids: dict[str, Grid]  # by the chip's name for its sign mode
    source: str

    def __post_init__(self) -> None:
        super().__post_init__()
        signs = sorted(grid.signed for grid in self.grids.values())
        if signs not in ([True], [False, True]):
            raise ValueError("grids must be one signed grid, and at most one unsigned beside it")


class DecayRegister(Table, frozen=True, kw_only=True):
    """A decay register: ``x <- round(x (2^bits - register - offset) / 2^bits)``."""

    kind: Literal["mul_shift"]
    bits: Width
    offset: Count
    low: Count
    high: Count
    rounding: Rounding


class Register(Table, frozen=True, kw_only=True):
    """A state: the gain on what drives it, its decay, and what happens at the ends of its range."""

    gain: Positive
    clamp: Clamp
    decay: DecayRegister
    source: str


class Neurons(Table, frozen=True, kw_only=True):
    """A population of the chip; no ``synapse`` where a current drives the voltage at once."""

    synapse: Register | None = None
    voltage: Register
    current_limit: Count  # |summed current| that is still exact in the chip's adder
    scope: Literal["population", "neuron"]  # what shares decay and threshold


class Threshold(Table, frozen=True, kw_only=True):
    """A spike when v passes ``register x unit``.

    ``parts``: where a population shares its threshold, into how many it may be split, each with a
    threshold of its own, so that the rows of its weights may have as many scales.
    """

    low: Count
    high: Count
    unit: Positive
    compare: Compare
    spikes_per_step: Positive
    parts: Positive = 1
    source: str


class Bias(Table, frozen=True, kw_only=True):
    """Added to v in every step: ``mantissa 2^exponent``."""

    mantissa_bits: Width
    exponent_low: Exponent
    exponent_high: Exponent
    source: str


class ResetRule(Table, frozen=True, kw_only=True):
    """The resets that the chip's neuron makes, and those that need microcode of one's own.

    ``zero`` and ``subtract`` act in the step of the spike, ``subtract_after_decay`` in the next.
    """

    native: tuple[NativeReset, ...]
    microcode: tuple[NativeReset, ...] = ()  # none where the neuron is hard-wired
    source: str


class Resources(Table, frozen=True, kw_only=True):
    """What a placement must fit; ``unverified`` names the numbers without a primary source."""

    cores: Positive
    neurons_per_core: Positive
    synapse_bytes_per_core: Positive
    unverified: tuple[str, ...]
    source: str


class Target(Table, frozen=True, kw_only=True):
    """One chip, as data."""

    schema: str
    name: Name
    title: str
    evidence: tuple[Evidence, ...]
    source: str
    passes: Annotated[tuple[str, ...], Meta(min_length=1)]
    oracles: tuple[str, ...]  # back ends that run a vendor's own simulator
    time: Timing
    weights: Weights
    neurons: Neurons
    threshold: Threshold
    bias: Bias
    reset: ResetRule
    resources: Resources | None = None  # none where there is nothing to place


def load_target(name: str) -> Target:
    """The target of that name or path; CompileError or BadFile naming the file and the key."""
    return parse_target(read_target_text(name), name)


def read_target_text(name: str) -> str:
    """The text of the target's file; one that inherits is written out whole (`inherited`)."""
    path = locate_target(name)
    text = _read_text(path, name)
    return inherited(text, path, name, _read_text)


def _read_text(path: Path, name: str) -> str:
    if not os.path.exists(path):  # pathlib's raises for some names
        known = ", ".join(target_names())
        raise BadFile("there is no such file", where=name, hint=f"shipped, by name: {known}")
    try:
        return read_whole(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFile(f"is no text in UTF-8: {error.reason}", where=name) from None


def parse_target(text: str, where: str) -> Target:
    """The target that ``text`` describes."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadFile(f"is no TOML: {error}", where=where) from None
    if "schema" not in table:
        raise BadFile("missing key `schema`", where=where, hint=f'schema = "{SCHEMA}"')
    if table["schema"] != SCHEMA:
        raise BadFile(
            f"schema {table['schema']!r} is not the {SCHEMA!r} that this release reads",
            where=where,
            hint="sast-compile and the file are of different ages",
        )
    try:
        return msgspec.convert(table, Target)
    except msgspec.ValidationError as error:
        message = str(error)
        raise BadFile(_plain(message), where=where, hint=_way_out(message)) from None


WORDS = {
    "Object missing required field": "missing key",
    "Object contains unknown field": "unknown key",
    "Expected `object`": "Expected a table",
    "Invalid enum value": "unknown value",
    " - at `$.": ", at `",
}


def _plain(message: str) -> str:
    """msgspec's message in the words of a TOML file."""
    for theirs, ours in WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _way_out(message: str) -> str | None:
    """The nearest key for an unknown one, the choices for an unknown value."""
    if unknown := re.search(r"unknown field `(.*?)`", message):
        keys = {key for table in Table.__subclasses__() for key in table.__struct_fields__}
        return suggestion(unknown[1], keys) if get_close_matches(unknown[1], keys) else None
    if value := re.search(r"enum value.*at `.*?(\w+)(\[\d+\])?`$", message):
        return f"one of {', '.join(_choices(value[1]))}"
    return None


def _choices(key: str) -> tuple[str, ...]:
    """The words that may stand under ``key``."""
    for record in (*Table.__subclasses__(), Clamp):
        hint = get_type_hints(record).get(key)
        for inner in (hint, *get_args(hint)):
            if get_origin(inner) is Literal:
                return get_args(inner)
    return ()
