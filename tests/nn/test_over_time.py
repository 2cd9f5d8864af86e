"""The fused loop over time: its gradient is the true one, and the one that autograd finds."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the neurons are torch modules: the torch extra")

import torch

from sast_compile.nn.neurons import LIF, RESETS, CubaLIF
from sast_compile.nn.surrogates import SURROGATES


def currents(steps: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(3, steps, 4, generator=generator, dtype=torch.float64) * 0.7 + 0.3
    return draws.requires_grad_()


@pytest.mark.parametrize(("reset", "when"), RESETS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_the_gradient_is_that_of_finite_differences(reset: str, when: str, surrogate: str) -> None:
    lif = LIF(0.9, 1.0, reset, when, surrogate, 3.0)
    assert torch.autograd.gradcheck(lif, currents())


@pytest.mark.parametrize(("reset", "when"), RESETS)
@pytest.mark.parametrize("mode", ["surrogate", "straight_through"])
@pytest.mark.parametrize("cuba", [False, True])
def test_fused_and_stepwise_agree(reset: str, when: str, mode: str, cuba: bool) -> None:
    lif = CubaLIF(0.9, 0.7, 1.0, reset, when) if cuba else LIF(0.9, 1.0, reset, when)
    lif.mode = mode
    x = currents(20)
    toward = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fused, stepwise = lif(x), lif.states(x).spikes
    assert 0.05 < fused.mean() < 0.95
    assert torch.equal(fused, stepwise)
    by_hand, by_autograd = (
        torch.autograd.grad((s * toward).sum(), x)[0] for s in (fused, stepwise)
    )
    assert by_hand.abs().max() > 0.1
    torch.testing.assert_close(by_hand, by_autograd, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_derivative_and_its_bound(surrogate: str) -> None:
    family, k = SURROGATES[surrogate], 3.0
    x = torch.linspace(-4, 4, 4001, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(family.sigma(x, k).sum(), x)
    torch.testing.assert_close(family.derivative(x.detach(), k), found)
    assert float(found.max()) == pytest.approx(family.lipschitz(k))
    assert float(family.sigma(torch.zeros(1), k)) == 0.5


def test_hard_spikes_carry_no_gradient() -> None:
    lif = LIF(0.9)
    lif.hard = True
    assert not lif(currents()).requires_grad


def test_a_membrane_hook_sees_every_step() -> None:
    lif = LIF(0.9)
    lif.hard = True
    plain = lif(currents(30))
    lif.membrane = lambda u: u.clamp(max=0.25)
    assert not torch.equal(lif(currents(30)), plain)
    lif.membrane = lambda u: u
    assert torch.equal(lif(currents(30)), plain)
