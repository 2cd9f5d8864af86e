"""Numbers of a graph as float64: finite, of a size whose products stay finite, one or many."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.errors import BadFile, CompileError
from sast_compile.ir.neuron import Param, Ref
from sast_compile.ir.types import Const, Float, TensorType

Floats: TypeAlias = npt.NDArray[np.float64]

SMALLEST, LARGEST = 1e-30, 1e30  # of every parameter: squares and ratios stay far from overflow


def finite(name: str, key: str, value: Any) -> Floats:
    """``value`` as float64; BadFile or CompileError naming node and key if a number is unusable."""
    given = np.asarray(value)
    if given.dtype.kind not in "biuf":
        raise BadFile(f"{key} is no array of real numbers but of {given.dtype}", where=name)
    data = given.astype(np.float64)
    bad = int((~np.isfinite(data)).sum())
    if bad:
        raise CompileError(f"{key} holds {bad} NaN or Inf of {data.size}", where=name)
    largest = np.abs(data).max(initial=0.0)
    if largest and not SMALLEST <= largest <= LARGEST:
        raise CompileError(
            f"{key} of magnitude {largest:g} lies outside {SMALLEST:g}..{LARGEST:g}",
            where=name,
            hint="choose other units, so that no product of two numbers can leave float64",
        )
    return data


def floats(data: npt.ArrayLike) -> Const:
    """A constant of float64."""
    array = np.asarray(data, dtype=np.float64)
    return Const(TensorType(array.shape, Float()), array)


def param(key: str, data: Floats, shape: tuple[int, ...], consts: dict[str, Const]) -> Param:
    """One number where all neurons agree, else the constant ``key`` with one number each."""
    if data.size == 1 or (data == data.flat[0]).all():
        return float(data.flat[0])
    consts[key] = floats(np.broadcast_to(data, shape))
    return Ref(key)
