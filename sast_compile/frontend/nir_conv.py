"""NIR's convolutions and pools as the program's: stride, padding and dilation as integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from sast_compile.errors import BadFile, Unsupported
from sast_compile.frontend.numbers import Floats
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.neuron import Ref
from sast_compile.ir.pool import SumPool2d

Pads: TypeAlias = tuple[tuple[int, int], ...]  # by axis: (before, after)


def conv2d(name: str, node: Any, weight: Floats) -> tuple[Conv2d, Floats]:
    """The op of a Conv2d and its kernel; BadFile naming what is no number.

    ``same`` pads as torch does: of an odd number, the greater part after.
    """
    stride, padding, dilation = _geometry(name, node, weight, axes=2)
    return _op(name, node, stride, padding, dilation), weight


def conv1d(name: str, node: Any, weight: Floats) -> tuple[Conv2d, Floats]:
    """A Conv1d as the convolution of one row, and its kernel (O, I, 1, K)."""
    (stride,), (padding,), (dilation,) = _geometry(name, node, weight, axes=1)
    op = _op(name, node, (1, stride), ((0, 0), padding), (1, dilation))
    return op, weight[:, :, None]


def pool2d(name: str, node: Any) -> SumPool2d:
    """The sums of a SumPool2d or AvgPool2d."""
    kernel = _numbers(name, "kernel_size", node.kernel_size, 1, 2)
    stride = _numbers(name, "stride", node.stride, 1, 2)
    padding = _numbers(name, "padding", node.padding, 0, 2)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise BadFile(f"padding {padding} exceeds half the kernel {kernel}", where=name)
    (rows, columns), (down, right), (y, x) = kernel, stride, padding
    return SumPool2d(kernel=(rows, columns), stride=(down, right), padding=((y, y), (x, x)))


def _op(
    name: str, node: Any, stride: Sequence[int], padding: Pads, dilation: Sequence[int]
) -> Conv2d:
    (groups,) = _numbers(name, "groups", node.groups, 1, 1)
    (top, left), (rows, columns) = stride, dilation
    return Conv2d(
        weight=Ref(""),
        stride=(top, left),
        padding=(padding[0], padding[1]),
        dilation=(rows, columns),
        groups=groups,
    )


def _geometry(
    name: str, node: Any, weight: Floats, axes: int
) -> tuple[tuple[int, ...], Pads, tuple[int, ...]]:
    if weight.ndim != 2 + axes:
        raise BadFile(f"a kernel of shape {weight.shape} is none of a Conv{axes}d", where=name)
    stride = _numbers(name, "stride", node.stride, 1, axes)
    dilation = _numbers(name, "dilation", node.dilation, 1, axes)
    return stride, _padding(name, node.padding, weight, stride, dilation), dilation


def _padding(
    name: str, given: Any, weight: Floats, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Pads:
    if isinstance(given, (str, bytes)):
        word = given.decode() if isinstance(given, bytes) else given
        if word == "valid":
            return ((0, 0),) * len(stride)
        if word != "same" or set(stride) != {1}:
            raise Unsupported(
                f"padding {word!r} with stride {stride} is not supported",
                where=name,
                hint="'valid', 'same' with stride 1, or numbers",
            )
        both = [d * (n - 1) for d, n in zip(dilation, weight.shape[2:], strict=True)]
        return tuple((n // 2, n - n // 2) for n in both)
    return tuple((n, n) for n in _numbers(name, "padding", given, 0, len(stride)))


def _numbers(name: str, key: str, given: Any, least: int, count: int) -> tuple[int, ...]:
    fits = np.size(given) in (1, count) and np.asarray(given).dtype.kind in "iuf"
    numbers = np.broadcast_to(np.asarray(given).ravel(), (count,)) if fits else None
    if numbers is None or (numbers != np.floor(numbers)).any() or (numbers < least).any():
        several = "" if count == 1 else f", or {'two' if count == 2 else count}"
        raise BadFile(f"{key} = {given} is no whole number >= {least}{several}", where=name)
    return tuple(int(n) for n in numbers)
