"""Bits layer by layer, by what they cost on the validation split: ``--bits auto``.

Each layer alone at each width, all others at the widest, says what a bit of it is worth. From the
widest everywhere, that layer is then narrowed by a width that loses least for each bit it frees,
until all are at the narrowest. Losses do not add up, so every network on the way is compiled and
measured, and so are those of one width; the choice is among what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from sast_compile.compare import agreement
from sast_compile.compile import BITS, Compiled
from sast_compile.errors import CompileError, TargetLimit
from sast_compile.execute import execute
from sast_compile.ir.ops import Projection
from sast_compile.ir.program import Program
from sast_compile.passes.feeders import feeders
from sast_compile.report.fit import weight_bytes, weights_into
from sast_compile.report.guard import decided_right, labelled
from sast_compile.report.proportions import Change, Share, change_of, share_of
from sast_compile.target import Target

SPIKES = 500  # samples whose spikes are compared: their records have to be in memory

Widths = tuple[int, ...]  # by layer, in the program's order


# the model compiled at so many bits, and at others in the layers that are named
Compile: TypeAlias = Callable[[int, Mapping[str, int]], Compiled]


@dataclass(frozen=True)
class Point:
    """A network as it was compiled and measured.

    ``size`` is in bytes (`weight_bytes`, all layers); ``agreement`` the mean over layers that fire
    of spikes matched over union, beside the float network; ``errors`` what v errs by layer in parts
    of the threshold, as the passes estimate it without labels, where they do.
    """

    bits_of: Mapping[str, int]
    size: int
    after: Share
    change: Change
    agreement: float
    errors: Mapping[str, float]

    @property
    def points(self) -> float:
        """Hundredths of the samples that are lost; negative where some are gained."""
        return 100 * (self.change.lost - self.change.gained) / self.change.n

    @property
    def worth(self) -> tuple[float, float]:
        """What is given up, least first. More right than the floats counts as chance."""
        return max(0.0, self.points), -self.agreement

    def beats(self, other: Point) -> bool:
        """Nowhere worse than ``other``, and somewhere better."""
        ours, theirs = (self.size, *self.worth), (other.size, *other.worth)
        return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


@dataclass(frozen=True)
class Alone:
    """One layer at ``bits``, all others at the widest, which frees ``saved`` bytes."""

    layer: str
    bits: int
    saved: int
    point: Point


@dataclass(frozen=True)
class Mixed:
    """What was measured on ``origin``, and what was ``chosen`` of its ``front``, widest first."""

    origin: str
    before: Share
    alone: tuple[Alone, ...]
    front: tuple[Point, ...]
    chosen: Point


def mixed(
    compile_at: Compile,
    target: Target,
    budget: int | None,
    max_drop: float | None,
    told: Callable[[str], None] = lambda what: None,
) -> Mixed:
    """The bits of every layer within ``budget`` bytes, that lose at most ``max_drop`` points.

    With ``max_drop`` the fewest bytes of those that hold; with a budget alone those that lose
    least. ``told`` hears what is being measured. Raises CompileError without either, without
    labelled data, and where nothing measured holds.
    """
    if budget is None and max_drop is None:
        raise CompileError("--bits auto needs --budget, --max-drop, or both")
    measure = _Measure(compile_at, target, told)
    _check_budget(measure, budget)
    alone = tuple(_alone(measure))
    wanted = [*_path(measure, alone), *(measure.uniform(bits) for bits in measure.widths)]
    points = [*(one.point for one in alone), *map(measure.point, wanted)]
    front = {tuple(p.bits_of.values()): p for p in points if not any(q.beats(p) for q in points)}
    ordered = tuple(sorted(front.values(), key=lambda p: (-p.size, p.worth)))
    before = share_of(int(measure.before.sum()), measure.samples.count)
    return Mixed(measure.samples.origin, before, alone, ordered, _chosen(ordered, budget, max_drop))


class _Measure:
    """Networks of one model at any widths, each compiled and measured once."""

    def __init__(self, compile_at: Compile, target: Target, told: Callable[[str], None]) -> None:
        self.compile_at, self.told = compile_at, told
        self.widths = sorted(set(target.weights.bits) & set(BITS))
        if not self.widths:
            raise TargetLimit("has no weights of 2 to 8 bits", where=target.name)
        compiled = compile_at(self.widths[-1], {})
        self.source, self.program = compiled.source, _integers(compiled)
        self.layers = tuple(self.program.neurons)
        self.samples = labelled(self.source, "--bits auto")
        self.seen: dict[Widths, Point] = {}

    @cached_property
    def before(self) -> np.ndarray:
        """Which samples the float network decides right."""
        return decided_right(self.source.program, self.samples)

    @cached_property
    def spikes(self) -> dict[str, np.ndarray]:
        """The float network's spikes in the layers that fire."""
        floats = self.source.program
        trace = execute(floats, self.samples.array(0, self.compared))
        return {n: trace[n].spikes for n, op in floats.neurons.items() if op.fire is not None}

    @property
    def compared(self) -> int:
        return min(SPIKES, self.samples.count)

    def uniform(self, bits: int) -> Widths:
        return (bits,) * len(self.layers)

    def size(self, widths: Widths) -> int:
        """Bytes of all weights."""
        each = zip(self.layers, widths, strict=True)
        return sum(weight_bytes(self.program, name, bits) for name, bits in each)

    def point(self, widths: Widths) -> Point:
        if widths not in self.seen:
            self.seen[widths] = self._measured(widths)
        return self.seen[widths]

    def _measured(self, widths: Widths) -> Point:
        bits_of = dict(zip(self.layers, widths, strict=True))
        self.told(in_words(bits_of))
        compiled = self.compile_at(max(widths), bits_of)
        program = _integers(compiled)
        after, n = decided_right(program, self.samples), self.samples.count
        lost, gained = int((self.before & ~after).sum()), int((after & ~self.before).sum())
        trace = execute(program, self.samples.array(0, self.compared))
        found = {name: trace[name].spikes for name in self.spikes}
        shares = [layer.share for layer in agreement(self.spikes, found)]
        return Point(
            bits_of,
            self.size(widths),
            share_of(int(after.sum()), n),
            change_of(lost, gained, n),
            float(np.mean(shares)) if shares else 1.0,
            _errors(compiled),
        )


