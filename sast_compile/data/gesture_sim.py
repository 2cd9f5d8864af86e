"""Simulated DVS Gesture: eleven gestures of a drawn figure, seen by a simulated 128x128 camera.

The figure (a torso, a head, two arms of two segments) stands before some clutter and performs what
`gesture_motion` says. The camera is the usual model of a dynamic vision sensor: log-intensity, a
threshold that varies from pixel to pixel, reference set to the current level at each event, and
noise events. Its events are reduced and binned exactly as those of the recorded set
(`recordings`): 128x128 pixels to 32x32, 20 equal parts of the recording, several events of one
bin count as one. Polarity 1 means that the pixel got brighter.

Simulated, not recorded: nothing here is fitted to the recordings. A recording is determined by its
number, in every split; no subject is in two splits.
"""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sast_compile.data import gesture_motion
from sast_compile.data.cache import cached
from sast_compile.data.digits import SplitName
from sast_compile.data.events import Labelled, Split
from sast_compile.data.gesture_motion import Body, Performance, gesture_of, perform
from sast_compile.data.recordings import ENCODING, GESTURE_SHAPE, SHRINK

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

BINS, SENSOR, SIDE = ENCODING.steps, 128, GESTURE_SHAPE[-1]
NUMBERS = {"train": (0, 4400), "validation": (4400, 4950), "test": (4950, 6050)}
SUBSTEPS = 12  # of a bin: about 25 ms
TAPER = 40  # pixels below the shoulders: where the torso is as wide as the waist
MARGIN = 48  # pixels around the sensor, where arms are drawn and not seen
SWAY = 3  # pixels: the body's pictures are kept at -SWAY .. SWAY
THRESHOLD, MISMATCH, SENSOR_SEED = 0.22, 0.12, 128  # log-intensity; relative sd over pixels
NOISE = (0.01, 0.06)  # events per pixel and second, from and to
VERSION = 1  # of this file and of gesture_motion: what the cache's key must tell apart


def load(split: SplitName) -> Labelled:
    """The events and labels of ``train`` (4,400), ``validation`` (550) or ``test`` (1,100)."""
    first, last = NUMBERS[split]
    key = {
        "version": VERSION,
        "numbers": (first, last),
        "camera": (SUBSTEPS, THRESHOLD, MISMATCH, SENSOR_SEED, NOISE),
        "subjects": (gesture_motion.SEED, gesture_motion.TAKES, gesture_motion.SECONDS),
    }
    return cached(f"gesture-sim-{split}", key, partial(recordings, first, last))


def recordings(first: int, last: int) -> Split:
    """The simulated recordings ``first`` to ``last - 1``: events (n, 20, 2, 32, 32) in {0, 1}."""
    numbers = range(first, last)
    labels = np.array([gesture_of(number) for number in numbers], dtype=np.int64)
    return Split(np.stack([simulate(number) for number in numbers]), labels)


def simulate(number: int) -> npt.NDArray[np.uint8]:
    """The events (20, 2, 32, 32) in {0, 1} of recording ``number``."""
    return seen(perform(number, BINS * SUBSTEPS))


