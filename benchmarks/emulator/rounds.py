"""Interleaved rounds: in each, every contestant runs once, so that a busy machine slows all alike.

What is compared are ratios within a round; of rates and ratios the median, the least and the most.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sast_compile.errors import BackendUnavailable


@dataclass(frozen=True, order=True)
class Setting:
    """Who ran, how many samples at a time, on how many threads; the rows of a table."""

    who: str
    batch: int
    threads: int = 1


Rates: TypeAlias = Mapping[Setting, float]  # samples a second
Contestant: TypeAlias = Callable[[], Rates]


@dataclass(frozen=True)
class Spread:
    """Of the rounds: the median, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def rate(work: Callable[[], object], samples: int, seconds: float) -> float:
    """Samples a second of ``work``, which takes so many at a time, over ``seconds`` at least."""
    done, began = 0, time.perf_counter()
    while True:
        work()
        done += samples
        took = time.perf_counter() - began
        if took >= seconds:
            return done / took


def interleaved(contestants: Sequence[Contestant], rounds: int) -> dict[Setting, list[float]]:
    """The rates of every round. A contestant that fails is left out, which stderr says."""
    left, found = list(contestants), dict[Setting, list[float]]()
    for _ in range(rounds):
        for contestant in tuple(left):
            try:
                rates = contestant()
            except BackendUnavailable as reason:
                skipped(str(reason))
                left.remove(contestant)
            else:
                for setting, value in rates.items():
                    found.setdefault(setting, []).append(value)
    return {setting: values for setting, values in found.items() if len(values) == rounds}


def skipped(reason: str) -> None:
    """Says loudly what was left out, and why."""
    print(f"\nSKIPPED {reason}\n", file=sys.stderr, flush=True)


def ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """Of the ratios of each round."""
    return Spread.of([a / b for a, b in zip(of, to, strict=True)])
