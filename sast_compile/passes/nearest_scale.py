"""The scale under which the nearest integers are least far from the weights themselves."""

from __future__ import annotations

import numpy as np

from sast_compile.ir.types import Int
from sast_compile.passes.choose_scales import power_of_two
from sast_compile.passes.feeders import Floats

SMALLEST_CLIP, CLIPS = 0.1, 91  # of the largest weight; the candidates include 1, max-abs itself


def best_scale(weights: Floats, element: Int) -> float:
    """The scale with the least squared error of ``weights`` on the grid of ``element``.

    Among max-abs, smaller ones, which clip some weights (max-abs at 2 bits would round nearly all
    to 0), and a power of two: weights ``k 2^-j`` that fit the grid stay exactly what they are.
    """
    largest = float(np.abs(weights).max()) or 1.0
    clipping = largest / element.high * np.linspace(SMALLEST_CLIP, 1, CLIPS)[::-1]
    candidates = [power_of_two([weights], element), *clipping.tolist()]  # the first of equals wins
    return float(min(candidates, key=lambda scale: _squared_error(weights, element, scale)))


def _squared_error(weights: Floats, element: Int, scale: float) -> float:
    grid = np.clip(np.rint(weights / scale), element.low, element.high)
    return float(((grid * scale - weights) ** 2).sum())
