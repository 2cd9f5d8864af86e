"""A chip, read from its TOML file into frozen records: data with sources, and no behaviour.

The records say what the chip's registers hold and which passes lower a program to it. Every key is
required and none may be unknown, so that a chip's description has no hidden defaults.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from sast_compile.catalog import locate_target
from sast_compile.contract import Compare, ResetKind
from sast_compile.errors import BadFile
from sast_compile.ir.neuron import Clamp, Rounding

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = "sast-target/1"

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Evidence: TypeAlias = Literal["recorded", "oracle", "documented", "unverified"]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen table of the target file."""


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
    top_bits: Count


class Weights(Table, frozen=True, kw_only=True):
    bits: tuple[Count, ...]
    exponent_low: int
    exponent_high: int
    grids: dict[str, Grid]  # by the chip's name for its sign mode
    source: str


class DecayRegister(Table, frozen=True, kw_only=True):
    """A decay register: ``x <- round(x (2^bits - register - offset) / 2^bits)``."""

    kind: Literal["mul_shift"]
    bits: Count
    offset: Count
    low: Count
    high: Count
    rounding: Rounding


class Register(Table, frozen=True, kw_only=True):
    """A state: the gain on what drives it, its decay, and what happens at the ends of its range."""

    gain: Count
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
    """A spike when v passes ``register x unit``."""

    low: Count
    high: Count
    unit: Count
    compare: Compare
    spikes_per_step: Count
    source: str


class Bias(Table, frozen=True, kw_only=True):
    """Added to v in every step: ``mantissa 2^exponent``."""

    mantissa_bits: Count
    exponent_low: int
    exponent_high: int
    source: str


class ResetRule(Table, frozen=True, kw_only=True):
    """The resets that the chip makes by itself, in the step of the spike."""

    native: tuple[ResetKind, ...]
    source: str


class Resources(Table, frozen=True, kw_only=True):
    """What a placement must fit; ``unverified`` names the numbers without a primary source."""

    cores: Count
    neurons_per_core: Count
    synapse_bytes_per_core: Count
    unverified: tuple[str, ...]
    source: str


class Target(Table, frozen=True, kw_only=True):
    """One chip, as data."""

    schema: str
    name: str
    title: str
    evidence: tuple[Evidence, ...]
    source: str
    passes: tuple[str, ...]
    oracles: tuple[str, ...]  # back ends that run a vendor's own simulator
    time: Timing
    weights: Weights
    neurons: Neurons
    threshold: Threshold
    bias: Bias
    reset: ResetRule
    resources: Resources


def load_target(name: str) -> Target:
    """The target of that name or path; CompileError or BadFile naming the file and the key."""
    return parse_target(read_target_text(name), name)


def read_target_text(name: str) -> str:
    """The text of the target's file."""
    path = locate_target(name)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadFile("no such file", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"cannot be read: {error}", where=str(path)) from None


def parse_target(text: str, where: str) -> Target:
    """The target that ``text`` describes."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadFile(f"is no TOML: {error}", where=where) from None
    if table.get("schema") != SCHEMA:
        raise BadFile(f"schema {table.get('schema')!r} is not {SCHEMA!r}", where=where)
    try:
        return msgspec.convert(table, Target)
    except msgspec.ValidationError as error:
        raise BadFile(_plain(str(error)), where=where) from None


def target_path(name: str) -> Path:
    """Where the target's file lies."""
    return locate_target(name)


def _plain(message: str) -> str:
    """msgspec's message in the words of a TOML file."""
    renamed = message.replace("Object missing required field", "missing key")
    renamed = renamed.replace("Object contains unknown field", "unknown key")
    return renamed.replace(" - at `$", " - at `target").replace("`target.", "`")
