"""SAM against its formula written by hand, and as a citizen among torch's optimizers."""

from __future__ import annotations

import copy

import numpy as np
import pytest

pytest.importorskip("torch", reason="SAM is a torch optimizer: the torch extra")

import torch
from torch import Tensor, nn

from sast_compile.errors import CompileError
from sast_compile.training.sam import SAM

CURVATURE = np.diag([1.0, 4.0, 0.5])
START = np.array([1.0, -2.0, 3.0])


def quadratic(*weights: Tensor) -> Tensor:
    """w^T A w / 2, whose gradient is A w; w is the weights laid end to end."""
    w = torch.cat([weight.reshape(-1) for weight in weights])
    return w @ torch.from_numpy(CURVATURE) @ w / 2


def weights(*parts: slice) -> list[nn.Parameter]:
    return [nn.Parameter(torch.from_numpy(START[part].copy())) for part in parts or (slice(3),)]


def step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> Tensor:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = quadratic(*parameters)
        loss.backward()
        return loss

    loss: Tensor = optimizer.step(closure)
    return loss


def by_hand(w: np.ndarray, rho: float, rate: float) -> np.ndarray:
    g = CURVATURE @ w
    return w - rate * CURVATURE @ (w + rho * g / np.linalg.norm(g))


def test_a_step_is_the_formula() -> None:
    (w,) = parameters = weights()
    optimizer = SAM(torch.optim.SGD(parameters, lr=0.1), rho=0.3)
    loss = step(optimizer, parameters)
    assert loss.item() == START @ CURVATURE @ START / 2  # at w, not at w + e
    np.testing.assert_allclose(w.detach().numpy(), by_hand(START, 0.3, 0.1), rtol=1e-14)
    step(optimizer, parameters)
    twice = by_hand(by_hand(START, 0.3, 0.1), 0.3, 0.1)
    np.testing.assert_allclose(w.detach().numpy(), twice, rtol=1e-14)


def test_the_norm_is_one_over_all_parameters_and_groups() -> None:
    a, b = weights(slice(0, 1), slice(1, 3))
    groups = [{"params": [a]}, {"params": [b]}]
    step(SAM(torch.optim.SGD(groups, lr=0.1), rho=0.3), [a, b])
    together = torch.cat([a, b]).detach().numpy()
    np.testing.assert_allclose(together, by_hand(START, 0.3, 0.1), rtol=1e-14)


def test_a_group_may_have_its_own_rho() -> None:
    a, b = weights(slice(0, 1), slice(1, 3))
    groups = [{"params": [a], "rho": 0.0}, {"params": [b]}]
    step(SAM(torch.optim.SGD(groups, lr=0.1), rho=0.3), [a, b])
    g = CURVATURE @ START
    e = 0.3 * g / np.linalg.norm(g) * [0, 1, 1]
    want = START - 0.1 * CURVATURE @ (START + e)
    np.testing.assert_allclose(torch.cat([a, b]).detach().numpy(), want, rtol=1e-14)


def test_rho_zero_is_the_base_optimizer_bit_for_bit() -> None:
    plain, wrapped = weights(), weights()
    adam = torch.optim.Adam(plain, lr=0.1)
    sam = SAM(torch.optim.Adam(wrapped, lr=0.1), rho=0.0)
    for _ in range(5):
        assert torch.equal(step(adam, plain), step(sam, wrapped))
    assert torch.equal(plain[0], wrapped[0])


def test_a_state_dict_goes_on_where_it_stopped() -> None:
    kept, fresh = weights(), weights()
    first = SAM(torch.optim.Adam(kept, lr=0.1), rho=0.2)
    for _ in range(3):
        step(first, kept)
    saved = copy.deepcopy(first.state_dict())
    with torch.no_grad():
        fresh[0].copy_(kept[0])
    second = SAM(torch.optim.Adam(fresh, lr=9.9), rho=9.9)
    second.load_state_dict(saved)
    assert second.param_groups[0]["rho"] == 0.2
    for _ in range(3):
        step(first, kept)
        step(second, fresh)
    assert torch.equal(kept[0], fresh[0])


def test_the_state_of_the_bare_base_is_taken_too() -> None:
    plain, wrapped = weights(), weights()
    adam = torch.optim.Adam(plain, lr=0.1)
    step(adam, plain)
    sam = SAM(torch.optim.Adam(wrapped, lr=0.1), rho=0.2)
    sam.load_state_dict(adam.state_dict())
    assert sam.param_groups[0]["rho"] == 0.2
    step(sam, wrapped)


def test_a_scheduler_and_a_new_group_reach_the_base() -> None:
    a, b = weights(slice(0, 1), slice(1, 3))
    base = torch.optim.SGD([a], lr=0.1)
    sam = SAM(base, rho=0.2)
    sam.add_param_group({"params": [b], "lr": 0.1})
    assert [group["rho"] for group in base.param_groups] == [0.2, 0.2]
    schedule = torch.optim.lr_scheduler.StepLR(sam, step_size=1, gamma=0.5)
    step(sam, [a, b])
    schedule.step()
    assert [group["lr"] for group in base.param_groups] == [0.05, 0.05]


