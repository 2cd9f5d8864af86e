"""Networks from plain data: strict, printable, swapped in one call, exact in float64."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="a network is a torch module: the torch extra")

import torch

from sast_compile.contract import Contract, Discretised, Encoding
from sast_compile.errors import CompileError, TypeMismatch, Unsupported
from sast_compile.nn.modes import hard
from sast_compile.nn.network import Network, build

NEURON = {"kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "zero"}
NEURON |= {"reset_when": "before_decay", "compare": ">=", "surrogate": "sigmoid", "slope": 5.0}
INTEGRATE = {key: value for key, value in NEURON.items() if key != "alpha"} | {"kind": "if"}
DESCRIPTION: list[dict[str, Any]] = [
    {"name": "flatten", "kind": "flatten"},
    {"name": "fc1", "kind": "linear", "in_features": 12, "out_features": 6, "bias": True},
    {"name": "lif1", **NEURON},
    {"name": "fc2", "kind": "linear", "in_features": 6, "out_features": 3, "bias": False},
    {"name": "if2", **INTEGRATE},
]
SHAPE = (2, 3, 2)
ENCODING = Encoding(steps=9, axes="PYX", values="binary", bin="1 ms")


def network() -> Network:
    torch.manual_seed(0)
    net = build(DESCRIPTION, SHAPE)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(3).add_(0.1)
    return net


def events() -> torch.Tensor:
    return (torch.rand(5, 9, *SHAPE, generator=torch.Generator().manual_seed(1)) < 0.3).to(
        torch.uint8
    )


def test_the_description_comes_back() -> None:
    net = build(DESCRIPTION, SHAPE)
    assert net.description() == DESCRIPTION
    assert build(net.description(), net.input_shape).description() == DESCRIPTION
    assert list(net.description()[1]) == ["name", "kind", "in_features", "out_features", "bias"]


def test_names_shapes_and_weights() -> None:
    net = build(DESCRIPTION, SHAPE)
    assert net.shapes() == {"flatten": (12,), "fc1": (6,), "lif1": (6,), "fc2": (3,), "if2": (3,)}
    assert set(net.state_dict()) == {"fc1.weight", "fc1.bias", "fc2.weight"}
    assert net(events()).shape == (5, 9, 3)
    assert net.output_shape == (3,)
    assert list(net.neurons()) == ["lif1", "if2"]


def test_hard_float64_equals_the_network_written_in_numpy() -> None:
    net = hard(network()).double()
    x = events().numpy().reshape(5, 9, 12).astype(float)
    w1, b1, w2 = (p.detach().numpy() for p in net.parameters())
    u1, s1, u2, s2 = (np.zeros((5, n)) for n in (6, 6, 3, 3))
    seen = net.states(events())
    for t in range(9):
        u1 = 0.9 * u1 * (1 - s1) + (x[:, t] @ w1.T + b1)
        s1 = (u1 >= 1) * 1.0
        u2 = u2 * (1 - s2) + s1 @ w2.T
        s2 = (u2 >= 1) * 1.0
        assert np.array_equal(seen["lif1"].spikes[:, t].numpy(), s1)
        assert np.array_equal(seen["if2"].spikes[:, t].numpy(), s2)
        np.testing.assert_allclose(seen["lif1"].u[:, t].detach().numpy(), u1, atol=1e-12)
        np.testing.assert_allclose(seen["if2"].u[:, t].detach().numpy(), u2, atol=1e-12)
    assert all(states.spikes.sum() > 5 for states in seen.values())


def test_forward_is_the_last_of_the_spikes() -> None:
    net = network()
    seen = net.spikes(events())
    assert list(seen) == ["lif1", "if2"]
    assert torch.equal(net(events()), seen["if2"])


def test_hard_swaps_a_deep_copy_only() -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    swapped = hard(net)
    assert set(swapped(events()).unique().tolist()) == {0.0, 1.0}
    assert not set(net(events()).unique().tolist()) <= {0.0, 1.0}
    with torch.no_grad():
        next(swapped.parameters()).zero_()
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert swapped.description() == net.description()


def test_events_of_any_dtype_are_taken() -> None:
    net = network()
    assert torch.equal(net(events()), net(events().float()))
    assert net.double()(events()).dtype == torch.float64
    no_weights = build([{"name": "only", **INTEGRATE}], (2,))
    assert no_weights(torch.ones(1, 3, 2, dtype=torch.uint8)).dtype == torch.float32
    assert no_weights(torch.ones(1, 3, 2, dtype=torch.float64)).dtype == torch.float64


def test_the_contract_states_every_population() -> None:
    assert network().contract(1e-3, ENCODING) == Contract(
        dt=1e-3,
        leak="euler",
        reset="zero",
        reset_when="before_decay",
        compare=">=",
        neurons={"lif1": Discretised(0.9), "if2": Discretised(1.0)},
        encoding=ENCODING,
    )


def test_one_contract_has_one_reset_rule() -> None:
    mixed = [*DESCRIPTION[:-1], {**DESCRIPTION[-1], "compare": ">"}]
    with pytest.raises(Unsupported, match=r"if2: resets and compares as .* but lif1 as"):
        build(mixed, SHAPE).contract(1e-3, None)


@pytest.mark.parametrize("shape", [(5, 9, 12), (5, 9, 2, 3, 3), (5,), (12,)])
def test_events_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TypeMismatch, match=r"expects events \(batch, T, 2, 3, 2\), got"):
        network()(torch.zeros(shape))


def changed(at: int, **change: Any) -> list[Any]:
    layers: list[Any] = copy.deepcopy(DESCRIPTION)
    layers[at] |= change
    return layers


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (
            changed(1, kind="linea"),
            "fc1: Invalid value 'linea'.* kinds: flatten, linear, conv2d",
        ),
        (changed(1, biass=True), "fc1: .*unknown field `biass`"),
        (changed(1, bias="no"), "fc1: Expected `bool`, got `str`"),
        (changed(1, in_features=True), "fc1: Expected `int`, got `bool`"),
        (changed(1, in_features=0), "fc1: Expected `int` >= 1"),
        (changed(1, in_features=10**30), "fc1: Expected `int` <="),
        (changed(1, in_features=13), r"fc1: takes 13 inputs but is given shape \(12,\)"),
        (changed(2, alpha=None), "lif1: Expected `float`, got `null`"),
        (changed(2, alpha=1.5), "lif1: leak factor alpha = 1.5"),
        (changed(2, threshold=-1.0), "lif1: threshold -1.0"),
        (changed(2, reset="none"), "lif1: Invalid enum value 'none'"),
        (changed(2, reset_when="after_decay"), "lif1: unknown reset"),
        (changed(4, alpha=0.9), "if2: .*unknown field `alpha`"),
        (changed(2, name="fc1"), "fc1: the name is taken"),
        (changed(2, name="input"), "input: the name is taken"),
        (changed(2, name="forward"), "forward: torch uses this name itself"),
        (changed(2, name="a.b"), "a.b: Expected `str` matching regex"),
        (changed(2, name="lif1\n"), "matching regex"),
        (changed(2, name=7), "layer 2: Expected `str`, got `int`"),
        (changed(2, name=""), "layer 2: "),
        ([{"kind": "flatten"}], "layer 0: .*missing required field `name`"),
        ([{"name": "a"}], "a: .*missing required field `kind`"),
        ([3], "layer 0: Expected `object`, got `int`"),
        (DESCRIPTION[1:], r"fc1: takes 12 inputs .*\(2, 3, 2\); hint: put a flatten layer"),
        (DESCRIPTION[:-1], "fc2: the last layer emits no spikes"),
        ([], "at least one layer"),
        ("lif", "a list of layers, not str"),
        ({"name": "a"}, "a list of layers, not dict"),
    ],
)
def test_a_description_that_states_no_network_is_refused(description: Any, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        build(description, SHAPE)


@pytest.mark.parametrize(
    "shape", [(), (0,), (-2, 3), (2.5,), ("2",), (10**30,), (2,) * 9, (65536,) * 2, None, 4]
)
def test_an_input_shape_that_is_none_is_refused(shape: Any) -> None:
    with pytest.raises(CompileError, match="input shape"):
        build(DESCRIPTION, shape)
