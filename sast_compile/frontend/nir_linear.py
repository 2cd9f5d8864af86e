"""NIR's linear nodes, each as one record: ``y = factor op(x) + bias``, some steps later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.errors import BadFile, CompileError, TypeMismatch
from sast_compile.frontend.nir_conv import conv1d, conv2d, pool2d
from sast_compile.frontend.nir_kinds import kind_of
from sast_compile.frontend.nir_nodes import MOST_ELEMENTS
from sast_compile.frontend.numbers import Floats, finite
from sast_compile.ir.conv import Conv2d, convolve, geometry, like_input
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Dense, Flatten
from sast_compile.ir.pool import SumPool2d, pool_geometry, sum_pool
from sast_compile.ir.types import Float, TensorType

Steps: TypeAlias = npt.NDArray[np.int64]

ROUNDING = 1e-6  # how far a delay may lie from a whole number of steps, relative to it


@dataclass(frozen=True, eq=False)
class LinearNode:
    """``y[t] = factor op(x[t - delay]) + bias``; factor, delay and bias are shaped like y, or ().

    ``op`` is None where the elements stay what they are (Scale, Delay).
    """

    op: Flatten | SumPool2d | Dense | Conv2d | None = None
    weight: Floats | None = None
    factor: Floats | None = None
    delay: Steps | None = None
    bias: Floats | None = None

    def __call__(self, x: Floats) -> Floats:
        """``factor op(x) + bias`` of one sample, without the delay."""
        y = self._projected(x)
        y = y if self.factor is None else y * self.factor
        return y if self.bias is None else y + self.bias

    def result(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the result for an input of ``shape``; TypeMismatch if it does not fit."""
        match self.op:
            case Flatten():
                return self.op.result({}, TensorType(shape, Float())).shape
            case SumPool2d():
                return pool_geometry(self.op, shape).output
            case Dense():
                return weight_of(self.weight).shape[:1]
            case Conv2d():
                made = geometry(self.op, shape, weight_of(self.weight).shape).output
                return like_input(made, shape)
        return shape

    def _projected(self, x: Floats) -> Floats:
        match self.op:
            case None:
                return x
            case Flatten():
                return x.reshape(self.op.result({}, TensorType(x.shape, Float())).shape)
            case SumPool2d():
                return np.asarray(sum_pool(self.op, x[None])[0])
            case Dense():
                return np.asarray(weight_of(self.weight) @ x)
            case Conv2d():
                return np.asarray(convolve(self.op, x[None], weight_of(self.weight))[0])


def linear_node(name: str, node: Any, shape: tuple[int, ...], dt: float) -> LinearNode:
    """The record of ``node`` on an input of ``shape``; BadFile or TypeMismatch naming the node."""
    try:
        found = _record(name, node, shape, dt)
        made = found.result(shape)
    except TypeMismatch as error:
        raise TypeMismatch(error.what, where=name, hint=error.hint) from None
    if math.prod(made) > MOST_ELEMENTS:
        raise BadFile(f"makes {made}, more than {MOST_ELEMENTS} elements", where=name)
    _check_stated(name, node, shape)
    return found


def _check_stated(name: str, node: Any, shape: tuple[int, ...]) -> None:
    """Raises BadFile if the node states another input than ``shape``."""
    stated: Any = None
    if kind_of(node) in ("Conv1d", "Conv2d") and node.input_shape is not None:
        stated, shape = np.atleast_1d(node.input_shape), shape[1:]
    if kind_of(node) == "Flatten":
        stated = node.input_type["input"]
    if stated is not None and tuple(int(n) for n in stated) != shape:
        given = tuple(int(n) for n in stated)
        raise BadFile(
            f"states an input of shape {given}, but one of shape {shape} comes in",
            where=name,
            hint="correct one of them, or leave the statement out",
        )


def _record(name: str, node: Any, shape: tuple[int, ...], dt: float) -> LinearNode:
    kind = kind_of(node)
    match kind:
        case "Flatten":
            first, last = int(node.start_dim), int(node.end_dim)
            first += len(shape) * (first < 0)
            if first < 0:
                raise TypeMismatch(f"axes {node.start_dim} to {last} do not fit a shape {shape}")
            return LinearNode(Flatten(first=first, last=last))
        case "Scale":
            return LinearNode(factor=_like(name, "scale", finite(name, "scale", node.scale), shape))
        case "Delay":
            return LinearNode(delay=_like(name, "delay", _steps(name, node.delay, dt), shape))
        case "SumPool2d" | "AvgPool2d":
            pool = pool2d(name, node)
            _check_axes(name, kind, shape, 2)
            share = np.asarray(1 / (pool.kernel[0] * pool.kernel[1]))
            return LinearNode(pool, factor=share if kind == "AvgPool2d" else None)
    weight = finite(name, "weight", node.weight)
    bias = finite(name, "bias", node.bias) if hasattr(node, "bias") else None
    if kind in ("Linear", "Affine"):
        _check_matrix(name, weight, bias, shape)
        return LinearNode(Dense(weight=Ref("")), weight, bias=_some(bias))
    _check_axes(name, kind, shape, 1 if kind == "Conv1d" else 2)
    op, kernel = (conv1d if kind == "Conv1d" else conv2d)(name, node, weight)
    if bias is not None and bias.shape not in ((), (len(weight),)):
        raise BadFile(f"bias {bias.shape} does not fit {len(weight)} channels", where=name)
    if bias is not None and bias.shape:
        bias = bias.reshape(-1, *(1,) * (len(shape) - 1))
    return LinearNode(op, kernel, bias=_some(bias))


def weight_of(weight: Floats | None) -> Floats:
    """The weight of a node whose op has one."""
    assert weight is not None
    return weight


def _some(bias: Floats | None) -> Floats | None:
    return bias if bias is not None and bias.any() else None


def _check_axes(name: str, kind: str, shape: tuple[int, ...], axes: int) -> None:
    if len(shape) != axes + 1:
        what = "(C, X)" if axes == 1 else "(C, Y, X)"
        raise BadFile(f"a {kind} on an input of shape {shape}, not {what}", where=name)


def _check_matrix(name: str, weight: Floats, bias: Floats | None, shape: tuple[int, ...]) -> None:
    if weight.ndim != 2 or shape != weight.shape[1:]:
        raise BadFile(f"weight {weight.shape} does not fit an input of shape {shape}", where=name)
    if bias is not None and bias.shape not in ((), weight.shape[:1]):
        raise BadFile(f"bias {bias.shape} does not fit {len(weight)} outputs", where=name)


def _like(name: str, key: str, data: npt.NDArray[Any], shape: tuple[int, ...]) -> Any:
    """``data`` for every element of ``shape``, or one number for all."""
    if data.size == 1:
        return data.reshape(())
    try:
        return np.broadcast_to(data, shape)
    except ValueError:
        raise BadFile(f"{key} {data.shape} does not fit a shape {shape}", where=name) from None


def _steps(name: str, given: Any, dt: float) -> Steps:
    """A delay in seconds as whole steps; CompileError where it is none."""
    delay = finite(name, "delay", given)
    exact = delay / dt
    steps = np.rint(exact)
    if (delay < 0).any():
        raise CompileError(f"delay {delay.min():g} s is negative", where=name)
    if (np.abs(exact - steps) > ROUNDING * np.maximum(steps, 1)).any():
        worst = delay.flat[int(np.abs(exact - steps).argmax())]
        raise CompileError(
            f"delay {worst:g} s is {worst / dt:g} steps of dt = {dt:g} s, not a whole number",
            where=name,
            hint="delays of whole steps, or a dt that divides them",
        )
    return steps.astype(np.int64)
