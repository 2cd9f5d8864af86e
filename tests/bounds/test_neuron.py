"""The bounds of one population against the neuron itself, driven as hard as it can be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sast_compile.bounds.network import population_of
from sast_compile.bounds.neuron import STEEPEST, Population, Range, geometric, register
from sast_compile.nn import LI, LIF, CubaLIF
from sast_compile.nn.neurons import RESETS
from sast_compile.nn.surrogates import SURROGATES

NEURONS = st.builds(
    lambda alpha, threshold, rule, surrogate, slope: LIF(
        alpha, threshold, *rule, surrogate=surrogate, slope=slope
    ),
    alpha=st.floats(0, 1),
    threshold=st.floats(0, 4),
    rule=st.sampled_from(RESETS),
    surrogate=st.sampled_from(sorted(SURROGATES)),
    slope=st.floats(0.2, 30),
)


def phi(neuron: LIF, w: torch.Tensor) -> torch.Tensor:
    """The next membrane without input, by the neuron's own equations."""
    s = neuron.fire(w)
    return neuron.rule().decay(neuron.rule().after(w, s), s)


def steepest_change(neuron: LIF) -> float:
    """The largest |phi(w) - phi(w')| / |w - w'| on a dense grid, dense where sigma is steep."""
    x = torch.sinh(torch.linspace(-14, 14, 40_001, dtype=torch.float64)) / 100 / neuron.slope
    w = x + neuron.threshold
    return float((phi(neuron, w).diff() / w.diff()).abs().max())


@settings(max_examples=300, deadline=None)
@given(NEURONS)
def test_no_two_membranes_part_faster_and_some_do_nearly_so(neuron: LIF) -> None:
    found, bound = steepest_change(neuron), population_of(neuron).contraction
    assert found <= bound * (1 + 1e-6) + 1e-9
    assert found >= 0.99 * bound - 1e-9  # so 10 % less would be exceeded, for every neuron


@settings(max_examples=200, deadline=None)
@given(NEURONS, st.integers(0, 2**32 - 1))
def test_two_runs_on_one_input_come_together(neuron: LIF, seed: int) -> None:
    draws = np.random.default_rng(seed)
    c = population_of(neuron).contraction
    pair = torch.from_numpy(draws.normal(scale=5, size=(2, 50)))
    apart = (pair[0] - pair[1]).abs()
    for t in range(1, 6):
        pair = phi(neuron, pair) + torch.from_numpy(draws.normal(scale=3, size=50))
        now = (pair[0] - pair[1]).abs()
        assert (now <= c**t * apart + 1e-9).all()


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_the_steepest_slope_is_the_surrogates(surrogate: str) -> None:
    assert STEEPEST[surrogate] * 3.0 == SURROGATES[surrogate].lipschitz(3.0)


@pytest.mark.parametrize(
    ("surrogate", "slope", "expected"),
    [("sigmoid", 2, 0.916), ("sigmoid", 10, 1.888), ("atan", 2, 0.9), ("atan", 5, 1.836)],
)
def test_zero_reset_by_hand(surrogate: str, slope: float, expected: float) -> None:
    assert Population(0.9, 1.0, "zero", "", surrogate, slope).contraction == pytest.approx(
        expected, abs=5e-4
    )


def test_subtract_contracts_below_one_plus_alpha() -> None:
    at = {k: Population(0.9, 1.0, "subtract", "after_decay", "sigmoid", k) for k in (7.5, 7.7)}
    assert at[7.5].contraction < 1 < at[7.7].contraction
    assert at[7.7].gain() == math.inf
    assert at[7.7].gain(20) < math.inf


def test_a_readout_contracts_by_its_leak() -> None:
    population = population_of(LI(0.8))
    assert population.contraction == 0.8
    assert population.gain() == pytest.approx(5)


