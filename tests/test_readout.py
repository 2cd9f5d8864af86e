"""A network whose last layer only integrates: compiled, measured and verified like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="a .pt needs torch")

import torch

from sast_compile.compile import compile_model
from sast_compile.data import dataset
from sast_compile.frontend.source import read_source
from sast_compile.levels import hard_spikes, surrogate_spikes
from sast_compile.nn import build, write_checkpoint
from sast_compile.report.accuracy import accuracy_levels
from sast_compile.samples import samples_for
from sast_compile.verification import verify

LAYERS = [
    {"name": "flatten", "kind": "flatten"},
    {"name": "fc1", "kind": "linear", "in_features": 200, "out_features": 30, "bias": False},
    {"name": "lif1", "kind": "lif", "alpha": 0.9, "threshold": 0.3, "reset": "zero",
     "reset_when": "before_decay"},
    {"name": "fc2", "kind": "linear", "in_features": 30, "out_features": 10, "bias": False},
    {"name": "li", "kind": "li", "alpha": 0.9},
]  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> str:
    torch.manual_seed(0)
    network, data = build(LAYERS, input_shape=(2, 10, 10)), dataset("digits")
    path = tmp_path / "readout.pt"
    contract = network.contract(data.dt, data.encoding)
    write_checkpoint(str(path), network, contract, {"dataset": "digits"})
    return str(path)


def test_decisions_are_those_of_the_voltages(model: str) -> None:
    source = read_source(model)
    assert source.network is not None
    split = dataset("digits").load("validation")
    events = split.events[:20]
    with torch.no_grad():
        smooth = source.network(torch.as_tensor(events)).numpy()
    found = surrogate_spikes(source, events) or {}
    np.testing.assert_array_equal(found["li"], smooth)
    hard = hard_spikes(source, events) or {}
    assert hard["li"].dtype == np.float64
    assert hard["lif1"].any()


def test_it_compiles_with_its_accuracies_and_verifies(model: str) -> None:
    compiled = compile_model(model, target="loihi2", bits=8)
    assert compiled.artifact is not None
    source, program = compiled.source, compiled.artifact.program
    samples = samples_for(program, compiled.artifact.contract, "digits", 200)
    levels = accuracy_levels(source, program, samples)
    assert levels is not None
    assert levels.hard is not None
    assert abs(levels.hard - levels.integers) <= 0.1 * levels.n
    assert [one.layer for one in levels.drift] == ["lif1"]
    found = verify(compiled.artifact, samples=4, backends=["emulator", "torch"], model=model)
    assert all(layer.identical for one in found.checked for layer in one.layers)
