"""The accuracy of each model on labelled events, and how many spikes the levels share."""

from __future__ import annotations

from dataclasses import dataclass

from sast_compile.compare import Agreement, agreement, decisions
from sast_compile.execute import execute
from sast_compile.frontend.source import Source
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.levels import hard_spikes, surrogate_spikes
from sast_compile.samples import Samples


@dataclass(frozen=True)
class Levels:
    """Correct decisions of ``n`` at each level, None where there is no such level."""

    n: int
    origin: str
    surrogate: int | None  # L0
    hard: int | None  # L1
    integers: int  # L2 = L3
    drift: tuple[Agreement, ...]  # L1 against L3, by layer


def accuracy_levels(source: Source, program: Program, samples: Samples) -> Levels | None:
    """The levels on ``samples``; None if these have no labels."""
    if samples.labels is None:
        return None
    (output,) = program.outputs
    smooth = surrogate_spikes(source, samples.events)
    hard = hard_spikes(source, samples.events)
    trace = execute(program, samples.events)
    integers = {name: trace[name].spikes for name in program.neurons}
    return Levels(
        n=len(samples.labels),
        origin=samples.origin,
        surrogate=None if smooth is None else _correct(smooth[output], samples.labels),
        hard=None if hard is None else _correct(hard[output], samples.labels),
        integers=_correct(integers[output], samples.labels),
        drift=() if hard is None else tuple(agreement(hard, integers)),
    )


def _correct(output: Array, labels: Array) -> int:
    return int((decisions(output) == labels).sum())
