"""Events in files, read a part at a time: what numpy reads as a whole, or a refusal."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sast_compile.data import stored
from sast_compile.data.stored import in_memory, open_events
from sast_compile.errors import BadFile, CompileError
from sast_compile.ir.sparse import SparseEvents, from_dense


def drawn(samples: int = 5, steps: int = 4) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 2, (samples, steps, 2, 3))


SPANS = [(begin, end) for begin in range(5) for end in range(begin + 1, 6)]


@pytest.mark.parametrize("kind", ["?", "u1", "<i2", ">i2", "i8", "f4", "f8"])
def test_every_part_of_a_npy(tmp_path: Path, kind: str) -> None:
    x = drawn().astype(kind)
    np.save(tmp_path / "x.npy", x)
    found = open_events(str(tmp_path / "x.npy"))
    assert (found.shape, found.width, found.held) == (x.shape, x.itemsize, 0)
    for begin, end in SPANS:
        part = found.cut(begin, end)
        assert isinstance(part, np.ndarray)
        assert part.dtype == x.dtype
        assert np.array_equal(part, x[begin:end])
    assert np.array_equal(found.dense(), x)


def test_only_a_part_of_a_npy_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", drawn())
    read: list[int] = []
    ours = np.fromfile

    def fromfile(file: Any, dtype: Any, count: int) -> Any:
        read.append(count)
        return ours(file, dtype, count)

    monkeypatch.setattr(stored.np, "fromfile", fromfile)
    found = open_events(str(tmp_path / "x.npy"))
    assert read == []
    found.cut(1, 3)
    assert read == [2 * 4 * 2 * 3]


@pytest.mark.parametrize("how", ["stored", "compressed", "columns first", "in memory"])
def test_what_is_read_as_a_whole_counts_as_held(tmp_path: Path, how: str) -> None:
    x = drawn().astype(np.int16)
    path = tmp_path / ("x.npy" if how == "columns first" else "x.npz")
    if how == "columns first":
        np.save(path, np.asfortranarray(x))
    elif how != "in memory":
        (np.savez if how == "stored" else np.savez_compressed)(path, events=x)
    found = in_memory(x) if how == "in memory" else open_events(str(path))
    assert (found.shape, found.width, found.held) == (x.shape, 2, x.nbytes)
    for begin, end in SPANS:
        assert np.array_equal(found.cut(begin, end), x[begin:end])


def test_sparse_events_of_a_npz_stay_sparse(tmp_path: Path) -> None:
    x = drawn()
    sparse = from_dense(x)
    path = tmp_path / "x.npz"
    np.savez_compressed(path, first=sparse.first, index=sparse.index, shape=x.shape)
    found = open_events(str(path))
    assert found.shape == x.shape
    assert sparse.nbytes <= found.held < sparse.nbytes + 1000  # and the headers of three arrays
    for begin, end in SPANS:
        part = found.cut(begin, end)
        assert isinstance(part, SparseEvents)
        assert np.array_equal(part.to_dense(), x[begin:end])
    memory = in_memory(sparse)
    assert (memory.shape, memory.held) == (x.shape, sparse.nbytes)
    assert np.array_equal(memory.dense(), x)
    assert open_events(str(path), "index").shape == sparse.index.shape  # an array, if it is named


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"index": np.array([9], np.int32), "first": np.array([0, 1, 1])}, r"reach index 9\.\.9"),
        ({"first": np.array([0, 1])}, "3 row starts, not 2"),
        ({"index": np.array([0])}, "int32"),
        ({"shape": np.array([1])}, "its shape is not"),
        ({"shape": np.array([[1, 2], [3, 1]])}, "its shape is not"),
        ({"shape": np.array([1.0, 2.0])}, "its shape is not"),
        ({"shape": np.array([-1, -2, 3])}, "its shape is not"),
        ({"index": np.array([None])}, "of Python objects"),
    ],
)
def test_damaged_sparse_events_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    good = {"first": np.array([0, 1, 1]), "index": np.array([0], np.int32), "shape": (1, 2, 3)}
    path = str(tmp_path / "x.npz")
    np.savez(path, **good)
    assert open_events(path).dense().tolist() == [[[1, 0, 0], [0, 0, 0]]]
    np.savez(path, **(good | changes))
    with pytest.raises(CompileError, match=words) as refused:
        open_events(path).cut(0, 1)
    assert refused.value.where == path


def npy(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, x, allow_pickle=True)
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def spoilt(content: bytes, at: int) -> bytes:
    return content[:at] + bytes(b ^ 255 for b in content[at : at + 8]) + content[at + 8 :]


WHOLE = npy(drawn())
BAD = {
    "empty": (b"", "is empty"),
    "text": (b"1 2 3", "is no .npy of numbers"),
    "half a header": (WHOLE[:20], "is no .npy of numbers"),
    "cut off": (WHOLE[:-1], "ends before its 960 bytes of data do"),
    "another version": (WHOLE[:6] + b"\x09" + WHOLE[7:], "is no .npy of numbers"),
    "objects": (npy(np.array([[None]])), "of Python objects"),
    "no zip": (b"PK\x03\x04 no zip", "is no .npy of numbers"),
    "a zip of text": (zipped("x.txt", b"hello"), "is no .npy of numbers"),
    "a zip of half an array": (zipped("x.npy", WHOLE[:-9]), "is no .npy of numbers"),
    "a zip of objects": (zipped("x.npy", npy(np.array([[None]]))), "of Python objects"),
    "a spoilt zip": (spoilt(zipped("x.npy", npy(drawn(50))), 150), "is no .npy of numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_other_files_are_refused(tmp_path: Path, case: str) -> None:
    content, words = BAD[case]
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=words):
        open_events(str(path)).cut(0, 1)


def test_a_file_that_is_absent_or_shrinks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with pytest.raises(BadFile, match="there is no such file"):
        open_events(str(path))
    np.save(path, drawn())
    found = open_events(str(path))
    path.write_bytes(WHOLE[:-1])
    assert np.array_equal(found.cut(0, 4), drawn()[:4])
    with pytest.raises(BadFile, match="cut off before sample 4 could be read"):
        found.cut(3, 5)
    path.unlink()
    with pytest.raises(BadFile, match="there is no such file"):
        found.cut(0, 1)