def test_weights_without_gradient_and_zero_gradients_stay() -> None:
    (w,) = weights()
    unused = nn.Parameter(torch.ones(2))
    step(SAM(torch.optim.SGD([w, unused], lr=0.1), rho=0.3), [w])
    np.testing.assert_allclose(w.detach().numpy(), by_hand(START, 0.3, 0.1), rtol=1e-14)
    assert torch.equal(unused, torch.ones(2))
    rest = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    step(SAM(torch.optim.SGD([rest], lr=0.1), rho=0.3), [rest])
    assert torch.equal(rest, torch.zeros(3, dtype=torch.float64))


def test_an_error_in_the_second_closure_leaves_the_weights_where_they_were() -> None:
    (w,) = weights()
    sam = SAM(torch.optim.SGD([w], lr=0.1), rho=0.3)
    calls = []

    def closure() -> Tensor:
        calls.append(w.detach().clone())
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        loss = quadratic(w)
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="out of memory"):
        sam.step(closure)
    assert not torch.equal(calls[0], calls[1])
    assert torch.equal(w, calls[0])


def test_wrong_use_is_refused() -> None:
    base = torch.optim.SGD(weights(), lr=0.1)
    for rho in (-0.1, float("nan"), float("inf")):
        with pytest.raises(CompileError, match=r"SAM: rho = .* is not a finite number >= 0"):
            SAM(base, rho)
    with pytest.raises(CompileError, match="needs a closure"):
        SAM(base, 0.1).step()


def test_the_second_minibatch_is_looked_at_in_the_climbed_point() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SAM(torch.optim.SGD([weight], lr=1.0), 0.5)
    at = []

    def closure(slope: float) -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight * slope).sum()
        loss.backward()
        at.append(weight.detach().clone())
        return loss

    optimizer.step(lambda: closure(1.0), lambda: closure(2.0))
    torch.testing.assert_close(at[1], at[0] + 0.5 / 2**0.5)
    torch.testing.assert_close(weight.detach(), torch.tensor([1.0, 2.0]))  # the second's gradient


def test_adaptive_climbs_by_the_size_of_the_weights() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, -10.0, 0.0]))
    optimizer = SAM(torch.optim.SGD([weight], lr=0.0), 0.1, adaptive=True)
    at = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight * torch.tensor([1.0, 2.0, 3.0])).sum()
        loss.backward()
        at.append(weight.detach().clone())
        return loss

    optimizer.step(closure)
    t, g = at[0].abs() + 0.01, torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(at[1] - at[0], 0.1 * t**2 * g / (t * g).norm(), rtol=1e-4, atol=1e-6)


def test_the_fed_gradient_is_clipped() -> None:
    weight = torch.nn.Parameter(torch.tensor([30.0, 40.0]))
    optimizer = SAM(torch.optim.SGD([weight], lr=1.0), 0.0, clip_norm=1.0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(weight.detach(), torch.tensor([29.4, 39.2]), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_a_grad_scaler_changes_nothing_but_the_scale(rho: float) -> None:
    results = []
    for scale in (None, 2.0**12):
        weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        optimizer = SAM(torch.optim.SGD([weight], lr=0.1), rho)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale) if scale else None

        def closure(
            optimizer: SAM = optimizer,
            weight: torch.Tensor = weight,
            scaler: torch.amp.GradScaler | None = scaler,
        ) -> torch.Tensor:
            optimizer.zero_grad()
            loss = weight.pow(4).sum()
            (loss if scaler is None else scaler.scale(loss)).backward()
            return loss

        optimizer.step(closure, scaler=scaler)
        results.append(weight.detach().clone())
    torch.testing.assert_close(*results)


def test_gradients_that_are_not_finite_climb_nowhere() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = SAM(torch.optim.SGD([weight], lr=0.0), 0.5)
    at = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        weight.grad = torch.tensor([float("inf"), 1.0])
        at.append(weight.detach().clone())
        return torch.zeros(())

    optimizer.step(closure)
    assert torch.equal(at[0], at[1])


def test_the_closure_may_run_in_bfloat16() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 3)
    x, labels = torch.randn(60, 6), torch.arange(60) % 3
    x[torch.arange(60), labels] += 3
    optimizer = SAM(torch.optim.Adam(layer.parameters(), lr=0.05), 0.05)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = layer(x)
            assert outputs.dtype == torch.bfloat16
            loss = torch.nn.functional.cross_entropy(outputs, labels)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(30)]
    assert losses[-1] < losses[0] / 2
    assert layer.weight.dtype == torch.float32
