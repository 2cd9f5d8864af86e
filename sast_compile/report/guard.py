"""What a compile costs in accuracy on data that chose nothing: ``--max-drop``.

Measured on the validation split, never on the test split: a setting that is changed until this
passes is a setting chosen on that data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import UnsetType

from sast_compile.compile import BITS, Compiled
from sast_compile.errors import CompileError, Unsupported
from sast_compile.frontend.source import Source
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.report.drift.programs import float_form
from sast_compile.report.drift.variants import fine
from sast_compile.report.proportions import Change, Share, change_of, least_told, share_of
from sast_compile.report.totals import totals
from sast_compile.samples import Samples, samples_for

SPLIT = "validation"


@dataclass(frozen=True)
class Drop:
    """What the integers decide right beside the float hard-spike network, on the same samples.

    ``allowed`` is in points: hundredths of the samples.
    """

    origin: str
    before: Share
    after: Share
    change: Change
    allowed: float

    @property
    def points(self) -> float:
        """How many points are lost; negative where some are gained."""
        return 100 * (self.change.lost - self.change.gained) / self.change.n

    @property
    def held(self) -> bool:
        return self.points <= self.allowed

    @property
    def tells(self) -> bool:
        """Whether so many samples can tell a loss of ``allowed`` points from chance at all."""
        return 100 * least_told(self.change.n) <= self.allowed

    def document(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "origin": self.origin,
            "before": self.before._asdict(),
            "after": self.after._asdict(),
            "change": self.change._asdict(),
            "points": self.points,
            "allowed": self.allowed,
            "tells": self.tells,
        }

    def __str__(self) -> str:
        """The drop in one sentence, with n and its 95 % interval."""
        low, high = (-100 * end for end in (self.change.high, self.change.low))
        n = self.change.n
        few = "" if self.tells else (
            f"; n = {n} tells no loss below {100 * least_told(n):.2g} points from chance"
        )  # fmt: skip
        return (
            f"{self.before.value:.2%} -> {self.after.value:.2%}, {self.points:.2f} points lost "
            f"[{low:.2f}, {high:.2f}], {self.allowed:g} allowed ({self.origin}, n = {n}, "
            f"McNemar's p = {self.change.p:.2g}){few}"
        )


def held_drop(compiled: Compiled, allowed: float) -> Drop:
    """The drop of a compiled model, if it is at most ``allowed`` points.

    Raises CompileError where the model names no labelled data or holds no floats, and where more is
    lost: then with the layer that costs most, and what to try.
    """
    integers, samples = _program(compiled), labelled(compiled.source, "--max-drop")
    before = decided_right(compiled.source.program, samples)
    drop = _drop(before, decided_right(integers, samples), samples, allowed)
    if not drop.held:
        raise _refusal(compiled, drop, before, samples)
    return drop


def _program(compiled: Compiled) -> Program:
    if compiled.artifact is None:
        raise CompileError("--max-drop needs all passes", hint="without --stop-after")
    return compiled.artifact.program


def labelled(source: Source, option: str) -> Samples:
    """The validation split of the model's own data set, which ``option`` needs."""
    if not source.has_floats:
        raise CompileError("holds integers: there is no accuracy to lose", where=source.path)
    samples = samples_for(source.program, source.contract, source.dataset, None, SPLIT)
    if samples.labels is None:
        raise CompileError(
            f"{option} needs labelled data, and there are {samples.origin}",
            where=source.path,
            hint="a checkpoint whose provenance names a data set: `sast-compile data` lists them",
        )
    return samples


def decided_right(program: Program, samples: Samples) -> Array:
    """Which samples a program decides as their labels say."""
    (decided,) = totals(program, samples).decisions.values()  # a labelled set has one output
    return np.asarray(decided == samples.labels)


def _drop(before: Array, after: Array, samples: Samples, allowed: float) -> Drop:
    n = samples.count
    return Drop(
        samples.origin,
        share_of(int(before.sum()), n),
        share_of(int(after.sum()), n),
        change_of(int((before & ~after).sum()), int((after & ~before).sum()), n),
        allowed,
    )


def _refusal(compiled: Compiled, drop: Drop, before: Array, samples: Samples) -> CompileError:
    """Too much is lost; where most of it is, by what fine parameters in each layer alone regain."""
    floats, integers = float_form(compiled.source.program, compiled.target), _program(compiled)
    found: dict[str, Array] = {}
    for name in integers.neurons:
        try:
            found[name] = decided_right(fine(floats, integers, [name]), samples)
        except Unsupported:  # a chip whose leak has no finer one names no layer
            return CompileError(f"accuracy {drop}", hint=_way(compiled, None))
    worst = max(found, key=lambda name: (int(found[name].sum()), int((found[name] & before).sum())))
    regained = _drop(before, found[worst], samples, drop.allowed)
    if regained.change.value <= drop.change.value:
        return CompileError(
            f"accuracy {drop}; no layer alone would regain any of it", hint=_way(compiled, None)
        )
    return CompileError(
        f"accuracy {drop}; {worst} costs most: with fine parameters there alone "
        f"{regained.after.value:.2%}",
        where=worst,
        hint=_way(compiled, worst),
    )


def _way(compiled: Compiled, layer: str | None) -> str:
    """What to try, of what there is."""
    assert compiled.artifact is not None
    used = compiled.artifact.provenance
    mixed = None if isinstance(used.bits_of, UnsetType) or layer is None else used.bits_of
    taken = used.bits if mixed is None or layer is None else mixed[layer]
    more = [b for b in compiled.target.weights.bits if b > taken and b in BITS]
    ways = ["train with the chip's rounding at the end (a hardware stage, docs/training.md)"]
    if more:
        named = "" if layer is None or mixed else f", for {layer} above all"
        ways.insert(0, f"--bits {f'{layer}=' if mixed else ''}{min(more)} or more{named}")
    if isinstance(used.calibration, UnsetType):
        ways.insert(0, "--calibrate")
    return "; or ".join(ways)
