"""Shares of right decisions, and how sure a change of them on the same samples is."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

LEVEL = 0.95


class Share(NamedTuple):
    """``right`` of ``n`` with Wilson's score interval [low, high]."""

    right: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.right / self.n


class Change(NamedTuple):
    """Two models on the same ``n`` samples: the second is right ``gained`` times where the first
    is wrong, and wrong ``lost`` times where the first is right.

    ``value`` is the change of the share, ``p`` McNemar's, [low, high] the interval of Bonett and
    Price.
    """

    n: int
    lost: int
    gained: int
    low: float
    high: float
    p: float

    @property
    def value(self) -> float:
        return (self.gained - self.lost) / self.n


def share_of(right: int, n: int, level: float = LEVEL) -> Share:
    """The share with its interval (Wilson 1927): all p with ``|right/n - p| <= z sd(p)``.

    (right + z^2/2 -+ z sqrt(right (n - right) / n + z^2/4)) / (n + z^2)
    """
    z = _normal_quantile(level)
    middle, half = right + z * z / 2, z * math.sqrt(right * (n - right) / n + z * z / 4)
    low = (middle - half) / (n + z * z) if right else 0.0  # the root itself may be off by a bit
    high = (middle + half) / (n + z * z) if right < n else 1.0
    return Share(right, n, low, high)


def change_of(lost: int, gained: int, n: int, level: float = LEVEL) -> Change:
    """The change of a share between paired decisions (Bonett and Price 2012).

    With ``p = (gained + 1) / (n + 2)`` and ``q = (lost + 1) / (n + 2)`` the interval is
    ``p - q -+ z sqrt((p + q - (p - q)^2) / (n + 2))``: where nothing changed it still has a width.
    """
    p, q = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = _normal_quantile(level) * math.sqrt((p + q - (p - q) ** 2) / (n + 2))
    return Change(n, lost, gained, p - q - half, p - q + half, mcnemar(lost, gained))


def mcnemar(lost: int, gained: int) -> float:
    """The two-sided p of McNemar's exact test: the changes are fair coins if nothing is lost.

    ``min(1, 2 sum_{k <= min} C(m, k) / 2^m)`` with ``m = lost + gained``.
    """
    m, least = lost + gained, min(lost, gained)
    tail = term = 1
    for k in range(1, least + 1):
        term = term * (m - k + 1) // k
        tail += term
    return min(1.0, tail / 2 ** (m - 1)) if m else 1.0


def least_told(n: int, level: float = LEVEL) -> float:
    """The smallest loss that ``n`` samples can tell from chance, even if no sample is gained.

    McNemar's test is passed by m losses alone from ``2 / 2^m <= 1 - level`` on; 1 where not even
    the loss of all samples passes.
    """
    least = math.ceil(math.log2(2 / (1 - level)))
    return min(1.0, least / n)


def _normal_quantile(level: float) -> float:
    """The z with P(|Z| <= z) = ``level``."""
    return NormalDist().inv_cdf((1 + level) / 2)
