"""Torch networks as NIR: the equations give back alpha and gain, names and contract survive."""

from __future__ import annotations

import os
from pathlib import Path

import nir
import numpy as np
import pytest

pytest.importorskip("torch", reason="the network is a torch module: the torch extra")

import torch

from sast_compile.contract import METADATA_KEY, Contract, Encoding, contract_from_json
from sast_compile.errors import BadFile
from sast_compile.frontend.torch_to_nir import to_nir, write_nir
from sast_compile.nn.network import Network, build

NEURON = {"threshold": 0.7, "reset": "zero", "reset_when": "before_decay"}
LAYERS = [
    {"name": "flatten", "kind": "flatten"},
    {"name": "fc1", "kind": "linear", "in_features": 12, "out_features": 5, "bias": True},
    {"name": "lif1", "kind": "lif", "alpha": 0.9, **NEURON},
    {"name": "fc2", "kind": "linear", "in_features": 5, "out_features": 3, "bias": False},
    {"name": "if2", "kind": "if", **NEURON},
]
DT = 1e-3


def network() -> tuple[Network, Contract]:
    torch.manual_seed(0)
    net = build(LAYERS, (2, 3, 2))
    encoding = Encoding(steps=4, axes="PYX", values="binary", bin="1 ms")
    return net, net.contract(DT, encoding)


def test_nodes_have_the_layers_names_types_and_order() -> None:
    graph = to_nir(*network())
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert kinds == {
        "input": "Input",
        "flatten": "Flatten",
        "fc1": "Affine",
        "lif1": "LIF",
        "fc2": "Linear",
        "if2": "IF",
        "output": "Output",
    }
    names = list(kinds)
    assert graph.edges == [(names[i], names[i + 1]) for i in range(len(names) - 1)]
    assert graph.nodes["input"].input_type["input"].tolist() == [2, 3, 2]
    assert graph.nodes["output"].output_type["output"].tolist() == [3]


def test_weights_keep_their_precision_and_neurons_have_float64() -> None:
    net, contract = network()
    nodes = to_nir(net, contract).nodes
    state = {key: value.double().numpy() for key, value in net.state_dict().items()}
    assert np.array_equal(nodes["fc1"].weight, state["fc1.weight"])
    assert np.array_equal(nodes["fc1"].bias, state["fc1.bias"])
    assert np.array_equal(nodes["fc2"].weight, state["fc2.weight"])
    for name, shape in (("lif1", (5,)), ("if2", (3,))):
        assert np.array_equal(nodes[name].v_threshold, np.full(shape, 0.7))
        assert np.array_equal(nodes[name].v_reset, np.zeros(shape))
        kept = [a for a in vars(nodes[name]).values() if hasattr(a, "dtype")]
        assert {array.dtype for array in kept} == {np.dtype(np.float64)}
    assert nodes["fc1"].weight.dtype == np.float32
    assert to_nir(net.double(), contract).nodes["fc1"].weight.dtype == np.float64


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("dt", [1e-6, 1e-3, 1.0])
def test_one_euler_step_of_the_equation_is_the_neuron(alpha: float, dt: float) -> None:
    net = build([{"name": "n", "kind": "lif", "alpha": alpha, **NEURON}], (2,))
    node = to_nir(net, net.contract(dt, None)).nodes["n"]
    np.testing.assert_allclose(1 - dt / node.tau, alpha, atol=1e-12)
    np.testing.assert_allclose(dt / node.tau * node.r, 1.0, rtol=1e-14)
    assert np.array_equal(node.v_leak, [0, 0])


@pytest.mark.parametrize("kind", [{"kind": "if"}, {"kind": "lif", "alpha": 1.0}])
def test_a_neuron_without_leak_is_nirs_if(kind: dict[str, object]) -> None:
    net = build([{"name": "n", **kind, **NEURON}], (2,))
    node = to_nir(net, net.contract(DT, None)).nodes["n"]
    assert isinstance(node, nir.IF)
    assert (DT * node.r == 1).all()


def test_everything_comes_back_from_the_file(tmp_path: Path) -> None:
    net, contract = network()
    path = tmp_path / "net.nir"
    write_nir(to_nir(net, contract), path)
    graph = nir.read(path)
    assert contract_from_json(graph.metadata[METADATA_KEY], "net.nir") == contract
    assert graph.edges == to_nir(net, contract).edges
    for name, node in to_nir(net, contract).nodes.items():
        assert type(graph.nodes[name]) is type(node)
        for key, value in vars(node).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(getattr(graph.nodes[name], key), value)
    flatten = graph.nodes["flatten"]
    assert (int(flatten.start_dim), int(flatten.end_dim)) == (0, -1)


def test_the_same_graph_has_the_same_bytes_and_leaves_nothing_beside(tmp_path: Path) -> None:
    graph = to_nir(*network())
    for name in ("a.nir", "b.nir"):
        write_nir(graph, tmp_path / name)
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.nir", "b.nir"]


def test_an_unwritable_place_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be written"):
        write_nir(to_nir(*network()), tmp_path / "nowhere" / "a.nir")
