"""The rounding under which v errs least, against brute force and against simulated spikes."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from float_programs import LOIHI2, FloatLayer, events, float_chain
from hypothesis import given, settings
from hypothesis import strategies as st

from sast_compile.backends.reference import run
from sast_compile.compile import lower
from sast_compile.ir.types import Int
from sast_compile.passes import Options
from sast_compile.passes.choose_scales import Block, rounded_rows
from sast_compile.passes.membrane_error import Groups, Independent, Measured, Nearest

Array = npt.NDArray[Any]


def moment(inputs: int, seed: int, mean: float = 1.0) -> Array:
    """The second moment of correlated traces with a mean."""
    rng = np.random.default_rng(seed)
    x = rng.random((60, 3)) @ rng.random((3, inputs)) * mean + rng.random((60, inputs)) / 3
    return np.asarray(x.T @ x / len(x))


def least(row: Array, element: Int, h: Array) -> float:
    """The least error of v among all ways to round the row up or down."""
    sides = [
        {int(np.clip(side(w), element.low, element.high)) for side in (np.floor, np.ceil)}
        for w in row
    ]
    return min(float((row - q) @ h @ (row - q)) for q in map(np.array, product(*sides)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), bits=st.integers(2, 4), inputs=st.integers(1, 8))
def test_never_worse_than_the_nearest_nor_better_than_all(
    seed: int, bits: int, inputs: int
) -> None:
    element, h = Int(bits), moment(inputs, seed)
    rows = np.random.default_rng(seed).normal(0, 1.5, (4, inputs))
    integers, errors = rounded_rows(Block(rows, Measured(h)), element, 1.0)
    off = rows - integers
    assert np.allclose(errors, np.einsum("ri,ij,rj->r", off, h, off))
    nearest = rows - Nearest().rounded(rows, element)
    assert (errors <= np.einsum("ri,ij,rj->r", nearest, h, nearest) + 1e-12).all()
    assert all(e >= least(row, element, h) - 1e-9 for e, row in zip(errors, rows, strict=True))
    inside = (rows > element.low) & (rows < element.high)
    assert (np.abs(off)[inside] < 1).all()  # one of the two integers beside the weight


def test_it_comes_near_to_the_best_of_all() -> None:
    ours, best, usual = 0.0, 0.0, 0.0
    for seed in range(40):
        h, rows = moment(9, seed), np.random.default_rng(seed).normal(0, 1.5, (3, 9))
        ours += rounded_rows(Block(rows, Measured(h)), Int(4), 1.0)[1].sum()
        best += sum(least(row, Int(4), h) for row in rows)
        off = rows - Nearest().rounded(rows, Int(4))
        usual += float(((off @ h) * off).sum())
    assert ours < 4 * best  # 3.3 times the least of 512 roundings
    assert ours < usual / 3


@given(seed=st.integers(0, 2**32 - 1), bits=st.integers(2, 8))
@settings(max_examples=50, deadline=None)
def test_weights_on_the_grid_stay(seed: int, bits: int) -> None:
    rng, element = np.random.default_rng(seed), Int(bits)
    rows = rng.integers(element.low, element.high, (3, 7), endpoint=True).astype(np.float64)
    for objective in (Measured(moment(7, seed)), Independent(0.3, 0.4)):
        assert np.array_equal(objective.rounded(rows, element), rows)


def test_independent_inputs_are_a_moment_of_equal_correlations() -> None:
    independent = Independent(0.3, 0.2)
    h = 0.3 * np.eye(12) + 0.2 * np.ones((12, 12))
    rows = np.random.default_rng(0).normal(0, 2, (30, 12))
    integers = independent.rounded(rows, Int(4))
    assert np.array_equal(integers, Measured(h).rounded(rows, Int(4)))
    off = rows - integers
    assert np.allclose(independent.error(off), Measured(h).error(off))


@pytest.mark.parametrize("alpha", [1.0, 0.9, 0.3])
def test_the_closed_form_is_the_moment_of_simulated_traces(alpha: float) -> None:
    rate, steps, inputs = 0.15, 12, 4
    spikes = events((20000, steps, inputs), rate)
    x = spikes.astype(np.float64)
    for t in range(1, steps):
        x[:, t] += alpha * x[:, t - 1]
    seen = x.reshape(-1, inputs)
    h = seen.T @ seen / len(seen)
    found = Independent.at_rate(rate, alpha ** np.arange(steps))
    apart = h[~np.eye(inputs, dtype=bool)]
    assert apart.mean() == pytest.approx(found.mean_square, rel=0.02)
    assert np.diag(h).mean() - apart.mean() == pytest.approx(found.variance, rel=0.02)


def test_groups_round_their_own_rows() -> None:
    moments = [Measured(moment(5, seed)) for seed in (0, 1)]
    rows = np.random.default_rng(2).normal(0, 2, (6, 5))
    both = Groups(tuple(moments))
    for part, h in enumerate(moments):
        some = slice(3 * part, 3 * part + 3)
        assert np.array_equal(both.rounded(rows, Int(4))[some], h.rounded(rows[some], Int(4)))
        assert np.array_equal(both.error(rows)[some], h.error(rows[some]))


def spikes_that_differ(rounding: Any, bits: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    program = float_chain(FloatLayer(rng.normal(0.1, 0.4, (5, 60)), 0.9))
    chip = lower(program, LOIHI2, Options(bits, 30, rounding=rounding))[-1].program
    x = events((10, 30, 60), 0.2, seed)
    floats, integers = (run(p, x)["lif1"].spikes for p in (program, chip))
    assert floats.sum() > 300
    return float((floats != integers).mean())


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_on_independent_spikes_more_of_them_stay(bits: int) -> None:
    ours, usual = (
        np.mean([spikes_that_differ(rounding, bits, seed) for seed in range(8)])
        for rounding in ("membrane", "nearest")
    )
    assert ours < 0.9 * usual
