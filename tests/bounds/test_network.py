"""The bounds of whole networks: random ones, driven as hard as binary events can."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from sast_compile.bounds.network import LayerBounds, network_bounds, spectral_norm, total
from sast_compile.errors import CompileError
from sast_compile.nn import Network, build, set_mode
from sast_compile.nn.neurons import RESETS
from sast_compile.nn.surrogates import SURROGATES

STEPS = 8
NEURONS = st.fixed_dictionaries(
    {
        "alpha": st.floats(0, 1),
        "threshold": st.floats(0.1, 3),
        "rule": st.sampled_from(RESETS),
        "surrogate": st.sampled_from(sorted(SURROGATES)),
        "slope": st.floats(0.5, 10),
        "beta": st.none() | st.floats(0, 0.9),
    }
)


def neuron(name: str, plain: dict[str, Any], recurrent: bool = False) -> dict[str, Any]:
    rest = {k: v for k, v in plain.items() if k not in ("rule", "beta")}
    reset, when = plain["rule"]
    kind = {"kind": "lif"} if plain["beta"] is None else {"kind": "cuba_lif", "beta": plain["beta"]}
    return {"name": name, **kind, **rest, "reset": reset, "reset_when": when,
            "recurrent": recurrent}  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """conv, recurrent linear, linear; weights of any size and sign."""
    bias = draw(st.booleans())
    conv = {"name": "conv", "kind": "conv2d", "in_channels": 2, "out_channels": 3, "bias": bias,
            "kernel_size": draw(st.integers(1, 4)), "stride": draw(st.integers(1, 2)),
            "padding": draw(st.integers(0, 2))}  # fmt: skip
    side = (6 + 2 * conv["padding"] - conv["kernel_size"]) // conv["stride"] + 1
    wide = 3 * side * side
    description = [
        conv,
        neuron("a", draw(NEURONS)),
        {"name": "flat", "kind": "flatten"},
        {"name": "fc1", "kind": "linear", "in_features": wide, "out_features": 5, "bias": bias},
        neuron("b", draw(NEURONS), recurrent=draw(st.booleans())),
        {"name": "fc2", "kind": "linear", "in_features": 5, "out_features": 3},
        draw(st.just({"name": "out", "kind": "li", "alpha": 0.8}) | NEURONS.map(
            lambda plain: neuron("out", plain))),
    ]  # fmt: skip
    torch.manual_seed(draw(st.integers(0, 2**31)))
    network = build(description, (2, 6, 6)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            size, shift = 10 ** draw(st.floats(-1, 0.7)), draw(st.sampled_from([-1, 0, 0, 1]))
            parameter.copy_(size * (torch.randn_like(parameter) + shift))
    return network


def driving(network: Network, layers: tuple[LayerBounds, ...]) -> torch.Tensor:
    """Binary events: silence, everything, and what drives one first neuron up or down."""
    torch.manual_seed(0)
    first = torch.zeros(1, 1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    conv: Any = network.get_submodule("conv")
    current = conv2d(first[0], conv.weight, None, conv.stride, conv.padding).flatten()
    middle = current[len(current) // 2]
    (pulls,) = torch.autograd.grad(middle, first)
    kinds = [torch.zeros_like(pulls), torch.ones_like(pulls), (pulls > 0), (pulls < 0)]
    steady = torch.cat([kind.double().expand(1, STEPS, -1, -1, -1) for kind in kinds])
    turning = torch.cat([steady[2:3, : STEPS // 2], steady[3:, STEPS // 2 :]], dim=1)
    density = torch.rand(12, 1, 1, 1, 1)
    return torch.cat([steady, turning, (torch.rand(12, STEPS, 2, 6, 6) < density).double()])


@settings(max_examples=60, deadline=None)
@given(networks())
def test_no_membrane_leaves_its_range(network: Network) -> None:
    layers = {layer.layer: layer for layer in network_bounds(network, STEPS)}
    events = driving(network, tuple(layers.values()))
    for mode in ("surrogate", "hard"):
        set_mode(network, mode)
        with torch.no_grad():
            states = network.states(events)
        for name, seen in states.items():
            for horizon in layers[name].horizons:
                allowed = horizon.hard if mode == "hard" else horizon.smooth
                slack = 1e-9 * (1 + np.nan_to_num(np.abs(allowed.low), posinf=0))
                u = seen.u.numpy()
                assert (u >= allowed.low - slack).all()
                assert (u <= allowed.high + 1e-9 * (1 + np.abs(u))).all()


@settings(max_examples=60, deadline=None)
@given(networks(), st.floats(-3, 0.5))
def test_no_pair_of_inputs_exceeds_the_lipschitz_bound(network: Network, size: float) -> None:
    layers = network_bounds(network, STEPS)
    events = driving(network, layers)
    away = 10**size * torch.randn_like(events)
    away[8:] = events[8:].flip(0) - events[8:]  # other events
    with torch.no_grad():
        steepest_pair(network, events[:8], away[:8])
        first, second = network(events), network(events + away)
    kept = away.flatten(1).norm(dim=1) > 0
    apart = away.flatten(1).norm(dim=1)[kept]
    spikes = (first - second).flatten(1).norm(dim=1)[kept] / apart
    sums = (first - second).sum(dim=1).norm(dim=1)[kept] / apart
    for bound in total(layers):
        assert spikes.max() <= bound.spikes * (1 + 1e-6) + 1e-7
        assert sums.max() <= bound.sums * (1 + 1e-6) + 1e-7


def steepest_pair(network: Network, events: torch.Tensor, away: torch.Tensor) -> None:
    """Turns ``away`` in place to where the output changes most, by one step of the power method."""
    with torch.enable_grad():
        x = events.clone().requires_grad_()
        output = network(x)
        (direction,) = torch.autograd.grad(output, x, torch.randn_like(output))
    length = direction.flatten(1).norm(dim=1).clamp(min=1e-30)
    scale = away.flatten(1).norm(dim=1) / length
    away.copy_(direction * scale.view(-1, 1, 1, 1, 1))


def small(**changes: Any) -> Network:
    """One input, one neuron, weight 1."""
    plain = {"alpha": 0.9, "threshold": 1.0, "rule": RESETS[0], "surrogate": "sigmoid",
             "slope": 2.0, "beta": None, **changes}  # fmt: skip
    network = build(
        [{"name": "fc", "kind": "linear", "in_features": 1, "out_features": 1}, neuron("n", plain)],
        (1,),
    ).double()
    with torch.no_grad():
        network.get_submodule("fc").weight.fill_(1.0)
    return network


@pytest.mark.parametrize("rule", RESETS)
def test_ten_percent_less_is_exceeded_by_a_pair_of_inputs(rule: Any) -> None:
    network = small(rule=rule)
    x = torch.tensor([[[0.9995]], [[1.0005]]], dtype=torch.float64)
    with torch.no_grad():
        spikes = network(x)
    found = float((spikes[0] - spikes[1]).norm() / (x[0] - x[1]).norm())
    bound = total(network_bounds(network, 1))[1].spikes
    assert 0.9 * bound < found <= bound


def test_ten_percent_less_is_exceeded_by_a_membrane() -> None:
    network = small()
    with torch.no_grad():
        network.get_submodule("fc").weight.fill_(-3.0)
        u = network.states(torch.ones(1, STEPS, 1))["n"].u
    ever, sample = network_bounds(network, STEPS)[0].horizons
    assert ever.hard.low.item() == pytest.approx(-30)
    assert float(sample.hard.low.item()) <= float(u.min()) < 0.9 * float(sample.hard.low.item())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 3), st.integers(0, 2**31))
def test_the_norm_of_a_convolution(kernel: int, stride: int, padding: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = torch.nn.Conv2d(2, 3, kernel, stride, padding, bias=False).double()
    with torch.no_grad():
        columns = layer(torch.eye(2 * 36, dtype=torch.float64).view(-1, 2, 6, 6)).flatten(1)
        true = float(torch.linalg.matrix_norm(columns, ord=2))
        assert true <= spectral_norm(layer, (2, 6, 6)) <= 5 * true


def test_the_norm_of_a_kernel_of_one_pixel_is_exact() -> None:
    layer = torch.nn.Conv2d(2, 3, 1, bias=False).double()
    with torch.no_grad():
        true = float(torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2))
        assert spectral_norm(layer, (2, 6, 6)) == pytest.approx(true)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(RESETS), st.integers(2, 8), st.integers(0, 2**31))
def test_integers_stay_in_the_safe_register(rule: Any, bits: int, seed: int) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(4, 6, dtype=torch.float64)
    network = build(
        [{"name": "fc", "kind": "linear", "in_features": 6, "out_features": 4},
         neuron("n", {"alpha": 0.75, "threshold": 1.0, "rule": rule, "surrogate": "sigmoid",
                      "slope": 5.0, "beta": None})],
        (6,),
    ).double()  # fmt: skip
    network.get_submodule("fc").weight.data.copy_(weight)
    register = network_bounds(network, bits=(bits,))[0].horizons[0].registers[bits]
    scale = float(weight.abs().max()) / (2 ** (bits - 1) - 1)
    integers, theta = (weight / scale).round().numpy(), round(1 / scale)
    assert theta < 2 ** (register.least - 1)
    events = torch.cat([driven_ends(weight), (torch.rand(20, 40, 6) < 0.5).double()]).numpy()
    seen = membranes(integers, theta, rule, events)
    assert register.safe is not None
    assert -(2 ** (register.safe - 1)) <= seen.min()
    assert max(seen.max(), theta) <= 2 ** (register.safe - 1) - 1


def driven_ends(weight: torch.Tensor) -> torch.Tensor:
    ends = torch.cat([weight > 0, weight < 0]).double()
    return ends.unsqueeze(1).expand(-1, 40, -1)


def membranes(weight: Any, theta: int, rule: Any, events: Any) -> Any:
    """The membranes before the spike of integers with leak 3/4 and floor, in all steps."""
    w = s = np.zeros((len(events), len(weight)))
    seen = []
    for now in events.transpose(1, 0, 2):
        match rule:
            case "zero", _:
                kept = np.floor(w * (1 - s) * 3 / 4)
            case "subtract", "after_fire":
                kept = np.floor((w - theta * s) * 3 / 4)
            case _:
                kept = np.floor(w * 3 / 4) - theta * s
        w = kept + now @ weight.T
        s = (w >= theta).astype(float)
        seen.append(w)
    return np.stack(seen)


def test_a_loop_that_does_not_contract_has_no_bound_for_ever() -> None:
    network = build(
        [{"name": "fc", "kind": "linear", "in_features": 2, "out_features": 2},
         neuron("n", {"alpha": 0.5, "threshold": 1.0, "rule": RESETS[0], "surrogate": "sigmoid",
                      "slope": 2.0, "beta": None}, recurrent=True)],
        (2,),
    )  # fmt: skip
    network.get_submodule("n_rec").weight.data = 4 * torch.eye(2)
    (layer,) = network_bounds(network, STEPS)
    assert layer.recurrent == pytest.approx(4)
    assert layer.contraction > 2
    assert layer.horizons[0].lipschitz == math.inf
    assert layer.horizons[1].lipschitz < math.inf
    assert math.isfinite(layer.horizons[0].hard.high.max())  # spikes cannot exceed 1


def test_counts_of_events_widen_the_ranges() -> None:
    network = small()
    once, thrice = (network_bounds(network, highest_input=n)[0].horizons[0] for n in (1.0, 3.0))
    assert thrice.hard.high.item() == pytest.approx(3 * once.hard.high.item())


def test_what_is_no_population_is_refused() -> None:
    from sast_compile.bounds.network import population_of

    with pytest.raises(CompileError, match="no bounds for a ReLU"):
        population_of(torch.nn.ReLU())
