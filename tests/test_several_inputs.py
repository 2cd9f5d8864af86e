"""A graph with two inputs and two outputs: events as one structured array, all the way."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
from small_nets import EDGES, contract, graph, lif, write_graph

from sast_compile.artifact import artifact_bytes, load_artifact, save_artifact
from sast_compile.backends import reference
from sast_compile.compile import compile_model
from sast_compile.errors import CompileError
from sast_compile.ir.events import by_input, together
from sast_compile.samples import samples_for, samples_from

RNG = np.random.default_rng(2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    nodes = {
        "other": nir.Input(np.array([4])),
        "fc3": nir.Linear(RNG.normal(0.4, 0.5, (5, 4))),
        "side": nir.Linear(RNG.normal(0.4, 0.5, (2, 5))),
        "lif3": lif(2),
        "second": nir.Output(np.array([2])),
    }
    edges = [*EDGES, ("other", "fc3"), ("fc3", "lif1")]
    edges += [("lif1", "side"), ("side", "lif3"), ("lif3", "second")]
    return write_graph(tmp_path / "net.nir", graph(contract(encoding=None), edges, **nodes))


def test_events_of_several_inputs_are_one_array_that_can_be_cut(model: Path) -> None:
    program = compile_model(model).source.program
    assert set(program.inputs) == {"input", "other"}
    assert set(program.outputs) == {"lif2", "lif3"}
    events = samples_for(program, contract(), None, 12).events
    assert events.shape[0] == 12
    assert {k: np.shape(v) for k, v in by_input(program, events[3:5]).items()} == {
        "input": (2, events.shape[1], 6),
        "other": (2, events.shape[1], 4),
    }
    whole, part = reference.run(program, events), reference.run(program, events[3:5])
    for name in program.neurons:
        assert np.array_equal(whole[name].spikes[3:5], part[name].spikes)
        assert whole[name].spikes.sum() > 0
    named = reference.run(program, by_input(program, events))
    assert all(np.array_equal(named[n].spikes, whole[n].spikes) for n in program.neurons)


def test_the_file_keeps_them(model: Path, tmp_path: Path) -> None:
    artifact = compile_model(model).artifact
    assert artifact is not None
    save_artifact(artifact, tmp_path / "net.sast")
    read = load_artifact(tmp_path / "net.sast")
    assert read == artifact
    assert artifact_bytes(read) == artifact_bytes(artifact)


def test_arrays_by_the_names_of_the_inputs(model: Path, tmp_path: Path) -> None:
    program = compile_model(model).source.program
    given = {"input": np.ones((2, 7, 6), np.uint8), "other": np.zeros((2, 7, 4), np.uint8)}
    np.savez(tmp_path / "events.npz", **given)
    found = samples_from(program, contract(), str(tmp_path / "events.npz"), None, 1).events
    assert found.shape == (1, 7)
    assert found["input"].all()
    np.savez(tmp_path / "half.npz", input=given["input"])
    with pytest.raises(CompileError, match="holds no array 'other'"):
        samples_from(program, contract(), str(tmp_path / "half.npz"), None, 1)


def test_inputs_of_other_lengths_are_refused() -> None:
    with pytest.raises(CompileError, match="differ in samples or steps"):
        together({"a": np.ones((2, 7, 3)), "b": np.ones((2, 6, 3))})
