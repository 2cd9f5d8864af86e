"""Convolutions from NIR: the float program is the torch module, and every back end computes it."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest

pytest.importorskip("torch", reason="the networks are torch modules: the torch extra")

import torch

from sast_compile.backends import reference, torch_integers
from sast_compile.compile import lower
from sast_compile.errors import CompileError
from sast_compile.frontend.graph_module import GraphModule
from sast_compile.frontend.nir_conv import conv2d
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.torch_to_nir import to_nir
from sast_compile.ir.conv import geometry
from sast_compile.nn import Network, build, hard
from sast_compile.passes import Options
from sast_compile.target import load_target

NEURON = {"kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "zero"}
NEURON |= {"reset_when": "before_decay"}
SHAPES = [(3, 1, 0), (3, 2, 1), (5, 2, 2), (2, 3, 1)]


def network(kernel: int, stride: int, padding: int, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    first = {"in_channels": 2, "out_channels": 3, "kernel_size": kernel, "stride": stride}
    second = {"in_channels": 3, "out_channels": 4, "kernel_size": 2}
    layers: list[dict[str, Any]] = [
        {"name": "conv1", "kind": "conv2d", **first, "padding": padding},
        {"name": "lif1", **NEURON},
        {"name": "conv2", "kind": "conv2d", **second},
        {"name": "lif2", **NEURON},
        {"name": "flatten", "kind": "flatten"},
    ]
    shape = build(layers[:4], (2, 9, 7)).output_shape
    inputs = int(np.prod(shape))
    layers += [
        {"name": "fc", "kind": "linear", "in_features": inputs, "out_features": 5},
        {"name": "lif3", **NEURON},
    ]
    net = build(layers, (2, 9, 7))
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(3).add_(0.05)
    return net


def events(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((6, 10, 2, 9, 7)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES)
def test_the_float_program_is_the_hard_module(kernel: int, stride: int, padding: int) -> None:
    net = network(kernel, stride, padding)
    contract = net.contract(1e-3, None)
    trace = reference.run(to_program(to_nir(net, contract), contract, "net"), events())
    with torch.no_grad():
        wanted = hard(net).double().spikes(torch.from_numpy(events()))
    for name, spikes in wanted.items():
        assert 10 < spikes.sum() < 0.9 * spikes.numel()
        assert np.array_equal(trace[name].spikes, spikes.numpy())


@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES)
@pytest.mark.parametrize("bits", [8, 4])
def test_torch_integers_are_the_compiled_program(
    kernel: int, stride: int, padding: int, bits: int
) -> None:
    net = network(kernel, stride, padding)
    contract = net.contract(1e-3, None)
    graph = to_nir(net, contract)
    program = to_program(graph, contract, "net")
    compiled = lower(program, load_target("loihi2"), Options(bits, 10))[-1].program
    ours = reference.run(compiled, events(), record="states")
    module = GraphModule(graph, contract)
    for theirs in (
        torch_integers.run(net, compiled, events()),
        torch_integers.run(module, compiled, events(), module.holders(compiled)),
    ):
        for name in compiled.neurons:
            assert ours[name].spikes.sum() > 10
            assert np.array_equal(ours[name].spikes, theirs[name].spikes)
            for state in ("u", "v"):
                assert np.array_equal(ours[name].states[state], theirs[name].states[state])


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch, of an even kernel
@pytest.mark.parametrize(
    ("padding", "wanted"),
    [
        ("valid", ((0, 0), (0, 0))),
        ("same", ((1, 2), (2, 2))),
        (1, ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
    ],
)
def test_padding_in_words_is_torchs(padding: Any, wanted: Any) -> None:
    weight = np.ones((3, 2, 4, 5))
    node = nir.Conv2d(
        input_shape=(9, 8), weight=weight, stride=1, padding=padding, dilation=1, groups=1,
        bias=np.zeros(3),
    )  # fmt: skip
    op, kernel = conv2d("conv", node, weight)
    assert kernel is weight
    assert op.padding == wanted
    theirs = torch.nn.Conv2d(2, 3, (4, 5), padding=padding)(torch.zeros(1, 2, 9, 8))
    assert geometry(op, (2, 9, 8), weight.shape).output == tuple(theirs.shape[1:])


def test_one_bias_for_a_channel_is_one_for_each_of_its_neurons() -> None:
    net = network(3, 2, 1)
    contract = net.contract(1e-3, None)
    graph = to_nir(net, contract)
    graph.nodes["conv2"].bias[1] = 0.5
    program = to_program(graph, contract, "net")
    bias = program.consts["lif2.bias"].data
    assert np.array_equal(bias, np.broadcast_to([[[0.0]], [[0.5]], [[0.0]], [[0.0]]], bias.shape))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padding": "same"}, r"conv1: padding 'same' with stride \(2, 2\)"),
        ({"stride": (0, 1)}, r"conv1: stride = \(0, 1\) is no whole number >= 1, or two"),
        ({"groups": 0}, r"conv1: groups = 0 is no whole number >= 1"),
        ({"groups": 3}, r"conv1: 2 channels to 3 in 3 groups do not fit a weight \(3, 2, 3, 3\)"),
        ({"padding": 0, "dilation": 5}, r"conv1: a kernel spanning \[11, 11\] is larger than"),
        ({"bias": np.ones(4)}, r"conv1: bias \(4,\) does not fit 3 channels"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    net = network(3, 2, 1)
    contract = net.contract(1e-3, None)
    graph = to_nir(net, contract)
    for key, value in changes.items():
        setattr(graph.nodes["conv1"], key, value)
    with pytest.raises(CompileError, match=message):
        to_program(graph, contract, "net")
