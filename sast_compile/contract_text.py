"""A contract in words: single fields that a user sets, and two contracts side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from sast_compile.contract import Contract, Override
from sast_compile.errors import CompileError

SETTABLE = ("leak", "drive", "synapse", "reset", "reset_when", "compare", "spikes")
UNSAID = "not said"


class Difference(NamedTuple):
    """A field that two contracts fill otherwise, ``overrides.lif2.reset`` for one inside it."""

    field: str
    first: str
    second: str


def changed(contract: Contract, settings: Sequence[str]) -> Contract:
    """``contract`` with ``settings``, each ``field=value`` or ``node.field=value``.

    Raises CompileError naming the setting that is none. A reset of another kind must say when it
    acts too, unless that is in the step of the spike, which every framework has.
    """
    fields: dict[str, Any] = msgspec.to_builtins(contract)
    named: dict[str, str] = {}
    for setting in settings:
        left, equals, value = setting.partition("=")
        node, _, field = left.rpartition(".")
        known = Override.__struct_fields__ if node else SETTABLE
        if not equals or field not in known:
            raise CompileError(
                f"--contract-set {setting}: is no field=value of a contract",
                hint=f"field is one of {', '.join(known)}"
                + ("" if node else "; node.field=value is for one population"),
            )
        its = fields["overrides"].setdefault(node, {}) if node else fields
        its[field] = int(value) if field == "spikes" and value.isdecimal() else value
        named[left] = value
    _check_order(contract, named)
    try:
        return msgspec.convert(fields, type=Contract)
    except msgspec.ValidationError as error:
        text = " ".join(settings)
        raise CompileError(f"--contract-set {text}: {error}") from None


def _check_order(contract: Contract, named: Mapping[str, str]) -> None:
    """Raises CompileError where a reset of another kind keeps an order that is not its own."""
    for left, value in named.items():
        node, _, field = left.rpartition(".")
        its = contract.of(node)
        order = f"{node}.reset_when" if node else "reset_when"
        if field != "reset" or value == its.reset or order in named:
            continue
        if its.reset_when != "after_fire":
            raise CompileError(
                f"--contract-set {left}={value}: the order {its.reset_when} was that of a reset "
                f"{its.reset!r}",
                hint=f"say it too: --contract-set {order}=after_fire, before_decay or after_input",
            )


def differences(first: Contract, second: Contract) -> list[Difference]:
    """Every field that is not the same in both, in the order of the schema."""
    one, other = dict(_flat(msgspec.to_builtins(first))), dict(_flat(msgspec.to_builtins(second)))
    return [
        Difference(field, one.get(field, UNSAID), other.get(field, UNSAID))
        for field in dict.fromkeys((*one, *other))
        if one.get(field) != other.get(field)
    ]


def rows(contract: Contract) -> dict[str, str]:
    """The fields of ``contract`` as words, those of its parts as ``part.field``."""
    return dict(_flat(msgspec.to_builtins(contract)))


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None and (prefix or name != "version"):
            yield f"{prefix}{name}", repr(value) if isinstance(value, float) else str(value)
