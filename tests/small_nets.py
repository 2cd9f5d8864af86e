"""A small LIF net as a NIR graph, a checkpoint and an artifact: to be run, and to be spoilt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nir
import numpy as np

from sast_compile.artifact import Artifact
from sast_compile.compile import compile_model
from sast_compile.contract import METADATA_KEY, Contract, Encoding
from sast_compile.presets import named_contract

DT, TAU = 1e-3, 0.01
EDGES = [("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "output")]


def weights(rows: int, columns: int) -> np.ndarray[Any, Any]:
    """Mixed signs, and enough drive that both layers spike."""
    return np.random.default_rng(rows).uniform(-0.3, 1.0, (rows, columns))


def lif(n: int, **changes: Any) -> nir.LIF:
    """``n`` neurons v <- 0.9 v + I with threshold 1, but for ``changes``."""
    values = {
        "tau": np.full(n, TAU),
        "r": np.full(n, TAU / DT),
        "v_leak": np.zeros(n),
        "v_threshold": np.ones(n),
        "v_reset": np.zeros(n),
    }
    return nir.LIF(**(values | changes))


def nodes(**changes: nir.NIRNode | None) -> dict[str, nir.NIRNode]:
    """input (6) -> fc1 -> lif1 (5) -> fc2 -> lif2 (3) -> output, but for ``changes``."""
    plain: dict[str, nir.NIRNode] = {
        "input": nir.Input(np.array([6])),
        "fc1": nir.Linear(weights(5, 6)),
        "lif1": lif(5),
        "fc2": nir.Linear(weights(3, 5)),
        "lif2": lif(3),
        "output": nir.Output(np.array([3])),
    }
    return {name: node for name, node in (plain | changes).items() if node is not None}


def contract(**changes: Any) -> Contract:
    """The ``sast`` preset at 1 ms, 20 steps a sample."""
    encoding = Encoding(steps=20, axes="X", values="binary", bin="1 ms")
    fields = {"dt": DT, "leak": "euler", "reset": "zero", "reset_when": "before_decay"}
    return Contract(**({**fields, "compare": ">=", "encoding": encoding} | changes))


def graph(
    stated: Contract | str | None = None,
    edges: list[tuple[str, str]] = EDGES,
    **changes: nir.NIRNode | None,
) -> nir.NIRGraph:
    """The graph with ``stated`` as its contract; nir's own checks are left to the reader."""
    text = stated.to_json() if isinstance(stated, Contract) else stated
    metadata = {} if text is None else {METADATA_KEY: text}
    return nir.NIRGraph(nodes(**changes), list(edges), metadata, type_check=False)


def write_graph(path: Path, graph_: nir.NIRGraph | None = None) -> Path:
    """The graph (by default a good one with a contract) lies at ``path``."""
    with path.open("w+b") as file:
        nir.write(file, graph(contract()) if graph_ is None else graph_)
    return path


def write_model(path: Path, spoil: str = "") -> Path:
    """A checkpoint of the same shape lies at ``path``; ``spoil`` is nan or inf, in one weight."""
    import torch

    from sast_compile.nn import build, write_checkpoint

    torch.manual_seed(1)
    neuron = {"kind": "lif", "alpha": 0.9, "threshold": 1.0}
    neuron |= {"reset": "zero", "reset_when": "before_decay"}
    layers = [
        {"name": "fc1", "kind": "linear", "in_features": 6, "out_features": 5},
        {"name": "lif1", **neuron},
        {"name": "fc2", "kind": "linear", "in_features": 5, "out_features": 3},
        {"name": "lif2", **neuron},
    ]
    network = build(layers, (6,))
    with torch.no_grad():
        for name, rows, columns in (("fc1", 5, 6), ("fc2", 3, 5)):
            weight = network.get_submodule(name).weight
            weight.copy_(torch.from_numpy(weights(rows, columns)))
            if spoil:
                weight[1, 2] = float(spoil)
    write_checkpoint(path, network, network.contract(DT, contract().encoding))
    return path


def artifact(path: Path, bits: int = 8) -> Artifact:
    """The compiled net; its source is written to ``path`` (a ``.nir``)."""
    compiled = compile_model(os.fspath(write_graph(path)), bits=bits).artifact
    assert compiled is not None
    return compiled


PRESET = named_contract("sast", DT)
