"""Intervals against printed tables and their meaning, McNemar's test against all coin throws."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sast_compile.report.proportions import change_of, least_told, mcnemar, share_of


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_as_printed(right: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 857), table I, method 3."""
    found = share_of(right, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    mirrored = share_of(n - right, n)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high))


def test_all_and_none_stay_within_0_and_1() -> None:
    for n in (1, 7, 360):
        assert share_of(0, n).low == 0
        assert share_of(n, n).high == 1


def test_bonett_and_prices_interval_as_printed() -> None:
    """The example of `ci.prop.ps` in the R package statpsych."""
    found = change_of(lost=4, gained=26, n=12 + 4 + 26 + 6)
    assert (found.low, found.high) == pytest.approx((0.2548067, 0.6251933), abs=1e-6)
    assert found.value == 22 / 48
    other = change_of(lost=26, gained=4, n=48)
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))


def test_where_nothing_changed_a_change_is_not_excluded() -> None:
    found = change_of(0, 0, 360)
    assert found.low < -1 / 360
    assert found.high == -found.low


@pytest.mark.parametrize(
    ("loses", "gains", "most"), [(0.1, 0.1, 0.965), (0.05, 0.01, 0.99), (0.01, 0.004, 1.0)]
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    loses: float, gains: float, most: float
) -> None:
    """Of 4,000 draws of 150 samples; where changes are rare it is wider than it says."""
    n = 150
    draws = np.random.default_rng(0).multinomial(n, [loses, gains, 1 - loses - gains], 4000)
    counted = [change_of(int(lost), int(gained), n) for lost, gained, _ in draws]
    covered = np.mean([c.low <= gains - loses <= c.high for c in counted])
    assert 0.94 < covered <= most


@pytest.mark.parametrize("changes", range(11))
def test_mcnemars_p_against_every_throw_of_the_coins(changes: int) -> None:
    """How many of the 2^m throws are at least as far from even as what was seen."""
    throws = [sum(throw) for throw in product((0, 1), repeat=changes)]
    for lost in range(changes + 1):
        far = sum(abs(2 * t - changes) >= abs(2 * lost - changes) for t in throws)
        assert mcnemar(lost, changes - lost) == pytest.approx(min(1, far / 2**changes))


def test_many_changes_do_not_overflow() -> None:
    assert mcnemar(5000, 5000) == 1
    assert mcnemar(4000, 6000) < 1e-80


def test_the_smallest_loss_that_can_be_told() -> None:
    """As many losses as McNemar's test needs, and not one fewer."""
    n = 360
    needed = round(least_told(n) * n)
    assert mcnemar(needed, 0) <= 0.05 < mcnemar(needed - 1, 0)
    assert least_told(4) == 1
