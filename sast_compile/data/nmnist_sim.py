"""Simulated N-MNIST: MNIST's images as the camera of the real recordings would have seen them.

The real recordings (Orchard et al. 2015, doi 10.3389/fnins.2015.00437) show a digit on a screen to
a moving event camera: three saccades in 0.3 s on a 34x34 sensor. Here the camera's path, the
profile of its velocity and the pixel model are fitted to the statistics of recordings 1..1000 (see
docs/data.md): minimum-jerk saccades, log-intensity with a first-order lag, a threshold that varies
from pixel to pixel, reference set to the current level at each event, and noise events. As in the
recordings, polarity 1 means that the pixel got darker.

Simulated, not recorded. Only training images from number 1000 on are used: recordings 1..1000 show
images 0..999, and the public test recordings show MNIST's test images.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt

from sast_compile.contract import Encoding
from sast_compile.data.cache import cached
from sast_compile.data.digits import SplitName
from sast_compile.data.events import Labelled, Split
from sast_compile.data.mnist import SIDE, training_images

Floats = npt.NDArray[np.float32]

BINS, SENSOR = 20, 34
DURATION = 0.308  # seconds: the median of the recordings
STEP_SECONDS = DURATION / BINS
ENCODING = Encoding(steps=BINS, axes="PYX", values="binary", bin="recording / 20")
IMAGES = {"train": (1000, 21000), "validation": (48000, 50000), "test": (50000, 60000)}

PARAMETERS: dict[str, object] = {
    "version": 1,
    "duration": DURATION,
    "substeps": 8,  # of a bin: 1.9 ms
    # (row, column) of the image's corner on the sensor, in pixels
    "path": ((1.4, -0.7), (7.0, 1.9), (1.2, 5.9), (1.2, 0.3)),
    "saccades": ((-0.004, 0.088), (0.098, 0.197), (0.209, 0.302)),  # seconds
    "contrast": 0.25,
    "floor": 0.2,  # log(intensity + floor)
    "mismatch": 0.11,  # relative sd of the threshold over pixels
    "lag": 0.0038,  # seconds
    "noise": 0.25,  # events per pixel and second
    "sensor_seed": 34,
}


def load(split: SplitName) -> Labelled:
    """The events and labels of ``train`` (20,000), ``validation`` (2,000) or ``test`` (10,000)."""
    first, last = IMAGES[split]
    key = {**PARAMETERS, "images": (first, last)}
    return cached(f"nmnist-sim-{split}", key, partial(recordings, first, last))


def recordings(first: int, last: int) -> Split:
    """The simulated recordings of training images ``first`` to ``last - 1``."""
    images = training_images()
    parts = [
        simulate(images.pixels[at : min(at + 250, last)], at) for at in range(first, last, 250)
    ]
    return Split(np.concatenate(parts), images.labels[first:last])


def simulate(
    images: npt.NDArray[np.uint8], number: int, parameters: dict[str, object] | None = None
) -> npt.NDArray[np.uint8]:
    """Events (n, 20, 2, 34, 34) in {0, 1} of images (n, 28, 28), the first of which is ``number``.

    The number determines an image's noise, so an image looks the same in every split.
    """
    p = _Model(**{**PARAMETERS, **(parameters or {})})
    events = np.zeros((len(images), BINS, 2, SENSOR, SENSOR), dtype=np.uint8)
    intensity = images.astype(np.float32) / np.float32(255)
    moves = BINS * p.substeps
    times = np.arange(moves + 1) * (p.duration / moves)
    level = p.seen(intensity, times[0])
    reference = level.copy()
    limit = p.thresholds()
    share = np.float32(1 - math.exp(-p.duration / moves / p.lag))
    for move, time in enumerate(times[1:]):
        level += share * (p.seen(intensity, time) - level)
        change = level - reference
        fires = np.abs(change) >= limit
        np.copyto(reference, level, where=fires)
        now = events[:, move // p.substeps]
        now[:, 0] |= fires & (change > 0)
        now[:, 1] |= fires & (change < 0)
    for at, sample in enumerate(events):
        sample |= p.noise_events(number + at)
    return events


class _Model:
    """The camera: where it looks when, and how its pixels answer."""

    def __init__(self, **parameters: object) -> None:
        p = {key: value for key, value in parameters.items() if key != "version"}
        self.path, self.saccades = np.array(p["path"]), np.array(p["saccades"])
        self.substeps, self.sensor_seed = int(str(p["substeps"])), int(str(p["sensor_seed"]))
        names = ("duration", "contrast", "floor", "mismatch", "lag", "noise")
        numbers = {name: float(str(p[name])) for name in names}
        self.duration, self.contrast, self.floor = (numbers[n] for n in names[:3])
        self.mismatch, self.lag, self.noise = (numbers[n] for n in names[3:])

    def corner(self, time: float) -> npt.NDArray[np.float64]:
        """(row, column) of the image's corner: minimum jerk, s = 10 u^3 - 15 u^4 + 6 u^5."""
        at = self.path[0].copy()
        for (start, end), step in zip(self.saccades, np.diff(self.path, axis=0), strict=True):
            u = min(max((time - start) / (end - start), 0.0), 1.0)
            at += step * (u**3 * (10 - 15 * u + 6 * u**2))
        return np.asarray(at)

    def seen(self, intensity: Floats, time: float) -> Floats:
        """log(intensity + floor) on the sensor, in steps of 2^-12: no CPU's log differs by that."""
        row, column = self.corner(time)
        picture = placed(intensity, row, column)
        logs = np.rint(np.log(picture + np.float32(self.floor)) * np.float32(4096))
        return np.asarray(logs / np.float32(4096), dtype=np.float32)

    def thresholds(self) -> Floats:
        """The contrast threshold of every pixel; the same sensor in all recordings."""
        draws = np.random.RandomState(self.sensor_seed).randn(SENSOR, SENSOR)
        limit = self.contrast * (1 + self.mismatch * draws)
        return np.maximum(limit, 0.3 * self.contrast).astype(np.float32)

    def noise_events(self, number: int) -> npt.NDArray[np.bool_]:
        """Events that nothing caused, of either polarity."""
        chance = self.noise * self.duration / BINS / 2
        draws = np.random.RandomState(number).random_sample((BINS, 2, SENSOR, SENSOR))
        return np.asarray(draws < chance)


def placed(images: Floats, row: float, column: float) -> Floats:
    """The images on the dark sensor (n, 34, 34), their corner at (row, column), bilinear."""
    top, left = math.floor(row), math.floor(column)
    down, right = np.float32(row - top), np.float32(column - left)
    spread = np.zeros((len(images), SIDE + 1, SIDE + 1), dtype=np.float32)
    spread[:, :SIDE, :SIDE] += images * ((1 - down) * (1 - right))
    spread[:, 1:, :SIDE] += images * (down * (1 - right))
    spread[:, :SIDE, 1:] += images * ((1 - down) * right)
    spread[:, 1:, 1:] += images * (down * right)
    rows = slice(max(top, 0), min(top + SIDE + 1, SENSOR))
    columns = slice(max(left, 0), min(left + SIDE + 1, SENSOR))
    sensor = np.zeros((len(images), SENSOR, SENSOR), dtype=np.float32)
    sensor[:, rows, columns] = spread[
        :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return sensor