def in_words(bits_of: Mapping[str, int]) -> str:
    """As ``--bits`` takes it: ``lif1=8,lif2=3``."""
    return ",".join(f"{name}={bits}" for name, bits in bits_of.items())


def _integers(compiled: Compiled) -> Program:
    if compiled.artifact is None:
        raise CompileError("--bits auto needs all passes", hint="without --stop-after")
    return compiled.artifact.program


def _errors(compiled: Compiled) -> dict[str, float]:
    """What v errs by layer in parts of the threshold, where the pass has said it."""
    step = next(step for step in compiled.steps if step.name == "quantize_weights")
    said = {note.node: note.numbers.get("membrane_error") for note in step.notes}
    found: dict[str, float] = {}
    for name in step.program.neurons:
        for feeder in feeders(step.program, name):
            op = step.program.by_name[feeder].op
            error = said.get(op.weight.name) if isinstance(op, Projection) else None
            if error is not None:
                found[name] = error
    return found


def _check_budget(measure: _Measure, budget: int | None) -> None:
    narrowest = measure.widths[0]
    least = measure.size(measure.uniform(narrowest))
    if budget is not None and least > budget:
        raise CompileError(
            f"all weights take {least:,} bytes at {narrowest} bits, more than the {budget:,} asked",
            where=measure.source.path,
            hint=f"--budget {least} or more",
        )


def _alone(measure: _Measure) -> Iterator[Alone]:
    """Every layer at every width, the widest first."""
    widest = measure.uniform(measure.widths[-1])
    for at, layer in enumerate(measure.layers):
        for bits in reversed(measure.widths):
            point = measure.point((*widest[:at], bits, *widest[at + 1 :]))
            yield Alone(layer, bits, measure.size(widest) - point.size, point)


def _path(measure: _Measure, alone: Sequence[Alone]) -> Iterator[Widths]:
    """From the widest everywhere to the narrowest, each time the step that costs least a bit."""
    losses = {layer: _losses(alone, layer) for layer in measure.layers}
    weights = [
        sum(w.type.size for w in weights_into(measure.program, name)) for name in measure.layers
    ]
    widths = measure.uniform(measure.widths[-1])
    yield widths
    while widths != measure.uniform(measure.widths[0]):
        steps: list[tuple[tuple[float, ...], Widths]] = []
        for at, layer in enumerate(measure.layers):
            bits = widths[at]
            narrower = max((b for b in measure.widths if b < bits), default=None)
            if narrower is not None:
                freed = weights[at] * (bits - narrower)
                before, after = losses[layer][bits], losses[layer][narrower]
                cost = tuple((b - a) / freed for a, b in zip(before, after, strict=True))
                steps.append((cost, (*widths[:at], narrower, *widths[at + 1 :])))
        widths = min(steps, key=lambda step: step[0])[1]
        yield widths


def _losses(alone: Sequence[Alone], layer: str) -> dict[int, tuple[float, float]]:
    """Points and agreement lost in ``layer`` by width; fewer bits are never taken to be better."""
    found: dict[int, tuple[float, float]] = {}
    points = disagreement = 0.0
    for one in alone:
        if one.layer == layer:
            points = max(points, one.point.points)
            disagreement = max(disagreement, 1 - one.point.agreement)
            found[one.bits] = points, disagreement
    return found


def _chosen(front: Sequence[Point], budget: int | None, max_drop: float | None) -> Point:
    within = [p for p in front if budget is None or p.size <= budget]
    if max_drop is None:
        return min(within, key=lambda p: (p.worth, p.size))
    held = [p for p in within if p.points <= max_drop]
    if not held:
        best = min(within, key=lambda p: p.worth)
        room = "" if budget is None else f" within {budget:,} bytes"
        raise CompileError(
            f"nothing measured{room} loses at most {max_drop:g} points: least {best.points:.2f}, "
            f"{in_words(best.bits_of)}",
            hint=f"--max-drop {best.points:.3g} or more"
            + (", or a larger --budget" if room else ""),
        )
    return min(held, key=lambda p: (p.size, p.worth))
