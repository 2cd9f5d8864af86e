"""A framework's file, read under a contract, held against the framework's own spikes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace

from frameworks.ask import Answer
from frameworks.cases import DT, Case
from frameworks.nets import SAMPLES, Array, Net
from sast_compile.backends import reference
from sast_compile.contract import Contract
from sast_compile.errors import CompileError
from sast_compile.frontend.nir_file import parse_nir
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.presets import PRESETS, named_contract

QUIET, LOUD = 0.01, 0.99  # of the neurons' steps: outside, a population proves nothing


@dataclass(frozen=True)
class Found:
    """Of all populations of the nets compared: spikes of the framework, spikes that differ from
    them, and voltages of ours that meet their threshold exactly."""

    spikes: int
    differing: int
    ties: int
    refused: str | None = None

    def __add__(self, other: Found) -> Found:
        return Found(
            self.spikes + other.spikes,
            self.differing + other.differing,
            self.ties + other.ties,
            self.refused or other.refused,
        )


NOTHING = Found(0, 0, 0)


def contract_of(case: Case) -> Contract:
    """The framework's preset, with what a user must say besides."""
    return replace(default_contract(case.framework), **case.told)


def default_contract(framework: str) -> Contract:
    """The framework's preset, at the time step of the files that are made here."""
    return named_contract(framework, DT[framework])


def compared(net: Net, file: bytes, spikes: Sequence[Array], contract: Contract) -> Found:
    """L1 of the ``file`` against the framework's ``spikes``, population by population."""
    own = sum(int(s.sum()) for s in spikes)
    try:
        program = to_program(parse_nir(file, "net.nir"), contract, "net")
    except CompileError as error:
        return Found(own, 0, 0, str(error))
    trace = reference.run(program, net.events)
    names = list(program.neurons)
    assert len(names) == len(spikes), (names, len(spikes))
    differing = sum(
        int((trace[name].spikes != theirs).sum())
        for name, theirs in zip(names, spikes, strict=True)
    )
    ties = sum(trace[name].tally.ties for name in names)
    return Found(own, differing, ties)


def active(answer: Answer) -> bool:
    """Whether every population fires in every sample, and none of them always."""
    return all(
        s.reshape(SAMPLES, -1).any(axis=1).all() and QUIET < np.mean(s > 0) < LOUD
        for s in answer.spikes
    )


def same_graph(one: bytes, other: bytes) -> bool:
    """Whether two files say the same, whatever the order of their nodes and edges."""
    a, b = parse_nir(one, "one"), parse_nir(other, "other")
    return set(a.edges) == set(b.edges) and dict(_numbers(a)) == dict(_numbers(b))


def _numbers(graph: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, node in graph.nodes.items():
        if type(node).__name__ == "NIRGraph":
            yield from _numbers(node, f"{prefix}{name}.")
            continue
        for key, value in vars(node).items():
            if key not in ("metadata", "input_type", "output_type"):
                yield f"{prefix}{name}.{key}", np.asarray(value).tolist()


def wrong_contracts(contract: Contract) -> Mapping[str, Contract]:
    """``contract`` with one of its choices made otherwise, by the words for it."""
    choices: dict[str, Sequence[Any]] = {
        "leak": ("euler", "exact"),
        "drive": ("nir", "step", "unit"),
        "synapse": ("nir", "unit", "decayed"),
        "compare": (">", ">="),
        "spikes": (1, 2),
    }
    changes = [{key: value} for key, values in choices.items() for value in values]
    changes += [
        {"reset": reset, "reset_when": when}
        for reset in ("zero", "subtract")
        for when in ("after_fire", "after_decay", "after_input")
    ]
    changes += [{"dt": 2 * contract.dt}, {"feedback": 2}]
    found = {}
    for change in changes:
        changed = replace(contract, **change)
        if changed != contract:
            found[" ".join(f"{k}={v}" for k, v in change.items() if k != "dt") or "dt doubled"] = (
                changed
            )
    return found


def other_presets(framework: str) -> Mapping[str, Contract]:
    """Every other preset, at the time step of this framework's files."""
    dt = PRESETS[framework].contract.dt if DT[framework] is None else DT[framework]
    return {name: named_contract(name, dt) for name in PRESETS if name != framework}


def spikes_that_differ(one: Sequence[Array], other: Sequence[Array]) -> int:
    return sum(int((a != b).sum()) for a, b in zip(one, other, strict=True))
