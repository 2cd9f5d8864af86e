"""Reads the facts beside a program in text, and checks them on a back end.

The grammar of facts is in programs/README.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.ir.program import Program
from sast_compile.trace import Layer, Trace

FOLDER = Path(__file__).parent / "programs"
FACT = re.compile(r"(?P<key>[a-z]\w*)(?: (?P<node>[\w.\-]+))?: (?P<value>.+)", re.DOTALL)

Events: TypeAlias = Mapping[str, npt.NDArray[Any]]  # by input: (samples, steps, *shape)
Backend: TypeAlias = Callable[[Program, Events], Trace]  # records spikes and states of all layers


@dataclass(frozen=True)
class Fact:
    """``; key node: value``; ``line`` is where it stands."""

    line: int
    key: str
    node: str | None
    value: str


@dataclass(frozen=True)
class Run:
    """One sample: the events of each input, and what must be seen of it."""

    line: int
    events: Mapping[str, Any]
    returned: Any
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Facts:
    """All that a file says about its program."""

    runs: tuple[Run, ...] = ()
    error: str | None = None
    prints_same: bool = False
    body: str = field(default="", repr=False)  # the file without remarks and facts


def read_facts(text: str) -> Facts:
    """The facts of a program file; ValueError for a line that is none."""
    facts, error, prints_same = list[Fact](), None, False
    for fact in _facts(text):
        if fact.key == "error":
            error = fact.value
        elif fact.key == "prints" and fact.value == "same":
            prints_same = True
        else:
            facts.append(fact)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(";")]
    body = "\n".join(lines) + "\n"
    return Facts(tuple(_runs(facts)), error, prints_same, body)


def _facts(text: str) -> list[Fact]:
    """Fact lines with their continuation lines; ``;;`` is a remark."""
    parts: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith(";") or line.startswith(";;"):
            continue
        if line.startswith(";    ") and parts:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]} {line[1:].strip()}")
        else:
            parts.append((number, line[1:].strip()))
    found: list[Fact] = []
    for number, part in parts:
        match = FACT.fullmatch(part)
        if match is None:
            raise ValueError(f"line {number} is no fact: {part}")
        found.append(Fact(number, match["key"], match["node"], match["value"]))
    return found


def _runs(facts: list[Fact]) -> list[Run]:
    runs: list[Run] = []
    for fact in facts:
        if fact.key == "run":
            events, returned = fact.value.split("->")
            given = {fact.node or "": json.loads(events)}
            runs.append(Run(fact.line, given, json.loads(returned), ()))
        elif not runs:
            raise ValueError(f"line {fact.line}: a fact about a run stands before the run")
        elif fact.key == "input" and fact.node:
            more = {**runs[-1].events, fact.node: json.loads(fact.value)}
            runs[-1] = replace(runs[-1], events=more)
        else:
            runs[-1] = replace(runs[-1], facts=(*runs[-1].facts, fact))
    return runs


def check_run(program: Program, run: Run, backend: Backend) -> None:
    """Asserts every fact of ``run`` on what ``backend`` computes."""
    events = {name or program.inputs[0]: np.array([rows]) for name, rows in run.events.items()}
    trace = backend(program, events)
    returned = trace[program.outputs[0]].spikes[0]
    assert_same(returned, run.returned, f"line {run.line}: {program.outputs[0]}")
    for fact in run.facts:
        if fact.node is None or fact.node not in trace.layers:
            raise ValueError(f"line {fact.line}: no record of {fact.node}")
        where = f"line {fact.line}: {fact.key} {fact.node}"
        if fact.key == "tally":
            _check_tally(trace[fact.node], fact.value, where)
        else:
            recorded = _record(trace[fact.node], fact.key, where)
            assert_same(recorded[0], json.loads(fact.value), where)


def _record(layer: Layer, key: str, where: str) -> npt.NDArray[Any]:
    if key == "spikes":
        return layer.spikes
    if key not in layer.states:
        raise ValueError(f"{where} is no fact: the states are {sorted(layer.states)}")
    return layer.states[key]


def _check_tally(layer: Layer, value: str, where: str) -> None:
    """A back end that counts nothing leaves the tally out."""
    if layer.tally is None:
        return
    for item in value.split():
        name, _, wanted = item.partition("=")
        kind, _, state = name.partition(".")
        count = layer.tally.clamped[state] if kind == "clamped" else getattr(layer.tally, kind)
        assert count == int(wanted), f"{where}: {name} is {count}, not {wanted}"


def assert_same(found: npt.NDArray[Any], wanted: Any, where: str) -> None:
    """Integers are equal; floats up to the last bits, for sums may be ordered differently."""
    expected = np.array(wanted)
    assert found.shape == expected.shape, f"{where}: shape {found.shape}, not {expected.shape}"
    same = (
        np.isclose(found, expected, rtol=1e-12, atol=1e-12)
        if found.dtype.kind == "f"
        else found == expected
    )
    for index in np.argwhere(~same)[:1]:
        at = tuple(int(i) for i in index)
        raise AssertionError(
            f"{where}: step {at[0]}, element {at[1:]} is {found[at]}, not {expected[at]}\n"
            f"found:\n{found.tolist()}\nwanted:\n{expected.tolist()}"
        )
