"""Real recordings, read through tonic from a folder that the user has; nothing is downloaded.

N-MNIST (Orchard et al. 2015, doi 10.3389/fnins.2015.00437; CC BY-SA 4.0) on its 34x34 sensor, and
DVS Gesture (Amir et al. 2017, doi 10.1109/CVPR.2017.781), 128x128 reduced to 32x32. Both are cut
into 20 equal parts from the first event to the last; several events of one bin count as one. Index
p of the polarity axis is the file's polarity.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_compile.contract import Encoding
from sast_compile.data.digits import SplitName
from sast_compile.data.event_files import as_sparse, read_nmnist, tonic_io
from sast_compile.data.events import Labelled
from sast_compile.data.stored import Stored
from sast_compile.errors import BackendUnavailable, CompileError
from sast_compile.ir.sparse import SparseEvents, one_after_another

ENCODING = Encoding(steps=20, axes="PYX", values="binary", bin="recording / 20")
NMNIST_SHAPE, GESTURE_SHAPE = (2, 34, 34), (2, 32, 32)
NMNIST_STEP = 0.308 / 20  # seconds; the recordings' median length
GESTURE_STEP = 6.0 / 20  # seconds; a gesture lasts about 6 s
NMNIST_CREDIT = "N-MNIST: Orchard, Jayawant, Cohen, Thakor 2015, CC BY-SA 4.0"
GESTURE_CREDIT = "DVS Gesture: Amir et al. 2017"
SHRINK = 4  # 128 pixels to 32
HELD_OUT = 5000  # of N-MNIST's 60,000 training recordings, for validation
PARTS = {"train": slice(0, 700), "validation": slice(700, 800), "test": slice(800, 1000)}


def load_nmnist_1k(folder: Path | None, split: SplitName) -> Labelled:
    """Recordings 1 to 1000, 700/100/200 by a fixed permutation, from ``folder``/Train/<digit>/."""
    home = _home(folder, "nmnist-1k", ("", "nmnist1k"), "Train")
    tonic_io("nmnist-1k")  # whether it is here is said now, not when the first recording is read
    paths = sorted(home.glob("Train/[0-9]/*.bin"), key=lambda path: path.name)
    if len(paths) != 1000:
        raise CompileError(
            f"holds {len(paths)} recordings under Train/<digit>/, not 1000",
            where=str(home),
            hint="recordings 1 to 1000 of N-MNIST; the full set is called nmnist",
        )
    order = np.random.RandomState(0).permutation(1000)[PARTS[split]]
    chosen = [paths[i] for i in order]
    labels = [int(path.parent.name) for path in chosen]
    return _labelled(lambda i: read_nmnist(str(chosen[i])), labels, NMNIST_SHAPE)


def load_nmnist(folder: Path | None, split: SplitName) -> Labelled:
    """All recordings: 55,000 to train, 5,000 held out of the training part, 10,000 to test."""
    home = _home(folder, "nmnist", ("",), "NMNIST")
    stored = _of_tonic("NMNIST", "nmnist")(save_to=str(home), train=split != "test")
    chosen = _chosen(len(stored), split)
    labels = [stored.targets[i] for i in chosen]
    return _labelled(lambda i: stored[chosen[i]][0], labels, NMNIST_SHAPE)


def load_dvs_gesture(folder: Path | None, split: SplitName) -> Labelled:
    """The gestures at 32x32; users 20 to 23 of the training part are held out for validation."""
    home = _home(folder, "dvs-gesture", ("",), "DVSGesture")
    stored = _of_tonic("DVSGesture", "dvs-gesture")(save_to=str(home), train=split != "test")
    wanted = [
        i
        for i, user in enumerate(stored.users)
        if split == "test" or (user >= 20) == (split == "validation")
    ]
    labels = [stored.targets[i] for i in wanted]
    return _labelled(lambda i: _shrunk(stored[wanted[i]][0]), labels, GESTURE_SHAPE)


def _chosen(n: int, split: SplitName) -> npt.NDArray[np.int64]:
    order = np.random.RandomState(0).permutation(n)
    if split == "test":
        return np.arange(n)
    return np.asarray(order[-HELD_OUT:] if split == "validation" else order[:-HELD_OUT])


def _shrunk(events: npt.NDArray[Any]) -> npt.NDArray[Any]:
    small: npt.NDArray[Any] = events.copy()
    for axis in "xy":
        small[axis] = events[axis] // SHRINK
    return small


def _labelled(
    read: Callable[[int], npt.NDArray[Any]], labels: Sequence[int], shape: tuple[int, ...]
) -> Labelled:
    """The recordings that ``read`` gives by number, binned when they are asked for."""

    def cut(begin: int, end: int) -> SparseEvents:
        numbers = range(begin, end)
        return one_after_another(
            [as_sparse(read(i), ENCODING, shape, "recording") for i in numbers]
        )

    stored = Stored((len(labels), ENCODING.steps, *shape), cut)
    return Labelled(stored, np.array(labels, dtype=np.int64))


def _home(folder: Path | None, name: str, inside: tuple[str, ...], wanted: str) -> Path:
    """The folder with ``wanted`` in it: the one named, ``$SAST_DATA``, or ``$SAST_SHARED``."""
    named = [os.environ.get(key) for key in ("SAST_DATA", "SAST_SHARED")]
    roots = [folder] if folder is not None else [Path(root) for root in named if root]
    for root in roots:
        for part in inside:
            if (root / part / wanted).is_dir():
                return root / part
    looked = ", ".join(str(root) for root in roots) or "nowhere: no folder is named"
    raise CompileError(
        f"the recordings are not here (looked in {looked})",
        where=name,
        hint=f"--data DIR or SAST_DATA=DIR, with a folder {wanted} in DIR, as tonic.datasets "
        "lays it out; the sets are downloaded from their authors' pages",
    )


def _of_tonic(name: str, ours: str) -> Callable[..., Any]:
    """tonic's data set of that name, which refuses instead of downloading."""
    try:
        import tonic.datasets
    except ImportError as error:
        raise BackendUnavailable(
            f"recordings are read through tonic, which cannot be imported here ({error})",
            where=ours,
            hint="pip install sast-compile[data]",
        ) from None

    def refuse(self: Any) -> None:
        raise CompileError(
            f"{self.location_on_system} is not the whole set, and nothing is downloaded",
            where=ours,
            hint="unpack the authors' archives there",
        )

    # the archive that the files came in need not lie beside them any more
    present = {"download": refuse, "_is_file_present": lambda self: True}
    return type(name, (getattr(tonic.datasets, name),), present)