def run(neuron: LIF, currents: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Membranes before the spike, after it, and spikes of currents (batch, T)."""
    x = torch.from_numpy(currents)
    state = neuron.start(x[:, 0])
    before, after, spikes = [], [], []
    for now in x.unbind(1):
        drive = now if not isinstance(neuron, CubaLIF) else neuron.beta * state[0] + now
        before.append(neuron.rule().decay(*state[-2:]) + drive)
        spike, state = neuron.step(now, state)
        after.append(state[-2])
        spikes.append(spike)
    return torch.stack(before, 1), torch.stack(after, 1), torch.stack(spikes, 1)


CUBA = st.builds(
    lambda alpha, beta, threshold, rule, slope: CubaLIF(alpha, beta, threshold, *rule, slope=slope),
    alpha=st.floats(0, 1),
    beta=st.floats(0, 1),
    threshold=st.floats(0, 4),
    rule=st.sampled_from(RESETS),
    slope=st.floats(0.2, 30),
)


def adversarial(draws: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Currents at the two ends of their range, constant, random, and late: (batch, T)."""
    ends = np.where(draws.random((40, 12)) < draws.random((40, 1)), low, high)
    constant = np.array([[low] * 12, [high] * 12, [high] * 6 + [low] * 6, [low] * 6 + [high] * 6])
    return np.concatenate([ends, constant, draws.uniform(low, high, (20, 12))])


@settings(max_examples=300, deadline=None)
@given(NEURONS | CUBA, st.floats(-50, 0), st.floats(0, 50), st.integers(0, 2**32 - 1))
def test_no_membrane_leaves_its_range(neuron: LIF, low: float, high: float, seed: int) -> None:
    population = population_of(neuron)
    drive = Range(np.array([low]), np.array([high]))
    currents = adversarial(np.random.default_rng(seed), low, high)
    for mode in ("surrogate", "hard"):
        neuron.mode = mode
        for steps in (12, None):
            allowed = population.membrane(drive, steps, hard=mode == "hard")
            for membrane in run(neuron, currents)[:2]:
                assert membrane.min() >= allowed.low.min() - 1e-9 * (1 - low)
                assert membrane.max() <= allowed.high.max() + 1e-9 * (1 + high)


def leaves(neuron: LIF, current: float, shrunk: float) -> bool:
    """Whether a constant current takes the membrane out of ``shrunk`` times its range."""
    population = population_of(neuron)
    drive = Range(np.array([current]), np.array([current]))
    allowed = population.membrane(drive, 30, hard=neuron.hard)
    w = run(neuron, np.full((1, 30), current))[0]
    return bool(w.min() < shrunk * allowed.low.min() or w.max() > shrunk * allowed.high.max())


@pytest.mark.parametrize("mode", ["surrogate", "hard"])
@pytest.mark.parametrize("rule", RESETS)
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_a_range_ten_percent_smaller_is_left(rule: Any, mode: Any, beta: float) -> None:
    neuron = CubaLIF(0.9, beta, 0.5, *rule)
    neuron.mode = mode
    assert leaves(neuron, -20.0, 0.9)  # held down, it never fires
    assert not leaves(neuron, -20.0, 1 + 1e-9)


@settings(max_examples=200, deadline=None)
@given(NEURONS | CUBA, st.floats(0.01, 20), st.integers(0, 2**32 - 1))
def test_no_pair_of_inputs_exceeds_the_gain(neuron: LIF, size: float, seed: int) -> None:
    draws = np.random.default_rng(seed)
    x = draws.normal(neuron.threshold, 3, (60, 12))
    x[:20] = neuron.threshold * (1 - neuron.alpha)  # at rest near the threshold, where it is steep
    y = x + size * draws.normal(size=x.shape) * (draws.random((60, 1)) < 0.5) + 1e-3 * size
    apart = np.linalg.norm(x - y, axis=1)
    spikes = [run(neuron, currents)[2] for currents in (x, y)]
    found = (spikes[0] - spikes[1]).norm(dim=1).numpy() / apart
    for steps in (12, None):
        assert found.max() <= population_of(neuron).lipschitz(1.0, steps) * (1 + 1e-7) + 1e-9


@pytest.mark.parametrize("rule", RESETS)
def test_a_gain_ten_percent_smaller_is_exceeded(rule: Any) -> None:
    neuron = LIF(0.9, 1.0, *rule, slope=2.0)
    x = np.array([[0.999], [1.001]])
    spikes = run(neuron, x)[2]
    found = float((spikes[0] - spikes[1]).norm()) / 0.002
    assert found > 0.9 * population_of(neuron).lipschitz(1.0, 1)


@given(st.floats(0, 1.5), st.floats(0, 1), st.floats(0, 1))
def test_the_gain_for_ever_is_the_limit_or_infinite(c: float, beta: float, heard: float) -> None:
    population = Population(c, beta=beta, recurrent=heard)
    matrix = np.array([[c + heard, beta], [heard, beta]])
    radius = np.abs(np.linalg.eigvals(matrix)).max()
    assert population.radius == pytest.approx(radius, abs=1e-6)
    if radius < 0.95:
        assert population.gain(1500) == pytest.approx(population.gain(), rel=1e-6)
    if radius > 1.0001:
        assert population.gain() == math.inf


def test_registers() -> None:
    assert register(Range(np.array([-128.0]), np.array([127.0])), 5.0) == (8, 4)
    assert register(Range(np.array([-129.0]), np.array([0.0])), 5.0) == (9, 4)
    assert register(Range(np.array([-1.5]), np.array([128.0])), 7.0) == (9, 4)
    assert register(Range(np.array([-1.0]), np.array([3.0])), 8.0) == (5, 5)
    assert register(Range(np.array([-math.inf]), np.array([3.0])), 8.0).safe is None


def test_geometric() -> None:
    assert geometric(0.5, None) == pytest.approx(2)
    assert geometric(1.0, 7) == pytest.approx(7)
    assert geometric(1.0, None) == math.inf
    assert geometric(0.0, 3) == pytest.approx(1)
