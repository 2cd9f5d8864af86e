"""What a seed draws: a program with its events, and the graph that it came from if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.frontend.source import Source
from sast_compile.ir.ops import Input
from sast_compile.ir.program import Program

Array: TypeAlias = npt.NDArray[Any]
Batch: TypeAlias = Mapping[str, Array]  # by input: (samples, steps, *shape)
Generator: TypeAlias = np.random.Generator


@dataclass(frozen=True, eq=False)
class Case:
    """One program; ``source`` is what the torch integer model is made of."""

    seed: int
    kind: str  # how it was drawn, in a word or two
    program: Program
    events: Batch
    source: Source | None = None


@dataclass(frozen=True)
class Refused:
    """A seed whose graph the compiler does not take, by name."""

    seed: int
    kind: str
    reason: str


def duration(rng: Generator) -> tuple[int, int]:
    """Samples and steps: mostly some tens of steps, now and then a few or hundreds."""
    kind = rng.random()
    if kind < 0.06:
        return int(rng.integers(1, 6)), int(rng.integers(1, 5))
    if kind < 0.12:
        return 1, int(rng.integers(150, 400))
    return int(rng.integers(1, 4)), int(rng.integers(8, 36))


def events_of(program: Program, rng: Generator, samples: int, steps: int) -> dict[str, Array]:
    """Events of any density; graded ones lie anywhere in their range, and at its ends."""
    drawn = {}
    for node in program.nodes:
        if isinstance(node.op, Input):
            density = rng.choice([0.05, 0.2, 0.4, 0.6, 0.9, 1.0])
            drawn[node.name] = _values(rng, node.op, (samples, steps, *node.op.shape), density)
    return drawn


def _values(rng: Generator, op: Input, shape: tuple[int, ...], density: float) -> Array:
    active = rng.random(shape) < density
    if op.bits == 1 and not op.signed:
        return active.astype(np.int64)
    low = -(1 << op.bits - 1) if op.signed else 0
    high = (1 << op.bits - op.signed) - 1
    values = rng.integers(low, high, shape, endpoint=True)
    at_the_end = rng.random(shape) < 0.1
    values = np.where(at_the_end, rng.choice([low, high], shape), values)
    return values * active
