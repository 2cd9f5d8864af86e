"""What an event sensor would have seen: still pictures, a moving camera, ON and OFF events.

The sensor model is the usual one of a dynamic vision sensor: a pixel emits an event each time its
log-intensity has moved by the contrast threshold since the last event it emitted.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sast_compile.data.stored import Stored, in_memory


class Split(NamedTuple):
    """One part of a data set: ``events`` uint8 (n, T, *axes) and ``labels`` int64 (n,)."""

    events: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


class Labelled(NamedTuple):
    """One part of a data set, whose events are read when they are asked for."""

    events: Stored
    labels: npt.NDArray[np.int64]  # (n,)

    def whole(self) -> Split:
        """All of it in memory."""
        return Split(self.events.dense(), self.labels)


def labelled(split: Split) -> Labelled:
    """What is in memory already, to be read like what is not."""
    return Labelled(in_memory(split.events), split.labels)


def triangle_path(amplitude: float, steps: int) -> npt.NDArray[np.float64]:
    """The camera's offsets (3 * steps + 1, 2) as (dy, dx) in pixels: three saccades, one triangle.

    (dx, dy): (0, 0) -> (a, a/2) -> (0, a) -> (0, 0), ``steps`` equal moves a side.
    """
    corners = amplitude * np.array([[0, 0], [0.5, 1], [1, 0], [0, 0]])
    share = (np.arange(steps) / steps)[:, None]
    sides = [a + share * (b - a) for a, b in pairwise(corners)]
    return np.concatenate([*sides, corners[-1:]])


def shifted(
    images: npt.NDArray[np.float64], offset: npt.NDArray[np.float64], size: int
) -> npt.NDArray[np.float64]:
    """The images (n, h, w), moved by ``offset`` = (dy, dx) on a dark sensor: (n, size, size).

    Bilinear, written as two small matrices: ``A_y image A_x^T`` with ``A[i, j] = max(0, 1 - |i -
    d - j|)``.
    """
    at_y, at_x = (
        np.maximum(0.0, 1.0 - np.abs(np.arange(size)[:, None] - d - np.arange(n)))
        for d, n in zip(offset, images.shape[1:], strict=True)
    )
    moved: npt.NDArray[np.float64] = at_y @ images @ at_x.T
    return moved


def simulate(
    images: npt.NDArray[np.float64],
    path: npt.NDArray[np.float64],
    *,
    size: int,
    contrast: float,
    bins: int,
) -> npt.NDArray[np.uint8]:
    """The events (n, bins, 2, size, size) in {0, 1} seen along ``path``; polarity 0 is ON.

    ``images`` (n, h, w) hold intensities in [0, 1]. With ``L = ln(I + 0.1)`` a pixel emits
    ``floor(|L - L_ref| / contrast)`` events of the sign of the change at each move, and ``L_ref``
    follows by that many thresholds. Several events in one bin count as one.
    """
    moves = len(path) - 1
    events = np.zeros((len(images), bins, 2, size, size), dtype=np.uint8)
    reference = np.log(shifted(images, path[0], size) + 0.1)
    for move, offset in enumerate(path[1:]):
        change = np.log(shifted(images, offset, size) + 0.1) - reference
        count = np.trunc(change / contrast)
        reference += contrast * count
        seen = events[:, move * bins // moves]
        seen[:, 0] |= count > 0
        seen[:, 1] |= count < 0
    return events
