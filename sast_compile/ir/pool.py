"""Sum pooling, and the same map as a list of synapses; layout (C, Y, X) as in `ir/conv.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sast_compile.errors import TypeMismatch
from sast_compile.ir.consts import Consts
from sast_compile.ir.conv import Conv2d, Geometry, Synapses, geometry, synapses
from sast_compile.ir.neuron import Natural, Positive, Record, Ref
from sast_compile.ir.types import Float, TensorType, int_holding

UNNAMED = Ref("")  # the kernel of ones is no constant of the program


class SumPool2d(Record, frozen=True, kw_only=True, tag="sum_pool2d"):
    """The sum of each window: ``y[c, r, q] = sum_{j,k} x[c, s r + j - p, s q + k - p]``.

    ``padding`` is ((top, bottom), (left, right)), of zeros. It has no weight: a chip computes it as
    a part of the projection behind it.
    """

    kernel: tuple[Positive, Positive]
    stride: tuple[Positive, Positive]
    padding: tuple[tuple[Natural, Natural], tuple[Natural, Natural]] = ((0, 0), (0, 0))

    def result(self, consts: Consts, x: TensorType) -> TensorType:
        shape = pool_geometry(self, x.shape).output
        if isinstance(x.element, Float):
            return TensorType(shape, Float(), x.scale)
        n = self.kernel[0] * self.kernel[1]
        element = int_holding(min(n * x.element.low, 0), max(n * x.element.high, 0))
        return TensorType(shape, element, x.scale)


def as_convolution(op: SumPool2d, channels: int) -> Conv2d:
    """The convolution of every channel by itself with a kernel of ones."""
    return Conv2d(weight=UNNAMED, stride=op.stride, padding=op.padding, groups=channels)


def pool_geometry(op: SumPool2d, x: tuple[int, ...]) -> Geometry:
    """The geometry of ``op`` on an input of shape ``x``; TypeMismatch saying what does not fit."""
    if len(x) != 3:
        raise TypeMismatch(f"pooling does not fit an input {x}: (C, Y, X)")
    return geometry(as_convolution(op, x[0]), x, (x[0], 1, *op.kernel))


def pool_synapses(op: SumPool2d, x: tuple[int, ...]) -> Synapses:
    """Every element that a window sums; all have the weight 1."""
    return synapses(as_convolution(op, x[0]), pool_geometry(op, x))


def sum_pool(op: SumPool2d, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The sums of ``x`` (samples, C, Y, X)."""
    padded = np.pad(x, ((0, 0), (0, 0), *op.padding))
    windows = np.lib.stride_tricks.sliding_window_view(padded, op.kernel, axis=(2, 3))
    total: npt.NDArray[Any] = windows[:, :, :: op.stride[0], :: op.stride[1]].sum(axis=(4, 5))
    return total
