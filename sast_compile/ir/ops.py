"""The ops, each a frozen record with one typing rule: types in, type out, or TypeMismatch."""

from __future__ import annotations

import math
from typing import TypeAlias

from sast_compile.errors import TypeMismatch
from sast_compile.ir.consts import Consts, lookup, row_bounds, shifted, sum_bounds
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.neuron import (
    Exponent,
    Natural,
    Positive,
    Record,
    Ref,
)
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.population import Neuron
from sast_compile.ir.types import (
    Const,
    Float,
    Int,
    TensorType,
    int_holding,
    same_scale,
    times,
)


class Input(Record, frozen=True, kw_only=True, tag="input"):
    """The events of one step: ``bits`` = 1 for spikes, more for counts or graded values."""

    shape: tuple[Positive, ...]
    bits: Positive = 1
    signed: bool = False

    def result(self, consts: Consts) -> TensorType:
        return TensorType(self.shape, Int(self.bits, self.signed))


class Flatten(Record, frozen=True, kw_only=True, tag="flatten"):
    """Axes ``first`` to ``last`` as one, in C order: the last axis (x of ``PYX``) runs fastest."""

    first: Natural = 0
    last: int = -1

    def result(self, consts: Consts, x: TensorType) -> TensorType:
        if isinstance(x.scale, tuple):
            raise TypeMismatch("cannot flatten a tensor with one scale per channel")
        last = self.last + len(x.shape) * (self.last < 0)
        if not self.first <= last < len(x.shape):
            raise TypeMismatch(f"axes {self.first} to {self.last} do not fit a shape {x.shape}")
        middle = math.prod(x.shape[self.first : last + 1])
        shape = (*x.shape[: self.first], middle, *x.shape[last + 1 :])
        return TensorType(shape, x.element, x.scale)


class Scale(Record, frozen=True, kw_only=True, tag="scale"):
    """Every element times its own factor, in floats: ``y = factor x``; factor is shaped like x."""

    factor: Ref

    def result(self, consts: Consts, x: TensorType) -> TensorType:
        factor = lookup(self.factor, consts)
        if factor.type.shape != x.shape:
            raise TypeMismatch(f"factor @{self.factor.name} {factor.type} does not fit {x}")
        if not isinstance(factor.type.element, Float) or factor.type.scale != 1:
            raise TypeMismatch("a factor is a float: in integers it is a part of the weights")
        return TensorType(x.shape, Float(), x.scale)


class Dense(Record, frozen=True, kw_only=True, tag="dense"):
    """A full projection: ``y = (W x) << exponent``; below 0 the sum shifts right (floor).

    W is (outputs, inputs).
    """

    weight: Ref
    exponent: Exponent = 0

    def result(self, consts: Consts, x: TensorType) -> TensorType:
        weight = _matrix(self.weight, consts, x)
        shape = (weight.type.shape[0],)
        scale = times(times(weight.type.scale, x.scale), 2.0**-self.exponent)
        if isinstance(weight.type.element, Float) or isinstance(x.element, Float):
            return TensorType(shape, Float(), scale)
        low, high = sum_bounds(weight, x.element)
        return TensorType(
            shape, int_holding(*(shifted(e, self.exponent) for e in (low, high))), scale
        )


class Terms(Record, frozen=True, kw_only=True, tag="terms"):
    """A projection whose sum the neuron makes: ``y[j] = W[:, j] x[j] << exponent``.

    For chips that saturate after every single addition, where the order of the terms is part of the
    arithmetic. The result is (inputs, outputs).
    """

    weight: Ref
    exponent: Exponent = 0

    def result(self, consts: Consts, x: TensorType) -> TensorType:
        weight = _matrix(self.weight, consts, x)
        if isinstance(weight.type.scale, tuple):
            raise TypeMismatch("terms cannot have one scale per output")
        if isinstance(weight.type.element, Float) or isinstance(x.element, Float):
            raise TypeMismatch("terms are for integers; a float sum needs no order: use dense")
        outputs, inputs = weight.type.shape
        ends = [
            shifted(w * e, self.exponent)
            for w in (int(weight.data.min()), int(weight.data.max()))
            for e in (x.element.low, x.element.high)
        ]
        scale = times(times(weight.type.scale, x.scale), 2.0**-self.exponent)
        return TensorType((inputs, outputs), int_holding(min(ends), max(ends)), scale)


class Add(Record, frozen=True, kw_only=True, tag="add"):
    """The sum of currents of one scale that meet at a neuron."""

    def result(self, consts: Consts, *xs: TensorType) -> TensorType:
        _alike(xs, "add")
        if any(isinstance(x.element, Float) for x in xs):
            return TensorType(xs[0].shape, Float(), xs[0].scale)
        elements = [x.element for x in xs if isinstance(x.element, Int)]
        element = int_holding(sum(e.low for e in elements), sum(e.high for e in elements))
        return TensorType(xs[0].shape, element, xs[0].scale)


class Join(Record, frozen=True, kw_only=True, tag="join"):
    """Terms one behind the other: those of the first input are added first."""

    def result(self, consts: Consts, *xs: TensorType) -> TensorType:
        _alike(xs, "join", axes=slice(1, None))
        elements = [x.element for x in xs if isinstance(x.element, Int)]
        if len(elements) < len(xs) or not xs[0].shape:
            raise TypeMismatch("join is for the integers of terms")
        element = int_holding(min(e.low for e in elements), max(e.high for e in elements))
        return TensorType((sum(x.shape[0] for x in xs), *xs[0].shape[1:]), element, xs[0].scale)


Linear: TypeAlias = Flatten | Scale | SumPool2d | Dense | Conv2d  # of one input, without a state
Op: TypeAlias = Input | Flatten | Scale | SumPool2d | Dense | Conv2d | Terms | Add | Join | Neuron
Projection: TypeAlias = Dense | Conv2d  # what has a weight and an exponent, and takes a chip's step


def _matrix(ref: Ref, consts: Consts, x: TensorType) -> Const:
    weight = lookup(ref, consts)
    if len(weight.type.shape) != 2 or x.shape != weight.type.shape[1:]:
        raise TypeMismatch(f"weight @{ref.name} {weight.type} does not fit an input {x}")
    if isinstance(x.scale, tuple):
        raise TypeMismatch("the input of a projection has one scale per channel")
    return weight


def _alike(xs: tuple[TensorType, ...], op: str, axes: slice = slice(None)) -> None:
    if not xs:
        raise TypeMismatch(f"{op} needs an input")
    for x in xs[1:]:
        if x.shape[axes] != xs[0].shape[axes]:
            raise TypeMismatch(f"{op} of shapes {xs[0].shape} and {x.shape}")
        if not same_scale(x.scale, xs[0].scale):
            raise TypeMismatch(f"{op} of scales {xs[0].scale} and {x.scale}")


__all__ = [
    "Add",
    "Consts",
    "Conv2d",
    "Dense",
    "Flatten",
    "Input",
    "Join",
    "Linear",
    "Neuron",
    "Op",
    "Projection",
    "Scale",
    "SumPool2d",
    "Terms",
    "lookup",
    "row_bounds",
]
