"""What was found, as it is stored, and what is tested of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

STORE = Path(__file__).with_name("results.json")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the table.

    ``outcome``: ``exact`` (under the preset), ``told`` (exact, once a user says what the exporter
    lost), ``lost`` (no contract makes it the same), ``refused``, by whom and why in ``said``.
    ``spikes`` are the framework's own, of all populations of all nets.
    """

    framework: str
    direction: str  # "read": its file, by us; "written": our file, by it
    node: str
    made_of: str  # its class
    layers: str
    option: str
    outcome: str
    nets: int
    spikes: int
    differing: int
    ties: int
    told: str = ""
    lost: str = ""
    said: str = ""
    inferred: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        return self.framework, self.direction, self.made_of, self.layers, self.option


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """How many spikes another contract changes, in the file of which it changes most."""

    framework: str
    change: str
    differing: int
    spikes: int
    refused: bool  # it cannot even be computed


class Results(msgspec.Struct, frozen=True, kw_only=True):
    versions: dict[str, dict[str, str]]
    rows: list[Row]
    wrong: list[Wrong]

    def of(self, framework: str) -> list[Row]:
        return [row for row in self.rows if row.framework == framework]


def stored() -> Results:
    return msgspec.json.decode(STORE.read_bytes(), type=Results)


def store(results: Results) -> None:
    data: Any = msgspec.json.format(msgspec.json.encode(results), indent=1)
    STORE.write_bytes(data + b"\n")
