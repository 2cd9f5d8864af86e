"""A path of linear nodes between two populations, as one projection.

A chip has no place for a map of its own between two populations: what lies there must be one
weight. Scales, averages and delays become a part of it, exactly (in real numbers):

- pools and flattens in front of the weight stay as they are (they have none)
- ``W (f x)`` and ``f (W x)`` are one weight; so is ``W2 (W1 x)``; a pool behind a convolution
  without padding of its own makes its kernel larger
- a delay of the whole path is one of its edge; delays that differ between elements split the
  weight into one for each delay
- a path without any weight has the weight 1
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace as with_fields

from sast_compile.errors import Unsupported
from sast_compile.frontend.nir_linear import LinearNode, Steps, weight_of
from sast_compile.frontend.numbers import Floats
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Dense, Flatten
from sast_compile.ir.pool import SumPool2d

LARGEST_IDENTITY = 4096  # elements of a vector that is handed on without a weight
NONE = np.zeros((), np.int64)
ONE = np.ones(())


@dataclass(frozen=True, eq=False)
class Weighted:
    """A projection: its op, weight (O, I, ..), and the delay of every (output, input)."""

    name: str
    op: Dense | Conv2d
    weight: Floats
    lag: Steps  # broadcasts against the first two axes of the weight


class Part(NamedTuple):
    """One projection of a path: its name is ``name + suffix``; ``delay`` in steps."""

    name: str
    suffix: str
    op: Dense | Conv2d
    weight: Floats
    delay: int


@dataclass(frozen=True, eq=False)
class Chain:
    """What has been seen of a path: from a population or input on, up to now.

    ``shape`` is that of one step of its result; ``factor`` and ``lag`` are those of the result that
    no weight holds yet, before the first weight.
    """

    shape: tuple[int, ...]
    before: tuple[tuple[str, Flatten | SumPool2d], ...] = ()
    factor: Floats = field(default_factory=lambda: ONE)
    lag: Steps = field(default_factory=lambda: NONE)
    weighted: Weighted | None = None
    behind: tuple[tuple[str, Flatten], ...] = ()

    def then(self, name: str, node: LinearNode) -> Chain:
        """The path with ``node``, called ``name``, behind it; Unsupported if no weight holds it."""
        match node.op:
            case Flatten() | SumPool2d() if self.weighted is None:
                found = self._unweighted(name, node.op)
            case Flatten():
                found = replace(self, behind=(*self.behind, (name, node.op)))
            case SumPool2d():
                found = self._pooled(name, node.op)
            case Dense() | Conv2d() if self.weighted is None:
                found = self._weighted(name, node.op, weight_of(node.weight))
            case Dense():
                found = self._product(name, weight_of(node.weight))
            case Conv2d():
                raise _two_weights(self._weight.name, name)
            case None:
                found = self
        shape = node(np.zeros(self.shape)).shape
        factor = ONE if node.factor is None else node.factor
        lag = NONE if node.delay is None else node.delay
        return replace(found._times(name, factor, lag), shape=shape)

    def ended(self, name: str) -> Chain:
        """The path with a weight; ``name`` is what the weight 1 of a path without one is called."""
        if self.weighted is not None:
            return self
        if self.before and isinstance(self.before[-1][1], SumPool2d):
            return self._pool_as_weight()
        if len(self.shape) == 1:
            if self.shape[0] > LARGEST_IDENTITY:
                raise Unsupported(
                    f"{self.shape[0]} elements come in without a weight: the {self.shape[0]} x "
                    f"{self.shape[0]} identity is too large",
                    where=name,
                    hint="put a Linear between them",
                )
            dense = Dense(weight=Ref(""))
            return self._weighted(name, dense, np.eye(self.shape[0]))
        op = Conv2d(weight=Ref(""), groups=self.shape[0])
        return self._weighted(name, op, np.ones((self.shape[0], 1, 1, 1)))

    def parts(self) -> Iterator[Part]:
        """One projection for each delay."""
        weighted = self._weight
        outline = weighted.weight.shape[:2]
        lag = np.broadcast_to(weighted.lag, outline)
        delays = np.unique(lag).tolist()
        for delay in delays:
            here = (lag == delay).reshape(*outline, *(1,) * (weighted.weight.ndim - 2))
            suffix = "" if len(delays) == 1 else f".d{delay}"
            yield Part(weighted.name, suffix, weighted.op, weighted.weight * here, delay)

    @property
    def _weight(self) -> Weighted:
        assert self.weighted is not None
        return self.weighted

    def _unweighted(self, name: str, op: Flatten | SumPool2d) -> Chain:
        node = LinearNode(op)
        shape = node(np.zeros(self.shape)).shape

        def carried(what: str, given: np.ndarray) -> np.ndarray:
            if not given.shape or isinstance(op, Flatten):
                return given.reshape(shape) if given.shape else given
            return np.broadcast_to(_by_channel(name, what, given), shape)

        factor, lag = carried("scale", self.factor), carried("delay", self.lag)
        return replace(self, before=(*self.before, (name, op)), factor=factor, lag=lag)

    def _weighted(self, name: str, op: Dense | Conv2d, weight: Floats) -> Chain:
        """The first weight takes in what stands before it."""
        factor = _columns(name, "scale", self.factor, op, len(weight))
        lag = _columns(name, "delay", self.lag, op, len(weight))
        held = weight * _over(factor, weight)
        return replace(self, factor=ONE, lag=NONE, weighted=Weighted(name, op, held, lag))

    def _times(self, name: str, factor: Floats, lag: Steps) -> Chain:
        """The path, its result times ``factor`` and ``lag`` steps later."""
        if self.weighted is None:
            return replace(self, factor=self.factor * factor, lag=self.lag + lag)
        weighted, flat = self._weight, bool(self.behind)
        rows = _rows(name, "scale", factor, weighted, flat)
        late = _rows(name, "delay", lag, weighted, flat)
        held = weighted.weight * _over(rows, weighted.weight)
        late = late.reshape(-1, 1) if late.shape else late
        return replace(self, weighted=replace(weighted, weight=held, lag=weighted.lag + late))

    def _product(self, name: str, weight: Floats) -> Chain:
        """Two matrices in a row as one, under the name of the second."""
        first = self._weight
        if not isinstance(first.op, Dense) or self.behind or first.lag.any():
            raise _two_weights(first.name, name)
        product = Weighted(name, first.op, weight @ first.weight, NONE)
        return replace(self, weighted=product)

    def _pooled(self, name: str, pool: SumPool2d) -> Chain:
        """A convolution and the sums over its windows as one convolution with a larger kernel."""
        first = self._weight
        if not isinstance(first.op, Conv2d) or self.behind or np.any(pool.padding):
            raise Unsupported(
                f"pools what {first.name} makes, and only the sums of a convolution's windows, "
                "without padding, are one weight with it",
                where=name,
                hint="put the pool behind the neurons, or a neuron between the two",
            )
        weight, op = enlarged(first.weight, first.op, pool)
        return replace(self, weighted=replace(first, op=op, weight=weight))

    def _pool_as_weight(self) -> Chain:
        """The last pool as a convolution of ones; what stands before it stays."""
        name, pool = self.before[-1]
        assert isinstance(pool, SumPool2d)
        channels = self.shape[0]
        op = Conv2d(weight=Ref(""), stride=pool.stride, padding=pool.padding, groups=channels)
        chain = replace(self, before=self.before[:-1])
        return chain._weighted(name, op, np.ones((channels, 1, *pool.kernel)))


def enlarged(weight: Floats, op: Conv2d, pool: SumPool2d) -> tuple[Floats, Conv2d]:
    """The kernel and the convolution that ``pool``, without padding, makes of ``op``.

    Window element (a, b) of the pool sees the convolution moved by ``stride (a, b)``; the kernels
    so moved add up. The new kernel is not dilated.
    """
    outputs, inputs, *size = weight.shape
    spans = [
        d * (n - 1) + 1 + s * (k - 1)
        for d, n, s, k in zip(op.dilation, size, op.stride, pool.kernel, strict=True)
    ]
    kernel = np.zeros((outputs, inputs, *spans))
    for a, b in np.ndindex(*pool.kernel):
        y, x = a * op.stride[0], b * op.stride[1]
        rows = slice(y, y + op.dilation[0] * (size[0] - 1) + 1, op.dilation[0])
        columns = slice(x, x + op.dilation[1] * (size[1] - 1) + 1, op.dilation[1])
        kernel[:, :, rows, columns] += weight
    stride = (op.stride[0] * pool.stride[0], op.stride[1] * pool.stride[1])
    return kernel, with_fields(op, stride=stride, dilation=(1, 1))


def _two_weights(first: str, second: str) -> Unsupported:
    return Unsupported(
        f"feeds {second}, which has a weight too, and the two are no single weight of a kind that "
        "a chip has",
        where=first,
        hint="put a neuron between them, or multiply the two into one",
    )


def _by_channel(name: str, what: str, given: np.ndarray) -> np.ndarray:
    """``given`` as (C, 1, ..); Unsupported if it differs inside a channel."""
    if not given.shape:
        return given
    first = given.reshape(len(given), -1)[:, :1]
    if (given.reshape(len(given), -1) != first).any():
        raise Unsupported(
            f"meets a {what} that differs inside a channel, which no kernel holds",
            where=name,
            hint=f"one {what} for each channel, or a Linear instead",
        )
    return np.asarray(first.reshape(-1, *(1,) * (given.ndim - 1)))


def _over(given: np.ndarray, weight: Floats) -> np.ndarray:
    """``given``, whose axes are the first ones of ``weight``, to be multiplied with it."""
    return given.reshape(given.shape + (1,) * (weight.ndim - given.ndim))


def _columns(
    name: str, what: str, given: np.ndarray, op: Dense | Conv2d, outputs: int
) -> np.ndarray:
    """One number for each (output, input) of a weight, from one for each element; or () for all."""
    if not given.shape:
        return given
    if isinstance(op, Dense):
        return given.reshape(1, -1)
    groups = _by_channel(name, what, given).reshape(op.groups, -1)
    return np.repeat(groups, outputs // op.groups, axis=0)


def _rows(
    name: str, what: str, given: np.ndarray, weighted: Weighted, flattened: bool
) -> np.ndarray:
    """One number for each output of the weight, or () for all."""
    if not given.shape or isinstance(weighted.op, Dense):
        return given.ravel() if given.shape else given
    if flattened:
        raise Unsupported(
            f"is a {what} behind a flattened convolution", where=name, hint="put it before it"
        )
    return _by_channel(name, what, given).ravel()
