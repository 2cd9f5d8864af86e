"""NIR's Conv2d as the program's: stride, padding, dilation and groups as integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from sast_compile.errors import BadFile, Unsupported
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.neuron import Ref


def conv2d(name: str, node: Any, weight: tuple[int, ...]) -> Conv2d:
    """The op of ``node``, whose weight has the shape ``weight``; BadFile naming what is no number.

    ``same`` pads as torch does: of an odd number, the greater part after.
    """
    if len(weight) != 4:
        raise BadFile(f"a kernel of shape {weight} is none of a Conv2d", where=name)
    stride, dilation = (_pair(name, key, getattr(node, key), 1) for key in ("stride", "dilation"))
    return Conv2d(
        weight=Ref(f"{name}.weight"),
        stride=stride,
        padding=_padding(name, node.padding, weight, stride, dilation),
        dilation=dilation,
        groups=int(node.groups),
    )


def _padding(
    name: str,
    given: Any,
    weight: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[tuple[int, int], tuple[int, int]]:
    if isinstance(given, (str, bytes)):
        word = given.decode() if isinstance(given, bytes) else given
        if word == "valid":
            return (0, 0), (0, 0)
        if word != "same" or stride != (1, 1):
            raise Unsupported(
                f"padding {word!r} with stride {stride} is not supported", where=name,
                hint="'valid', 'same' with stride 1, or numbers",
            )  # fmt: skip
        both = [d * (n - 1) for d, n in zip(dilation, weight[2:], strict=True)]
        rows, columns = ((n // 2, n - n // 2) for n in both)
        return rows, columns
    y, x = _pair(name, "padding", given, 0)
    return (y, y), (x, x)


def _pair(name: str, key: str, given: Any, least: int) -> tuple[int, int]:
    numbers = np.broadcast_to(np.asarray(given), (2,)) if np.size(given) in (1, 2) else None
    if numbers is None or (numbers != np.floor(numbers)).any() or (numbers < least).any():
        raise BadFile(f"{key} = {given} is no whole number >= {least}, or two", where=name)
    return int(numbers[0]), int(numbers[1])