def seen(performance: Performance) -> npt.NDArray[np.uint8]:
    """The events (20, 2, 32, 32) in {0, 1} that the camera makes of a performance."""
    draws = performance.draws
    levels = _levels(draws)
    noise = _noise(draws, performance.seconds)
    film = _Film(performance, levels)
    limit = thresholds()
    reference = film.picture(0)
    fired = np.zeros((BINS, 2, SENSOR, SENSOR), dtype=np.bool_)
    for move in range(1, BINS * SUBSTEPS + 1):
        level = film.picture(move)
        change = level - reference
        brighter, darker = change >= limit, change <= -limit
        np.copyto(reference, level, where=brighter | darker)
        now = fired[(move - 1) // SUBSTEPS]
        now[0] |= darker
        now[1] |= brighter
    return (_shrunk(fired) | noise).astype(np.uint8)


class Levels(NamedTuple):
    """Log-intensities relative to the plain background."""

    skin: float
    shirt: float


def _levels(draws: np.random.RandomState) -> Levels:
    """Skin that differs from the background, a shirt that differs from the skin."""
    signs = np.where(draws.random_sample(2) < 0.5, -1.0, 1.0)
    skin, apart = draws.uniform((0.4, 0.35), (1.0, 0.9)) * signs
    return Levels(float(skin), float(skin + apart))


def _noise(draws: np.random.RandomState, seconds: float) -> Bools:
    """Events that nothing caused, as they stand in the reduced bins: (20, 2, 32, 32)."""
    rate = draws.uniform(*NOISE)
    expected = rate * seconds / BINS * SHRINK**2 / 2  # of one polarity
    return np.asarray(draws.random_sample((BINS, *GESTURE_SHAPE)) < expected)


@cache
def thresholds() -> Floats:
    """The contrast threshold of every pixel (128, 128); the same sensor in all recordings."""
    draws = np.random.RandomState(SENSOR_SEED).randn(SENSOR, SENSOR)
    return np.maximum(THRESHOLD * (1 + MISMATCH * draws), THRESHOLD / 3).astype(np.float32)


def _shrunk(fired: Bools) -> Bools:
    """(..., 128, 128) to (..., 32, 32): a pixel fires if one of its 4x4 does."""
    blocks = fired.reshape(*fired.shape[:2], SIDE, SHRINK, SIDE, SHRINK)
    return np.asarray(blocks.any(axis=(3, 5)))


class _Film:
    """The pictures of a performance, in log-intensity."""

    def __init__(self, performance: Performance, levels: Levels) -> None:
        body, joints = performance.body, performance.joints.astype(np.float32)
        self._sway = performance.sway
        self._bodies = _bodies(performance, levels)
        self._canvas = np.zeros((SENSOR + 2 * MARGIN,) * 2, dtype=np.float32)
        # the upper arms first: a hand before the body hides what is behind it
        self._segments = [
            (_Segment(joints[:, side, at : at + 2], thick), np.float32(level))
            for at, thick, level in ((0, body.sleeve, levels.shirt), (1, body.wrist, levels.skin))
            for side in (0, 1)
        ]

    def picture(self, move: int) -> Floats:
        """What the sensor sees at a moment: (128, 128)."""
        left = int(np.floor(self._sway[move]))
        share = np.float32(self._sway[move] - left)
        before, after = self._bodies[left + SWAY], self._bodies[left + SWAY + 1]
        sensor = self._canvas[MARGIN:-MARGIN, MARGIN:-MARGIN]
        np.add(before, share * (after - before), out=sensor)
        for segment, level in self._segments:
            segment.draw(self._canvas, move, level)
        return np.array(sensor)


class _Segment:
    """A straight piece of an arm, round at both ends, as it covers a small box of pixels."""

    def __init__(self, ends: Floats, thick: float) -> None:
        """``ends`` (moments, 2, 2) as (x, y), ``thick``: half its thickness, in pixels."""
        step = ends[:, 1] - ends[:, 0]
        room = np.float32(thick + 1)
        corner = np.floor(ends.min(axis=1) - room)
        size = int(np.ceil(np.abs(step).max() + 2 * room)) + 1
        pixels = np.arange(size, dtype=np.float32)
        x, y = (corner[:, at, None] + pixels - ends[:, 0, at, None] for at in (0, 1))
        x, y = x[:, None, :], y[:, :, None]
        dx, dy = (step[:, at, None, None] for at in (0, 1))
        along = (x * dx + y * dy) / np.maximum(dx * dx + dy * dy, np.float32(1e-3))
        np.clip(along, 0, 1, out=along)
        distance = np.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2)
        self._cover = np.clip(np.float32(thick + 0.5) - distance, 0, 1)
        # a box that would leave the canvas is far from the sensor: where it lands is not seen
        last = SENSOR + 2 * MARGIN - size
        self._corner = np.clip(corner.astype(int) + MARGIN, 0, last).tolist()
        self._size = size

    def draw(self, canvas: Floats, move: int, level: np.float32) -> None:
        """Draws itself into ``canvas`` at a moment."""
        column, row = self._corner[move]
        box = canvas[row : row + self._size, column : column + self._size]
        box += self._cover[move] * (level - box)


def _bodies(performance: Performance, levels: Levels) -> Floats:
    """The picture without arms, the body moved by -3 .. 3 whole pixels: (7, 128, 128)."""
    behind = _clutter(performance.body.clutter)
    torso, head = _masks(performance.body)  # never within SWAY of the left or right edge
    pictures = []
    for shift in range(-SWAY, SWAY + 1):
        picture = behind + np.roll(torso, shift, axis=1) * (np.float32(levels.shirt) - behind)
        picture += np.roll(head, shift, axis=1) * (np.float32(levels.skin) - picture)
        pictures.append(picture)
    return np.stack(pictures)


def _masks(body: Body) -> tuple[Floats, Floats]:
    """How much of each pixel the torso covers, and the head; both (128, 128) in [0, 1]."""
    rows, columns = np.ogrid[:SENSOR, :SENSOR]
    x, y = columns - body.middle[0], rows - body.middle[1]
    narrower = (body.shoulder - body.waist) * y / TAPER
    half = np.clip(body.shoulder - narrower, body.waist, None)
    torso = np.clip(half + 0.5 - np.abs(x), 0, 1) * np.clip(y + body.sleeve + 0.5, 0, 1)
    up = y + body.sleeve + 1.3 * body.head  # the head's middle, above the shoulders
    head = np.clip(body.head + 0.5 - np.sqrt(x**2 + (up / 1.2) ** 2), 0, 1)
    return torso.astype(np.float32), head.astype(np.float32)


def _clutter(seed: int) -> Floats:
    """Eight rectangles (128, 128), lighter or darker than the wall behind them."""
    draws = np.random.RandomState(seed)
    behind = np.zeros((SENSOR, SENSOR), dtype=np.float32)
    for _ in range(8):
        top, left = draws.randint(-24, SENSOR - 8, 2)
        height, width = draws.randint(25, 72, 2)
        behind[max(top, 0) : top + height, max(left, 0) : left + width] += 0.25 * draws.randn()
    return behind
