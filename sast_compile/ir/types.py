"""Types of wires and constants: a shape, an element, and what one integer step is worth.

A wire of type ``s9[2,3] * 0.25`` carries 9-bit signed integers; each times 0.25 is a value in model
units. Types are derived by the ops, never stored, and their widths come from the worst case of the
weights: that a sum cannot overflow is a fact of its type.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.errors import TypeMismatch

Array: TypeAlias = npt.NDArray[Any]
Scale: TypeAlias = float | tuple[float, ...]  # a tuple holds one scale per index of the first axis


@dataclass(frozen=True, slots=True)
class Int:
    """A two's complement (``s8``) or unsigned (``u1``, a spike) integer of ``bits`` bits."""

    bits: int
    signed: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= (64 if self.signed else 63):
            raise TypeMismatch(f"{self} does not fit the 64 bits that back ends compute with")

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1 if self.signed else self.bits)) - 1

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}"


@dataclass(frozen=True, slots=True)
class Float:
    """A binary floating point number of 64 bits: shorter sums of weights make ties of their own."""

    bits: int = 64

    def __str__(self) -> str:
        return f"f{self.bits}"


Element: TypeAlias = Int | Float
SPIKE = Int(1, signed=False)


def int_holding(low: int, high: int) -> Int:
    """The narrowest Int that holds every integer of [low, high]."""
    if low >= 0:
        return Int(max(1, high.bit_length()), signed=False)
    return Int(1 + max((-low - 1).bit_length(), max(high, 0).bit_length()))


@dataclass(frozen=True, slots=True)
class TensorType:
    """What a wire carries in one time step: ``shape`` elements; integer x scale = model units."""

    shape: tuple[int, ...]
    element: Element
    scale: Scale = 1.0

    def __post_init__(self) -> None:
        if any(n < 1 for n in self.shape):
            raise TypeMismatch(f"shape {self.shape} has an empty axis")
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        scales = tuple(map(float, scales))  # numpy's floats print in another way
        object.__setattr__(self, "scale", scales if isinstance(self.scale, tuple) else scales[0])
        if not all(math.isfinite(s) and s > 0 for s in scales):
            raise TypeMismatch(f"scale {self.scale} is not positive and finite")
        if isinstance(self.scale, tuple) and (not self.shape or len(scales) != self.shape[0]):
            raise TypeMismatch(f"{len(scales)} scales for the first axis of shape {self.shape}")

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __str__(self) -> str:
        text = f"{self.element}[{','.join(map(str, self.shape))}]"
        return text if self.scale == 1.0 else f"{text} * {self.scale!r}"


def scale_column(type_: TensorType) -> npt.NDArray[np.float64] | float:
    """The scale of ``type_``, shaped to broadcast against a tensor of its shape."""
    if not isinstance(type_.scale, tuple):
        return type_.scale
    return np.asarray(type_.scale).reshape(-1, *(1,) * (len(type_.shape) - 1))


def times(a: Scale, b: Scale | float) -> Scale:
    """The product of two scales; per channel if either is."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return tuple(x * y for x, y in zip(a, b, strict=True))
    if isinstance(a, tuple):
        return tuple(x * b for x in a)  # type: ignore[operator]  # b is a float here
    if isinstance(b, tuple):
        return tuple(a * y for y in b)
    return a * b


def same_scale(a: Scale, b: Scale) -> bool:
    """Whether two scales agree to the last few bits of a float64."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) != len(b):
        return False
    return bool(np.allclose(a, b, rtol=1e-12, atol=0.0))


class Const:
    """A read-only array with a type; equal if type and every element are."""

    __slots__ = ("data", "type")

    def __init__(self, type_: TensorType, data: npt.ArrayLike) -> None:
        given = np.asarray(data)
        if given.shape != type_.shape:
            raise TypeMismatch(f"constant of shape {given.shape} is typed {type_}")
        _check_range(given, type_.element)
        self.type = type_
        self.data: Array = np.array(given, dtype=storage(type_.element))
        self.data.flags.writeable = False

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Const)
            and self.type == other.type
            and bool(np.array_equal(self.data, other.data))
        )

    __hash__ = None  # type: ignore[assignment]  # holds an array

    def __repr__(self) -> str:
        return f"Const({self.type})"


def storage(element: Element) -> np.dtype[np.generic]:
    """The numpy type that keeps ``element``: the smallest that holds it."""
    if isinstance(element, Float):
        return np.dtype(np.float64)
    bits = next(bits for bits in (8, 16, 32, 64) if element.bits <= bits)
    return np.dtype(f"{'int' if element.signed else 'uint'}{bits}")


def _check_range(data: Array, element: Element) -> None:
    if data.dtype.kind not in "buif":
        raise TypeMismatch("a constant holds something that is no number, or too large a one")
    if not np.isfinite(data).all():
        raise TypeMismatch("a constant holds NaN or Inf")
    if isinstance(element, Float):
        return
    if data.dtype.kind == "f" and (data != np.trunc(data)).any():
        raise TypeMismatch(f"a constant of {element} holds fractions")
    if data.size and (int(data.min()) < element.low or int(data.max()) > element.high):
        raise TypeMismatch(
            f"values {int(data.min())}..{int(data.max())} do not fit {element}"
            f" ({element.low}..{element.high})"
        )
