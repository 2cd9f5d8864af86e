"""What a pass takes and gives: a program and a target, and a program with notes on what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.target import Target

Rounding: TypeAlias = Literal["membrane", "nearest"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Events of the task, and what a program that is lowered half way makes of them.

    ``events``: (samples, steps, *input shape); ``origin`` says in words which they are. ``spikes``
    lowers the rest of a program without calibration and gives the spikes of every population,
    (samples, steps, *shape).
    """

    events: Array
    origin: str
    spikes: Callable[[Program], Mapping[str, Array]]


@dataclass(frozen=True)
class Options:
    """What the user chose: ``bits`` of a weight, and ``steps`` of a sample where they are known.

    ``bits_of`` names populations whose weights have other bits than ``bits`` (`bits_for`).
    ``event_rate``: the largest share of an input's elements that is other than 0 in one step; what
    is proven is then proven for such inputs only. ``rounding``: every number to the nearest that
    its register holds, or all of them together so that v errs least at the threshold; then on the
    events of ``calibration``, or without them on independent spikes.
    """

    bits: int = 8
    steps: int | None = None
    event_rate: float | None = None
    rounding: Rounding = "membrane"
    calibration: Calibration | None = None
    bits_of: Mapping[str, int] = field(default_factory=dict)

    def bits_for(self, population: str) -> int:
        """The bits of every weight into ``population``, whose currents are added."""
        return self.bits_of.get(population, self.bits)

    @property
    def inputs(self) -> str:
        """For which inputs a proof holds, in words."""
        if self.event_rate is None:
            return "any input"
        return f"any input with at most {self.event_rate:.4g} of its elements active in a step"


@dataclass(frozen=True)
class Note:
    """One thing that a pass did to a node, in words and in numbers."""

    node: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Lowered:
    """The program after a pass, and what the pass changed."""

    program: Program
    notes: tuple[Note, ...] = ()


Pass: TypeAlias = Callable[[Program, Target, Options], Lowered]
