"""Recordings of event cameras, read through tonic and binned as the contract says."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import small_nets

from sast_compile.contract import Contract, Encoding
from sast_compile.data.event_files import EVENT, is_recording, read_recording
from sast_compile.errors import BackendUnavailable, BadFile, CompileError
from sast_compile.ir.sparse import SparseEvents, check_sparse

SHARED = Path(os.environ.get("SAST_SHARED") or Path(__file__).parents[2].parent / "shared")
NMNIST = SHARED / "nmnist1k" / "Train"
# x, y, t, p: a recording of 400 us
RECORDED = np.array(
    [(0, 0, 100, 1), (1, 1, 199, 0), (1, 0, 200, 1), (1, 0, 201, 1), (1, 1, 499, 0)], EVENT
)


def contract(values: Any = "binary", axes: str = "PYX", steps: int = 4) -> Contract:
    encoding = Encoding(steps=steps, axes=axes, values=values, bin="recording / steps")
    return small_nets.contract(encoding=encoding)


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of five events, and tonic.io as far as it is called."""
    package, reader = ModuleType("tonic"), ModuleType("tonic.io")
    reader.read_mnist_file = lambda path, dtype: RECORDED.astype(dtype)  # type: ignore[attr-defined]
    package.io = reader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tonic", package)
    monkeypatch.setitem(sys.modules, "tonic.io", reader)
    (tmp_path / "x.bin").write_bytes(bytes(25))
    return str(tmp_path / "x.bin")


def test_events_fall_into_equal_parts_of_the_recording(recording: str) -> None:
    wanted = np.zeros((1, 4, 2, 2, 2), np.uint8)
    for step, p, y, x in ((0, 1, 0, 0), (0, 0, 1, 1), (1, 1, 0, 1), (3, 0, 1, 1)):
        wanted[0, step, p, y, x] = 1
    found = read_recording(recording, contract(), (2, 2, 2))
    assert isinstance(found, SparseEvents)
    assert np.array_equal(check_sparse(found, "x").to_dense(), wanted)
    wanted[0, 1, 1, 0, 1] = 2
    assert np.array_equal(read_recording(recording, contract("counts"), (2, 2, 2)), wanted)
    turned = read_recording(recording, contract("counts", "XYP"), (2, 2, 2))
    assert np.array_equal(turned, wanted.transpose(0, 1, 4, 3, 2))


def test_events_that_do_not_fit_are_refused(recording: str) -> None:
    with pytest.raises(CompileError, match="reach x = 1, the model has 1; hint: crop"):
        read_recording(recording, contract(), (2, 2, 1))
    with pytest.raises(CompileError, match="the model's are X"):
        read_recording(recording, contract(axes="X"), (2, 2, 2))
    with pytest.raises(CompileError, match=r"states no encoding.*give a \.npy"):
        read_recording(recording, small_nets.contract(encoding=None), (2, 2, 2))


def test_tonic_is_named_where_it_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(5))
    with pytest.raises(BackendUnavailable, match=r"read through tonic.*hint: pip install tonic"):
        read_recording(str(path), contract(), (2, 2, 2))
    path.write_bytes(bytes(7))
    with pytest.raises(BadFile, match=r"x\.bin: is cut off"):
        read_recording(str(path), contract(), (2, 2, 2))
    with pytest.raises(BadFile, match="there is no such file"):
        read_recording(str(tmp_path / "none.bin"), contract(), (2, 2, 2))


def test_endings() -> None:
    assert is_recording("a.BIN")
    assert is_recording("a/b.aedat")
    assert not is_recording("a.npy")


@pytest.mark.skipif(not NMNIST.is_dir(), reason=f"THE RECORDINGS ARE NOT HERE: no {NMNIST}")
def test_a_real_recording() -> None:
    """The bytes of N-MNIST: x, y, and polarity with 23 bits of time."""
    pytest.importorskip("tonic", reason="event files are read through tonic")
    path = min((NMNIST / "0").iterdir())
    raw = np.fromfile(path, np.uint8).reshape(-1, 5).astype(int)
    events = read_recording(str(path), contract("counts", steps=1), (2, 34, 34))
    wanted = np.zeros((2, 34, 34), int)
    np.add.at(wanted, (raw[:, 2] >> 7, raw[:, 1], raw[:, 0]), 1)
    assert np.array_equal(events[0, 0], np.minimum(wanted, 255))
