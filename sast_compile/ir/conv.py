"""Two-dimensional convolution: its geometry, and the same map as a list of synapses.

Layout is channels, rows, columns (CYX). As in torch and NIR the kernel is not flipped
(cross-correlation): ``y[o, r, c] = sum_{i,j,k} W[o, i, j, k] x[i, s r + d j - p, s c + d k - p]``.
An input (C, X) is one row, and so is its result: a one-dimensional convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sast_compile.errors import TypeMismatch
from sast_compile.ir.consts import Consts, lookup, shifted, sum_bounds
from sast_compile.ir.neuron import Exponent, Natural, Positive, Record, Ref
from sast_compile.ir.types import Float, TensorType, int_holding, times

Integers = npt.NDArray[np.int64]


class Conv2d(Record, frozen=True, kw_only=True, tag="conv2d"):
    """A convolution of (C, Y, X), kernel not flipped: ``y = (W * x) << exponent``.

    W is (outputs, C / groups, rows, columns); ``padding`` is ((top, bottom), (left, right)).
    """

    weight: Ref
    stride: tuple[Positive, Positive] = (1, 1)
    padding: tuple[tuple[Natural, Natural], tuple[Natural, Natural]] = ((0, 0), (0, 0))
    dilation: tuple[Positive, Positive] = (1, 1)
    groups: Positive = 1
    exponent: Exponent = 0

    def result(self, consts: Consts, x: TensorType) -> TensorType:
        weight = lookup(self.weight, consts)
        output = like_input(geometry(self, x.shape, weight.type.shape).output, x.shape)
        if isinstance(x.scale, tuple):
            raise TypeMismatch("the input of a projection has one scale per channel")
        scale = times(times(weight.type.scale, x.scale), 2.0**-self.exponent)
        if isinstance(weight.type.element, Float) or isinstance(x.element, Float):
            return TensorType(output, Float(), scale)
        ends = (shifted(e, self.exponent) for e in sum_bounds(weight, x.element))
        return TensorType(output, int_holding(*ends), scale)


class Geometry(NamedTuple):
    """Shapes of one convolution: input (C, Y, X), kernel (O, C / groups, J, K), output."""

    input: tuple[int, int, int]
    kernel: tuple[int, int, int, int]
    output: tuple[int, int, int]


def geometry(op: Conv2d, x: tuple[int, ...], weight: tuple[int, ...]) -> Geometry:
    """The geometry of ``op`` on an input of shape ``x``; TypeMismatch saying what does not fit."""
    if len(x) == 2:
        x = (x[0], 1, x[1])
    if len(x) != 3 or len(weight) != 4:
        raise TypeMismatch(f"a convolution of weight {weight} does not fit an input {x}: (C, Y, X)")
    outputs, per_group = weight[:2]
    if x[0] != per_group * op.groups or outputs % op.groups:
        raise TypeMismatch(
            f"{x[0]} channels to {outputs} in {op.groups} groups do not fit a weight {weight}"
        )
    spans = [d * (k - 1) + 1 for d, k in zip(op.dilation, weight[2:], strict=True)]
    padded = [n + before + after for n, (before, after) in zip(x[1:], op.padding, strict=True)]
    sizes = [(n - span) // s + 1 for n, span, s in zip(padded, spans, op.stride, strict=True)]
    if any(n < span for n, span in zip(padded, spans, strict=True)):
        raise TypeMismatch(f"a kernel spanning {spans} is larger than the padded input {padded}")
    rows, columns = sizes
    return Geometry(
        (x[0], x[1], x[2]), (outputs, per_group, weight[2], weight[3]), (outputs, rows, columns)
    )


def like_input(output: tuple[int, int, int], x: tuple[int, ...]) -> tuple[int, ...]:
    """The shape ``output``, without its rows if the input ``x`` has none; they must then be one."""
    if len(x) == 3:
        return output
    if output[1] != 1:
        raise TypeMismatch(f"a kernel or padding makes {output[1]} rows of an input {x} of one")
    return output[0], output[2]


class Synapses(NamedTuple):
    """A linear map as synapses: ``y[target] += weight x[source]``, flat indices in C order."""

    target: Integers
    source: Integers
    kernel: Integers  # flat index of the weight; equal ones share it


def synapses(op: Conv2d, shape: Geometry) -> Synapses:
    """Every synapse of the convolution that lies inside the input; borders have fewer."""
    outputs, per_group, height, width = shape.kernel
    _, rows, columns = shape.output
    axes = np.meshgrid(
        *(np.arange(n) for n in (outputs, rows, columns, per_group, height, width)), indexing="ij"
    )
    o, r, c, i, j, k = (a.ravel() for a in axes)
    y = op.stride[0] * r + op.dilation[0] * j - op.padding[0][0]
    x = op.stride[1] * c + op.dilation[1] * k - op.padding[1][0]
    channel = o // (outputs // op.groups) * per_group + i
    inside = (y >= 0) & (y < shape.input[1]) & (x >= 0) & (x < shape.input[2])
    target = np.ravel_multi_index((o, r, c), shape.output)
    kernel = np.ravel_multi_index((o, i, j, k), shape.kernel)
    source = (channel * shape.input[1] + y) * shape.input[2] + x
    return Synapses(target[inside], source[inside], kernel[inside])


Product = Callable[[npt.NDArray[Any], npt.NDArray[Any]], npt.NDArray[Any]]


def _matmul(a: npt.NDArray[Any], w: npt.NDArray[Any]) -> npt.NDArray[Any]:
    product: npt.NDArray[Any] = a @ w.T
    return product


def convolve(
    op: Conv2d, x: npt.NDArray[Any], weight: npt.NDArray[Any], product: Product = _matmul
) -> npt.NDArray[Any]:
    """The convolution of ``x`` (samples, C[, Y], X); ``product(a, w)`` is ``a @ w.T``."""
    if x.ndim == 3:
        return convolve(op, x[:, :, None], weight, product)[:, :, 0]
    fields = receptive_fields(op, x, weight.shape)
    samples, _, rows, columns = fields.shape[:4]
    filters = weight.reshape(op.groups, weight.shape[0] // op.groups, -1)
    seen = (fields[:, g].reshape(-1, filters.shape[2]) for g in range(op.groups))
    maps = [product(field, f) for field, f in zip(seen, filters, strict=True)]
    stacked = np.stack([m.reshape(samples, rows, columns, -1) for m in maps], axis=1)
    return np.moveaxis(stacked, -1, 2).reshape(samples, -1, rows, columns)


def receptive_fields(op: Conv2d, x: npt.NDArray[Any], weight: tuple[int, ...]) -> npt.NDArray[Any]:
    """What one output of each group sees, in the order of its weights, of ``x`` (samples, C, Y, X).

    (samples, groups, rows, columns, C / groups, kernel rows, kernel columns)
    """
    padded = np.pad(x, ((0, 0), (0, 0), *op.padding))
    spans = [d * (k - 1) + 1 for d, k in zip(op.dilation, weight[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(2, 3))
    windows = windows[:, :, :: op.stride[0], :: op.stride[1], :: op.dilation[0], :: op.dilation[1]]
    samples, channels, rows, columns, *kernel = windows.shape
    grouped = windows.reshape(samples, op.groups, channels // op.groups, rows, columns, *kernel)
    fields: npt.NDArray[Any] = np.moveaxis(grouped, 2, 4)
    return fields
