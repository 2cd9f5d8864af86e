"""Constants by name, and the least and greatest sums that a weight can make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from sast_compile.errors import TypeMismatch
from sast_compile.ir.neuron import Ref
from sast_compile.ir.types import Const, Int

Consts: TypeAlias = Mapping[str, Const]


def lookup(ref: Ref, consts: Consts) -> Const:
    """The constant that ``ref`` names; TypeMismatch if there is none."""
    if ref.name not in consts:
        raise TypeMismatch(f"no constant @{ref.name}")
    return consts[ref.name]


def shifted(value: int, exponent: int) -> int:
    """``value << exponent``; a negative exponent is a floor division."""
    return value << exponent if exponent >= 0 else value >> -exponent


def sum_bounds(weight: Const, x: Int) -> tuple[int, int]:
    """The least and greatest sum of any row of ``weight`` with inputs ``x``."""
    low, high = row_bounds(weight, x)
    return int(low.min()), int(high.max())


def row_bounds(weight: Const, x: Int) -> tuple[np.ndarray, np.ndarray]:
    """Per output: the least and the greatest sum over all inputs of type ``x``."""
    if isinstance(weight.type.element, Int):
        widest = weight.type.element.bits + x.bits + math.prod(weight.type.shape[1:]).bit_length()
        if widest > 63:
            raise TypeMismatch(f"a sum of {weight.type} with {x} may need {widest} bits")
    w = weight.data.astype(np.int64).reshape(len(weight.data), -1)
    positive, negative = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)
    return positive * x.low + negative * x.high, positive * x.high + negative * x.low
