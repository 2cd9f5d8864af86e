"""How the emulator's time grows: with density, width, batch, steps and depth.

One dense layer 2312 to 512, 16 samples of 100 steps, 2 % of the inputs active, one thread, and from
there one quantity at a time; for density and width also with code for AVX2 only. Depth adds layers
512 to 512, of which each fires more than the one before: look at operations, not at time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.emulator.emulated import emulator
from benchmarks.emulator.handover import Events, emulate, ready, warmed
from benchmarks.emulator.rounds import Contestant, Setting, Spread, interleaved, rate
from benchmarks.emulator.workloads import bernoulli, dense_program
from sast_compile.ir.program import Program
from sast_compile.report.synops import synops

INPUTS, WIDTH, SHARE, SAMPLES, STEPS = 2312, 512, 0.02, 16, 100
HOST, NARROW = "this machine", "AVX2 only"
CURVES: dict[str, tuple[str, tuple[float, ...]]] = {
    "density": ("inputs active, %", (0, 0.5, 1, 2, 5, 10, 20, 50)),
    "width": ("neurons, 2 % of the inputs active", (64, 128, 256, 512, 1024, 2048, 4096)),
    "batch": ("samples at a time", (1, 4, 16, 64, 256)),
    "steps": ("steps of a sample", (10, 30, 100, 300, 1000)),
    "depth": ("layers", (1, 2, 4, 8)),
}
NARROWED = ("density", "width")  # the curves that AVX2 has too


@dataclass(frozen=True)
class Point:
    """One place of a curve: microseconds for a step, and 10^9 operations a second."""

    curve: str
    line: str
    x: float
    microseconds: Spread
    operations: Spread


def measured(rounds: int, seconds: float, thinned: bool = False) -> list[Point]:
    """All points, interleaved; ``thinned``: only the first and the last of each curve."""
    contestants: list[Contestant] = []
    cases: dict[Setting, tuple[str, str, float, int, float]] = {}
    for curve, (_, xs) in CURVES.items():
        for x in (xs[0], xs[-1]) if thinned else xs:
            program, events = _case(curve, x)
            per_step = _operations(program, events)
            for line in (HOST, NARROW) if curve in NARROWED else (HOST,):
                setting = Setting(f"{curve} {x:g} {line}", len(events))
                cases[setting] = (curve, line, x, events.shape[1], per_step)
                contestants.append(_contestant(setting, program, events, line, seconds))
    found = interleaved(contestants, rounds)
    return list(_points(found, cases))


def _points(
    found: dict[Setting, list[float]],
    cases: dict[Setting, tuple[str, str, float, int, float]],
) -> Iterator[Point]:
    for setting, (curve, line, x, steps, per_step) in cases.items():
        in_a_second = [value * steps for value in found[setting]]
        yield Point(
            curve,
            line,
            x,
            Spread.of([1e6 / n for n in in_a_second]),
            Spread.of([n * per_step / 1e9 for n in in_a_second]),
        )


def _case(curve: str, x: float) -> tuple[Program, Events]:
    """The program and the events of one place of a curve."""
    samples, steps, share = SAMPLES, STEPS, SHARE
    sizes: tuple[int, ...] = (INPUTS, WIDTH)
    match curve:
        case "density":
            share = x / 100
        case "width":
            sizes = (INPUTS, int(x))
        case "batch":
            samples = int(x)
        case "steps":
            steps = int(x)
        case "depth":
            sizes = (INPUTS, *[WIDTH] * int(x))
    return dense_program(sizes, curve), bernoulli((samples, steps, INPUTS), share)


def _operations(program: Program, events: Events) -> float:
    """Synaptic operations of a step, on the average."""
    total = synops(program, events, emulate(emulator(program, "spikes"), events))
    return sum(o.input + o.hidden for o in total) / float(np.prod(events.shape[:2]))


def _contestant(
    setting: Setting, program: Program, events: Events, line: str, seconds: float
) -> Contestant:
    lists = ready(events)
    made = warmed(emulator(program, avx2_only=line == NARROW), lists)
    return lambda: {setting: rate(lambda: emulate(made, lists), len(events), seconds)}


def of_curve(points: Sequence[Point], curve: str, line: str) -> list[Point]:
    return [point for point in points if (point.curve, point.line) == (curve, line)]
