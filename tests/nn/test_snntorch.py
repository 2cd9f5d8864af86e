"""Our neurons against snnTorch's, spike for spike, and the classic surrogate gradient."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="the neurons are torch modules: the torch extra")
pytest.importorskip("snntorch", reason="snnTorch is the oracle: the dev extra")

import snntorch
import torch
from snntorch import surrogate

from sast_compile.nn import LIF, CubaLIF, build, hard, set_mode, set_slope, spiking_layers

WHEN = {"subtract": "after_decay", "zero": "before_decay"}


def currents() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 50, 30, generator=generator, dtype=torch.float64) * 0.6 + 0.2


def theirs(neuron: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    state = (
        neuron.init_synaptic() if isinstance(neuron, snntorch.Synaptic) else (neuron.init_leaky(),)
    )
    spikes, membrane = [], []
    for now in x.unbind(dim=1):
        spike, *state = neuron(now, *state)
        spikes.append(spike)
        membrane.append(state[-1])
    return torch.stack(spikes, dim=1), torch.stack(membrane, dim=1)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_lif_is_leaky(reset: str) -> None:
    spikes, u = theirs(snntorch.Leaky(0.9, 1.0, reset_mechanism=reset).double(), currents())
    lif = LIF(0.9, 1.0, reset, WHEN[reset], compare=">")
    lif.hard = True
    # snnTorch keeps beta in float32
    lif.alpha = float(torch.tensor(0.9))
    ours = lif.states(currents())
    assert 1000 < int(spikes.sum()) < spikes.numel() / 2
    assert torch.equal(ours.spikes, spikes)
    assert torch.equal(ours.spikes, lif(currents()))
    torch.testing.assert_close(ours.u, u, rtol=1e-12, atol=1e-12)


def test_cuba_lif_is_synaptic() -> None:
    """With subtract reset; snnTorch's zero reset of `Synaptic` also empties the current."""
    neuron = snntorch.Synaptic(0.7, 0.9, 1.0, reset_mechanism="subtract").double()
    spikes, _ = theirs(neuron, currents())
    lif = CubaLIF(0.9, 0.7, 1.0, "subtract", "after_decay", compare=">")
    lif.hard = True
    lif.alpha, lif.beta = float(torch.tensor(0.9)), float(torch.tensor(0.7))
    assert int(spikes.sum()) > 1000
    assert torch.equal(lif(currents()), spikes)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_straight_through_is_the_classic_surrogate_gradient(reset: str) -> None:
    x, y = (currents().requires_grad_() for _ in range(2))
    gradient = surrogate.atan(alpha=2.0)
    leaky = snntorch.Leaky(0.9, 1.0, reset_mechanism=reset, spike_grad=gradient).double()
    lif = LIF(float(torch.tensor(0.9)), 1.0, reset, WHEN[reset], "atan", 2.0, ">")
    lif.mode = "straight_through"
    weights = torch.randn(8, 50, 30, generator=torch.Generator().manual_seed(1)).double()
    (theirs(leaky, x)[0] * weights).sum().backward()
    (lif(y) * weights).sum().backward()
    assert y.grad is not None
    assert y.grad.abs().mean() > 0.01
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-10, atol=1e-12)


def test_modes_of_any_module() -> None:
    class Mine(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = torch.nn.Sequential(torch.nn.Linear(30, 20), LIF(0.9))
            self.out = LIF(0.5, slope=2.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.block(x))

    net = Mine()
    swapped = hard(net)
    assert list(spiking_layers(net)) == ["block.1", "out"]
    assert {lif.mode for lif in spiking_layers(swapped).values()} == {"hard"}
    assert {lif.mode for lif in spiking_layers(net).values()} == {"surrogate"}
    assert set(swapped(currents().float()).unique().tolist()) <= {0.0, 1.0}
    set_slope(net, 9)
    set_mode(net, "straight_through")
    assert [lif.slope for lif in spiking_layers(net).values()] == [9, 9]


NEURON = {"alpha": 0.9, "threshold": 1.0, "reset": "zero", "reset_when": "before_decay"}


def test_convolution_recurrence_and_readout_in_a_network() -> None:
    torch.manual_seed(0)
    net = build(
        [
            {"name": "conv", "kind": "conv2d", "in_channels": 2, "out_channels": 3}
            | {"kernel_size": 3, "stride": 2, "padding": 1},
            {"name": "a", "kind": "lif", **NEURON},
            {"name": "flatten", "kind": "flatten"},
            {"name": "fc", "kind": "linear", "in_features": 27, "out_features": 8},
            {"name": "b", "kind": "lif", "recurrent": True, **NEURON},
            {"name": "c", "kind": "cuba_lif", "beta": 0.5, **NEURON},
            {"name": "readout", "kind": "li", "alpha": 0.9},
        ],
        (2, 6, 5),
    ).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(6)
    net = hard(net)
    events = (torch.rand(4, 12, 2, 6, 5, generator=torch.Generator().manual_seed(0)) < 0.4).byte()
    conv, fc, rec = net.get_submodule("conv"), net.get_submodule("fc"), net.get_submodule("b_rec")
    ua = sa = torch.zeros(4, 3, 3, 3).double()
    ub = sb = i = uc = sc = v = torch.zeros(4, 8).double()
    for t in range(12):
        ua = 0.9 * ua * (1 - sa) + conv(events[:, t : t + 1].double())[:, 0]
        sa = (ua >= 1).double()
        ub = 0.9 * ub * (1 - sb) + (fc(sa.flatten(1)) + rec(sb))
        sb = (ub >= 1).double()
        i = 0.5 * i + sb
        uc = 0.9 * uc * (1 - sc) + i
        sc = (uc >= 1).double()
        v = 0.9 * v + sc
        states = net.states(events)
        for name, u, s in (("a", ua, sa), ("b", ub, sb), ("c", uc, sc)):
            assert torch.equal(states[name].u[:, t], u)
            assert torch.equal(states[name].spikes[:, t], s)
        assert torch.equal(net(events)[:, t], v)
    assert all(0.02 < float(s.spikes.mean()) < 0.9 for s in states.values())
    assert net.contract(1e-3, None).readout.kind == "voltage_sum"
    assert net.contract(1e-3, None).neurons["c"].beta == 0.5
    assert build(net.description(), net.input_shape).description() == net.description()
