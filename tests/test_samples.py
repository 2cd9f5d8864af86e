"""Where the events come from: the data set a model names, else random ones, and that is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_programs import FloatLayer, float_chain

from sast_compile import samples
from sast_compile.contract import Contract, Encoding
from sast_compile.data import event_files
from sast_compile.errors import BadFile, CompileError
from sast_compile.ir.ops import Input
from sast_compile.ir.program import Node, Program
from sast_compile.ir.sparse import SparseEvents, from_dense
from sast_compile.samples import (
    RANDOM_DENSITY,
    RANDOM_STEPS,
    random_samples,
    samples_for,
    samples_from,
    samples_of,
)

PROGRAM = float_chain(FloatLayer(np.eye(7)))
ENCODING = Encoding(steps=9, axes="C", values="binary", bin="1 ms")


def contract(encoding: Encoding | None = None) -> Contract:
    return Contract(
        dt=1e-3, leak="euler", reset="zero", reset_when="after_fire", compare=">", encoding=encoding
    )


@pytest.mark.parametrize(("encoding", "steps"), [(None, RANDOM_STEPS), (ENCODING, 9)])
def test_random_events_fit_the_program_and_come_again(
    encoding: Encoding | None, steps: int
) -> None:
    first = random_samples(PROGRAM, contract(encoding), 40, "because")
    again = random_samples(PROGRAM, contract(encoding), 40, "because")
    assert first.events.shape == (40, steps, 7)
    assert first.events.dtype == np.uint8
    assert np.array_equal(first.events, again.events)
    assert first.events.mean() == pytest.approx(RANDOM_DENSITY, abs=0.02)
    assert first.labels is None
    assert first.origin == "40 random samples, density 0.1 (because)"


@pytest.mark.parametrize(("count", "made"), [(None, 16), (5, 5)])
@pytest.mark.parametrize("dataset", [None, "no such set"])
def test_a_model_without_a_known_data_set_gets_random_events(
    dataset: str | None, count: int | None, made: int
) -> None:
    found = samples_for(PROGRAM, contract(), dataset, count)
    assert len(found.events) == made
    assert "the model names no known data set" in found.origin


def test_a_data_set_that_cannot_be_loaded_is_replaced_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(*_: Any) -> Any:
        raise CompileError("scikit-learn is not installed", hint="pip install sast-compile[data]")

    monkeypatch.setattr(samples, "open_dataset", absent)
    found = samples_for(PROGRAM, contract(), "digits", 3)
    assert found.events.shape == (3, RANDOM_STEPS, 7)
    assert "scikit-learn is not installed" in found.origin


def test_the_first_samples_of_a_data_set_with_their_labels() -> None:
    pytest.importorskip("sklearn", reason="the digits: the data extra")
    some = samples_for(PROGRAM, contract(), "digits", 5)
    every = samples_for(PROGRAM, contract(), "digits", None)
    assert some.events.shape[0] == 5
    assert some.labels is not None
    assert every.labels is not None
    assert np.array_equal(some.events, every.events[:5])
    assert np.array_equal(some.labels, every.labels[:5])
    assert some.origin == "digits, test split, first 5"
    more = samples_for(PROGRAM, contract(), "digits", 10**6)
    assert len(more.events) == len(every.events)
    train = samples_for(PROGRAM, contract(), "digits", 5, split="train")
    assert train.origin == "digits, train split, first 5"
    assert not np.array_equal(train.events, some.events)


# recordings, one by one

EVENT = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
CAMERA = Program("camera", (Node("x", Input(shape=(2, 4, 3))),), ("x",))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five recordings, two of them below, whose number of events is in the file."""

    def read(path: str) -> np.ndarray:
        n = int(Path(path).read_text())
        rng = np.random.default_rng(n)
        events = np.zeros(n, EVENT)
        for field, size in (("x", 3), ("y", 4), ("p", 2), ("t", 1000)):
            events[field] = rng.integers(0, size, n)
        return events

    monkeypatch.setitem(event_files.READERS, ".bin", read)
    (tmp_path / "set" / "below").mkdir(parents=True)
    for number, name in enumerate(["a.bin", "below/c.bin", "below/b.bin", "z.BIN", "d.bin"]):
        (tmp_path / "set" / name).write_text(str(7 + number))
    (tmp_path / "set" / "notes.txt").write_text("no recording")
    return tmp_path / "set"


ORDER = [("a.bin", 7), ("below/b.bin", 9), ("below/c.bin", 8), ("d.bin", 11), ("z.BIN", 10)]


@pytest.mark.parametrize("values", ["binary", "counts"])
def test_a_folder_of_recordings_by_path(folder: Path, values: Any) -> None:
    stated = contract(Encoding(steps=6, axes="PYX", values=values, bin="recording / 6"))
    found = samples_from(CAMERA, stated, str(folder), None, None)
    assert (found.count, found.steps, found.held, found.labels) == (5, 6, 0, None)
    for at, (name, n) in enumerate(ORDER):
        part = found.cut(at, at + 1)
        assert isinstance(part, Mapping)
        assert isinstance(part["x"], SparseEvents) == (values == "binary")
        one = samples_from(CAMERA, stated, str(folder / name), None, None)
        assert np.array_equal(found.events[at : at + 1], one.events)
        if values == "counts":
            assert one.events.sum() == n
    assert found.events.shape == (5, 6, 2, 4, 3)
    assert samples_from(CAMERA, stated, str(folder), None, 2).count == 2


def test_only_the_recordings_of_a_chunk_are_read(folder: Path) -> None:
    (folder / "d.bin").write_text("broken")
    stated = contract(Encoding(steps=6, axes="PYX", values="binary", bin="recording / 6"))
    found = samples_from(CAMERA, stated, str(folder), None, None)
    assert found.array(0, 3).any(axis=(1, 2, 3, 4)).all()
    with pytest.raises(ValueError, match="broken"):
        found.cut(3, 4)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"holds no recording; hint: \*\.bin or \*\.aedat"):
        samples_from(CAMERA, contract(ENCODING), str(tmp_path), None, None)
    (tmp_path / "a.bin").write_text("1")
    with pytest.raises(CompileError, match="states no encoding"):
        samples_from(CAMERA, contract(), str(tmp_path), None, None)


def test_inputs_that_differ_in_samples_are_refused() -> None:
    two = Program("two", tuple(Node(n, Input(shape=(2,))) for n in "ab"), ("a",))
    x = np.zeros((3, 4, 2), np.uint8)
    assert samples_of(two, {"a": x, "b": from_dense(x)}, "x").count == 3
    with pytest.raises(CompileError, match="differ in samples or steps"):
        samples_of(two, {"a": x, "b": x[:2]}, "x")
    with pytest.raises(CompileError, match="the inputs are"):
        samples_of(two, {"a": x}, "x")
