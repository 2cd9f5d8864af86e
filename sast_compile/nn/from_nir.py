"""The wiring of NIR's nodes as torch layers, each on (batch, T, *shape)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import nir
import numpy as np
import torch
from torch import Tensor, nn

from sast_compile.errors import Unsupported
from sast_compile.nn.conv import AvgPool2d, Conv1d, Conv2d

State: TypeAlias = tuple[Tensor, ...]
Weighted: TypeAlias = nn.Linear | nn.Conv1d | nn.Conv2d
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Scale(nn.Module):
    """Every element times its own factor; the factor broadcasts against one step."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones((), dtype=torch.float64), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """``factor x``."""
        return x * self.factor


class Delay(nn.Module):
    """Every element some steps later: ``steps`` are one number, or one for each element."""

    def __init__(self, steps: Tensor) -> None:
        super().__init__()
        self.steps = steps

    def split(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Each delay, and ``x`` with zeros where another delay is meant."""
        for delay in sorted(set(self.steps.flatten().tolist())):
            yield delay, x * (self.steps == delay)


class Population(nn.Module):
    """The place of neurons, which passes currents on: somebody's neurons are to be put there."""

    def start(self, current: Tensor) -> State:
        """The state before the first step."""
        return ()

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """The current (batch, *shape) of one step, and the state after it."""
        return current, state


def layer_of(name: str, node: nir.NIRNode, dt: float) -> nn.Module:
    """The layer of a node that is no neuron: its wiring, with all numbers 1.

    A Scale passes its input on and an average is a sum: a compiled program holds these in weights.
    """
    match type(node).__name__:
        case "Flatten":
            first, last = (n + 2 if n >= 0 else n for n in (node.start_dim, node.end_dim))
            return nn.Flatten(int(first), int(last))
        case "Scale":
            return nn.Identity()
        case "Delay":
            steps = np.rint(np.asarray(node.delay, np.float64) / dt)
            return Delay(torch.as_tensor(steps if steps.size > 1 else steps.reshape(())).long())
        case "SumPool2d" | "AvgPool2d":
            numbers = (node.kernel_size, node.stride, node.padding)
            kernel, stride, padding = ((n[0], n[1]) for n in (_numbers(x, 2) for x in numbers))
            return AvgPool2d(kernel, stride, padding, divisor_override=1)
        case "Linear" | "Affine":
            outputs, inputs = node.weight.shape
            return _ones(nn.Linear(inputs, outputs, bias=False, dtype=torch.float64))
        case "Conv1d":
            return _ones(_conv(Conv1d, node, axes=1))
        case "Conv2d":
            return _ones(_conv(Conv2d, node, axes=2))
        case kind:
            raise Unsupported(f"NIR node {kind} has no torch layer", where=name)


def _conv(kind: Any, node: Any, axes: int) -> Weighted:
    outputs, per_group, *kernel = node.weight.shape
    layer: Weighted = kind(
        per_group * int(node.groups),
        outputs,
        tuple(kernel),
        stride=_numbers(node.stride, axes),
        padding=_padding(node.padding, axes),
        dilation=_numbers(node.dilation, axes),
        groups=int(node.groups),
        bias=False,
        dtype=torch.float64,
    )
    return layer


def _ones(layer: Weighted) -> Weighted:
    layer.weight = nn.Parameter(torch.ones_like(layer.weight), requires_grad=False)
    return layer


def _numbers(given: Any, count: int) -> tuple[int, ...]:
    return tuple(int(n) for n in np.broadcast_to(np.asarray(given).ravel(), (count,)))


def _padding(given: Any, axes: int) -> str | tuple[int, ...]:
    if isinstance(given, bytes):
        return given.decode()
    return given if isinstance(given, str) else _numbers(given, axes)
