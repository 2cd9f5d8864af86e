"""scikit-learn's 8x8 handwritten digits as a simulated event sensor would have seen them.

1,797 digits, a 10x10 sensor, three saccades of two pixels, 16 bins: events (16, 2, 10, 10) a
sample. Simulated, not recorded; deterministic. Test: 360 digits by a fixed permutation; validation:
270 of the other 1,437.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.contract import Encoding
from sast_compile.data.events import Labelled, Split, labelled, simulate, triangle_path
from sast_compile.errors import CompileError

SplitName: TypeAlias = Literal["train", "validation", "test"]

STEP_SECONDS = 1e-3  # a convention: the simulated recording lasts 16 ms
ENCODING = Encoding(
    steps=16, axes="PYX", values="binary", bin="simulated recording of 16 ms / 16 steps"
)
SENSOR = 10
CONTRAST = 0.6
AMPLITUDE = 2.0
# A power of two: every bilinear weight is a dyadic fraction, so the moved pictures are exact in
# float64 and the events do not depend on the order of a BLAS sum.
MOVES_PER_SACCADE = 32
TEST, VALIDATION = 360, 270


def load(name_of_split: SplitName) -> Labelled:
    """The events and labels of ``train`` (1167), ``validation`` (270) or ``test`` (360)."""
    events, labels = _all_digits()
    chosen = _indices(len(labels))[name_of_split]
    return labelled(Split(events[chosen], labels[chosen]))


def _indices(n: int) -> dict[SplitName, npt.NDArray[np.int64]]:
    # RandomState's stream is frozen by numpy's policy; Generator's may change between releases
    order = np.random.RandomState(0).permutation(n)
    learn, test = order[:-TEST], order[-TEST:]
    return {"train": learn[:-VALIDATION], "validation": learn[-VALIDATION:], "test": test}


@cache
def _all_digits() -> Split:
    images, labels = _scans()
    path = triangle_path(AMPLITUDE, MOVES_PER_SACCADE)
    events = simulate(images, path, size=SENSOR, contrast=CONTRAST, bins=ENCODING.steps)
    return Split(events, labels)


def _scans() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The 8x8 scans in [0, 1] and their labels; they come inside scikit-learn, no download."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise CompileError(
            "the data set needs scikit-learn, which is not installed here",
            where="digits",
            hint="pip install sast-compile[data]",
        ) from None
    scans = load_digits()
    return scans.images / 16.0, scans.target.astype(np.int64)
