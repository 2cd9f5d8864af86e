"""The event-by-event layer against the dense product, values and gradients."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the layers are torch modules: the torch extra")

import torch
from torch.nn.functional import linear

from sast_compile.nn import event_linear as module
from sast_compile.nn.event_linear import DENSEST, event_linear


def sparse_events(density: float, top: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    some = torch.rand(6, 9, 300, generator=generator) < density
    return some.to(torch.uint8) * top


@pytest.mark.parametrize("density", [0.0, 0.03, 0.5])
@pytest.mark.parametrize("top", [1, 3])
def test_it_equals_the_dense_product(density: float, top: int) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(40, 300, generator=generator, requires_grad=True)
    bias = torch.randn(40, generator=generator, requires_grad=True)
    events, toward = sparse_events(density, top), torch.randn(6, 9, 40, generator=generator)
    results = []
    for layer, x in ((event_linear, events), (linear, events.float())):
        y = layer(x, weight, bias)
        results.append((y, *torch.autograd.grad((y * toward).sum(), (weight, bias))))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_the_sparse_path_runs_only_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    sums = module._sums
    monkeypatch.setattr(module, "_sums", lambda *a: ran.append(1) or sums(*a))
    weight = torch.ones(2, 300)
    event_linear(sparse_events(0.03), weight, None)
    assert ran
    ran.clear()
    event_linear(sparse_events(2 * DENSEST), weight, None)
    event_linear(sparse_events(0.03, 2), weight, None)
    assert not ran
