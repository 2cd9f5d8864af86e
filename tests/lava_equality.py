"""Lava beside the reference interpreter, value by value; silence and clamps are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.backends import reference
from sast_compile.backends.lava import run_many
from sast_compile.ir.program import Program
from sast_compile.trace import Tally, Trace

Array: TypeAlias = npt.NDArray[Any]
Case: TypeAlias = tuple[Program, Array | Mapping[str, Array]]
Tallies: TypeAlias = dict[str, Tally]  # by layer


def differences(found: Trace, wanted: Trace) -> dict[str, int]:
    """By layer: how many spikes, u and v differ."""
    assert list(found.layers) == list(wanted.layers)
    return {
        name: int((found[name].spikes != layer.spikes).sum())
        + sum(int((found[name].states[s] != layer.states[s]).sum()) for s in layer.states)
        for name, layer in wanted.layers.items()
    }


def assert_equal_on_lava(cases: Sequence[Case]) -> list[Tallies]:
    """Every case is identical on Lava; the tallies of the reference, by case and layer."""
    lava = run_many(cases).traces
    expected = [reference.run(program, events, "states") for program, events in cases]
    found = [differences(a, b) for a, b in zip(lava, expected, strict=True)]
    names = [program.name for program, _ in cases]
    unequal = {n: case for n, case in zip(names, found, strict=True) if any(case.values())}
    assert not unequal, unequal
    for trace, (program, _) in zip(lava, cases, strict=True):
        for name, layer in trace.layers.items():
            assert set(layer.states) == {"u", "v"}
            if program.neurons[name].fire:
                assert layer.spikes.dtype == np.uint8
            else:
                assert (layer.spikes == layer.states["v"]).all()
    return [{n: layer.tally or Tally() for n, layer in t.layers.items()} for t in expected]


def assert_lively(cases: Sequence[Case], tallies: Sequence[Tallies]) -> None:
    """Every layer that fires did, and not always: else an equality shows little."""
    for (program, events), case in zip(cases, tallies, strict=True):
        first = next(iter(events.values())) if isinstance(events, Mapping) else events
        for name, op in program.neurons.items():
            chances = int(np.prod([*first.shape[:2], *op.shape]))
            if op.fire:
                assert 0 < case[name].spikes < chances, (program.name, name)
