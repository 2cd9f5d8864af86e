"""Means of a few seeds, and how sure a difference between two of them is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Mean(NamedTuple):
    """The mean of ``n`` values and their sample standard deviation (nan for a single value)."""

    mean: float
    deviation: float
    n: int


class Difference(NamedTuple):
    """The mean of ``n`` paired differences in its confidence interval [low, high]."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval does; an unbounded one never."""
        return self.low > 0 or self.high < 0


def mean_of(values: Sequence[float]) -> Mean:
    """Mean and deviation (with n - 1) of at least one value."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Mean(mean, math.nan, 1)
    return Mean(mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)), n)


def paired(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Difference:
    """first - second, pair by pair, with Student's interval: mean -+ t sd / sqrt(n).

    Of one pair the interval is unbounded: nothing is known of the spread.
    """
    mean, deviation, n = mean_of([a - b for a, b in zip(first, second, strict=True)])
    if n == 1:
        return Difference(mean, -math.inf, math.inf, 1)
    half = t_quantile(level, n - 1) * deviation / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, n)


def t_quantile(level: float, freedom: int) -> float:
    """The t with P(|T| <= t) = ``level`` for Student's T of ``freedom`` degrees, by bisection."""
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, freedom) < level else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """P(|T| <= sqrt(freedom) tan(angle)); Abramowitz and Stegun 26.7.3 and 26.7.4."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = total = (cosine if odd else 1.0) if freedom > 1 else 0.0
    for k in range(2 + odd, freedom, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return (angle + sine * total) * 2 / math.pi if odd else sine * total
