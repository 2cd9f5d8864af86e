"""The neurons against recurrences written down a second time, in numpy, one number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch", reason="the neurons are torch modules: the torch extra")

import torch

from sast_compile.errors import CompileError, TypeMismatch
from sast_compile.nn.neurons import IF, LIF, RESETS

Fire = Callable[[float], float]
ALPHA, THETA = 0.9, 1.0


def recurrence(
    current: np.ndarray, reset: str, when: str, fire: Fire, alpha: float = ALPHA
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and membrane of one neuron, from the equations of the contract's docstring."""
    u = s = 0.0
    spikes, membrane = [], []
    for i in current:
        if (reset, when) == ("zero", "before_decay"):
            u = alpha * u * (1 - s) + i
            s = fire(u - THETA)
        elif (reset, when) == ("zero", "after_fire"):
            u = alpha * u + i
            s = fire(u - THETA)
            u = u * (1 - s)
        elif (reset, when) == ("subtract", "after_fire"):
            u = alpha * u + i
            s = fire(u - THETA)
            u = u - THETA * s
        else:
            u = alpha * u - THETA * s + i
            s = fire(u - THETA)
        spikes.append(s)
        membrane.append(u)
    return np.array(spikes), np.array(membrane)


def currents(seed: int = 0, steps: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.25, 0.5, (5, steps, 7))


def expected(reset: str, when: str, fire: Fire, alpha: float = ALPHA) -> tuple[np.ndarray, ...]:
    x = currents()
    runs = [
        [recurrence(x[b, :, n], reset, when, fire, alpha) for n in range(x.shape[2])]
        for b in range(len(x))
    ]
    return tuple(np.array(runs)[:, :, k].transpose(0, 2, 1) for k in (0, 1))


def hard_lif(reset: str, when: str, **more: object) -> LIF:
    lif = LIF(ALPHA, THETA, reset, when, **more)
    lif.hard = True
    return lif


@pytest.mark.parametrize(("reset", "when"), RESETS)
def test_hard_neurons_equal_the_recurrence_bit_for_bit(reset: str, when: str) -> None:
    spikes, u = hard_lif(reset, when).states(torch.from_numpy(currents()))
    want_spikes, want_u = expected(reset, when, lambda x: float(x >= 0))
    assert 0.05 < spikes.mean() < 0.95  # silent neurons would prove nothing
    assert np.array_equal(spikes.numpy(), want_spikes)
    assert np.array_equal(u.numpy(), want_u)


@pytest.mark.parametrize(("reset", "when"), RESETS)
@pytest.mark.parametrize("surrogate", ["sigmoid", "atan"])
def test_smooth_neurons_equal_the_recurrence(reset: str, when: str, surrogate: str) -> None:
    fire = {
        "sigmoid": lambda x: 1 / (1 + math.exp(-5 * x)),
        "atan": lambda x: 0.5 + math.atan(math.pi * 5 * x / 2) / math.pi,
    }[surrogate]
    lif = LIF(ALPHA, THETA, reset, when, surrogate, slope=5.0)
    spikes, u = lif.states(torch.from_numpy(currents()))
    want_spikes, want_u = expected(reset, when, fire)
    np.testing.assert_allclose(spikes.numpy(), want_spikes, rtol=1e-10)
    np.testing.assert_allclose(u.numpy(), want_u, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("reset", "when"), RESETS)
def test_a_very_steep_surrogate_is_the_hard_neuron(reset: str, when: str) -> None:
    x = torch.from_numpy(currents())
    steep = LIF(ALPHA, THETA, reset, when, slope=1e7)(x)
    hard = hard_lif(reset, when)(x)
    assert hard.sum() > 100
    assert torch.allclose(steep, hard, atol=1e-6)


@pytest.mark.parametrize(("reset", "when"), RESETS)
@pytest.mark.parametrize("surrogate", ["sigmoid", "atan"])
def test_the_gradient_is_the_exact_one(reset: str, when: str, surrogate: str) -> None:
    x = torch.from_numpy(currents(steps=8)[:2, :, :2]).requires_grad_()
    lif = LIF(ALPHA, THETA, reset, when, surrogate, slope=3.0)
    assert torch.autograd.gradcheck(lambda x: tuple(lif.states(x)), x)


def test_the_swap_changes_nothing_but_the_spike_function() -> None:
    lif = LIF(ALPHA, THETA, slope=1.0)
    x = torch.from_numpy(currents())
    smooth = lif(x)
    lif.hard = True
    hard = lif(x)
    lif.hard = False
    assert torch.equal(lif(x), smooth)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert smooth.min() > 0
    assert smooth.max() < 1


def test_both_zero_resets_spike_alike_and_show_another_membrane() -> None:
    x = torch.from_numpy(currents())
    before, after = hard_lif("zero", "before_decay"), hard_lif("zero", "after_fire")
    assert torch.equal(before(x), after(x))
    fired = after(x).bool()
    assert (after.states(x).u[fired] == 0).all()
    assert (before.states(x).u[fired] >= THETA).all()


def test_both_subtract_resets_spike_differently() -> None:
    x = torch.from_numpy(currents())
    assert not torch.equal(
        hard_lif("subtract", "after_fire")(x), hard_lif("subtract", "after_decay")(x)
    )


def test_the_comparison_decides_the_tie() -> None:
    tie = torch.full((1, 1, 1), THETA)
    assert hard_lif("zero", "before_decay", compare=">=")(tie).item() == 1
    assert hard_lif("zero", "before_decay", compare=">")(tie).item() == 0


def test_if_is_lif_that_does_not_leak() -> None:
    neuron = IF(THETA, "subtract", "after_fire")
    neuron.hard = True
    spikes, u = neuron.states(torch.from_numpy(currents()))
    want_spikes, want_u = expected("subtract", "after_fire", lambda x: float(x >= 0), alpha=1.0)
    assert np.array_equal(spikes.numpy(), want_spikes)
    assert np.array_equal(u.numpy(), want_u)


def test_forward_and_states_agree_and_keep_the_shape() -> None:
    lif = LIF(ALPHA)
    x = torch.randn(3, 4, 2, 5, 6)
    assert lif(x).shape == x.shape
    assert torch.equal(lif(x), lif.states(x).spikes)
    assert lif.states(x).u.shape == x.shape


def test_alpha_and_threshold_keep_every_bit() -> None:
    lif = LIF(alpha=0.1 + 0.2, threshold=1 / 3).float()
    assert (lif.alpha, lif.threshold) == (0.1 + 0.2, 1 / 3)
    assert not list(lif.parameters())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpha": 1.01}, r"alpha = 1.01 lies outside \[0, 1\]"),
        ({"alpha": -0.5}, r"alpha = -0.5 .* tau >= dt > 0"),
        ({"alpha": math.nan}, "alpha = nan"),
        ({"threshold": -1.0}, "threshold -1.0 is not a finite number >= 0"),
        ({"threshold": math.inf}, "threshold inf"),
        ({"slope": 0.0}, "slope 0.0 is not a finite number > 0"),
        ({"reset": "none"}, "unknown reset"),
        ({"reset_when": "after_decay"}, "unknown reset"),
        ({"surrogate": "relu"}, "unknown surrogate 'relu'; hint: one of sigmoid, atan"),
        ({"compare": "<"}, "unknown compare '<'"),
    ],
)
def test_what_makes_no_neuron_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        LIF(**{"alpha": 0.9, **wrong})


@pytest.mark.parametrize("shape", [(3,), (3, 0, 2)])
def test_a_current_without_steps_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TypeMismatch, match="T >= 1"):
        LIF(0.9)(torch.zeros(shape))
