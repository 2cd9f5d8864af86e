"""Student's t against the printed tables, and intervals against their meaning."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sast_compile.report.statistics import mean_of, paired, t_quantile


@pytest.mark.parametrize(
    ("level", "freedom", "printed"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 4, 2.776),
        (0.95, 9, 2.262),
        (0.95, 10, 2.228),
        (0.95, 30, 2.042),
        (0.95, 120, 1.980),
        (0.99, 4, 4.604),
        (0.99, 5, 4.032),
        (0.90, 7, 1.895),
    ],
)
def test_the_quantiles_of_the_tables(level: float, freedom: int, printed: float) -> None:
    assert t_quantile(level, freedom) == pytest.approx(printed, abs=5e-4)


def test_mean_and_deviation() -> None:
    assert mean_of([2.0, 4.0, 9.0]) == (5.0, pytest.approx(math.sqrt(13)), 3)
    assert math.isnan(mean_of([2.0]).deviation)


def test_a_paired_interval_by_hand() -> None:
    found = paired([5.0, 7.0, 9.0], [4.0, 5.0, 6.0])
    half = 4.303 / math.sqrt(3)
    assert found == (2.0, pytest.approx(2 - half, abs=1e-3), pytest.approx(2 + half, abs=1e-3), 3)
    assert not found.excludes_zero


def test_one_pair_says_nothing() -> None:
    assert paired([5.0], [1.0]) == (4.0, -math.inf, math.inf, 1)
    assert not paired([5.0], [1.0]).excludes_zero


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0)
    trials = [paired(draws.normal(1, 1, 5), draws.normal(0, 1, 5)) for _ in range(2000)]
    covered = np.mean([trial.low <= 1 <= trial.high for trial in trials])
    assert 0.935 < covered < 0.965


def test_unequal_lists_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired([1.0, 2.0], [1.0])
