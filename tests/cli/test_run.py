"""``sast-compile run``: what the interpreter gives, and events that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import (
    Command,
    document,
    files,
)

from sast_compile.artifact import load_artifact
from sast_compile.backends import reference


@pytest.fixture
def events(here: Path) -> np.ndarray[Any, Any]:
    drawn = (np.random.default_rng(3).random((4, 12, 6)) < 0.3).astype(np.uint8)
    np.save("events.npy", drawn)
    return drawn


def test_run_on_the_models_own_data(sast: Command, here: Path) -> None:
    found = document(sast("run", "net.sast", "--samples", 3, "--json"))
    assert found["samples"] == len(found["decisions"]) == 3
    assert found["correct"] is None  # random events have no label
    assert "decisions: " in sast("run", "net.sast").out


@pytest.mark.parametrize("record", ["outputs", "spikes", "states"])
def test_run_writes_what_the_interpreter_gives(
    sast: Command, here: Path, events: np.ndarray[Any, Any], record: str
) -> None:
    ended = sast("run", "net.sast", "--input", "events.npy", "--record", record, "-o", "out.npz")
    assert (ended.code, ended.err) == (0, "")
    program = load_artifact("net.sast").program
    trace = reference.run(program, events, record)  # type: ignore[arg-type]
    expected = {f"{n}.spikes": layer.spikes for n, layer in trace.layers.items()}
    for name, layer in trace.layers.items():
        expected |= {f"{name}.{state}": data for state, data in layer.states.items()}
    with np.load("out.npz", allow_pickle=False) as written:
        assert set(written.files) == set(expected)
        assert all(np.array_equal(written[key], expected[key]) for key in expected)
    count = {"outputs": 1, "spikes": 2, "states": 6}
    assert len(expected) == count[record]


def test_run_takes_whole_numbers_of_any_type(
    sast: Command, here: Path, events: np.ndarray[Any, Any]
) -> None:
    wanted = document(sast("run", "net.sast", "--input", "events.npy", "--json"))["spikes"]
    for kind in (bool, np.int64, np.float32, ">i2"):
        np.save("events.npy", events.astype(kind))
        found = document(sast("run", "net.sast", "--input", "events.npy", "--json"))
        assert found["spikes"] == wanted


BAD_EVENTS = {
    "of another shape": (np.zeros((4, 12, 7), np.uint8), "(samples, steps, 6) is expected"),
    "without steps": (np.zeros((4, 0, 6), np.uint8), "(samples, steps, 6) is expected"),
    "without samples": (np.zeros((0, 12, 6), np.uint8), "events of shape (0, 12, 6)"),
    "one number": (np.uint8(1), "(samples, steps, 6) is expected"),
    "one axis": (np.zeros(6, np.uint8), "(samples, steps, 6) is expected"),
    "too large": (np.full((1, 2, 6), 2, np.uint8), "events 2..2 are not integers of u1"),
    "negative": (np.full((1, 2, 6), -1), "events -1..-1 are not integers of u1"),
    "fractions": (np.full((1, 2, 6), 0.5), "are not integers of u1"),
    "NaN": (np.full((1, 2, 6), np.nan), "are not integers of u1"),
    "complex": (np.zeros((1, 2, 6), complex), "complex128"),
    "text": (np.full((1, 2, 6), "1"), "<U1"),
    "objects": (np.full((1, 2, 6), None), "is no .npy of numbers"),
}


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_run_refuses_events_that_do_not_fit(sast: Command, here: Path, case: str) -> None:
    data, words = BAD_EVENTS[case]
    np.save("bad.npy", data, allow_pickle=True)
    before = files(here)
    ended = sast("run", "net.sast", "--input", "bad.npy", "-o", "out.npz")
    assert ended.code == 1
    assert words in ended.message
    assert files(here) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "bad.npy: is empty"),
        (b"PK\x03\x04 no zip", "is no .npy of numbers"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "is no .npy of numbers"),
        (b"\x80\x04.", "is no .npy of numbers"),
        (b"1 2 3", "is no .npy of numbers"),
    ],
)
def test_run_refuses_files_that_are_no_array(
    sast: Command, here: Path, content: bytes, words: str
) -> None:
    (here / "bad.npy").write_bytes(content)
    assert words in sast("run", "net.sast", "--input", "bad.npy").message


def test_run_refuses_an_npz_and_an_unknown_record(sast: Command, here: Path) -> None:
    np.savez("bad.npy.npz", events=np.zeros((1, 2, 6)))
    assert "give one array as .npy" in sast("run", "net.sast", "--input", "bad.npy.npz").message
    assert "outputs, spikes or states" in sast("run", "net.sast", "--record", "all").message
