"""Smooth spikes: sigma_k(x) from 0 to 1 with sigma_k(0) = 1/2, its derivative, and their bounds.

``x = u - theta`` is the membrane above threshold, ``k`` the slope.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

SurrogateName: TypeAlias = Literal["sigmoid", "atan", "fast_sigmoid"]


@dataclass(frozen=True)
class Surrogate:
    """One family: ``sigma(x, k)``, ``derivative(x, k)`` = sigma', ``lipschitz(k)`` = sup sigma'."""

    sigma: Callable[[Tensor, float], Tensor]
    derivative: Callable[[Tensor, float], Tensor]
    lipschitz: Callable[[float], float]


def _sigmoid_derivative(x: Tensor, k: float) -> Tensor:
    s = torch.sigmoid(k * x)
    return k * s * (1 - s)


SURROGATES: dict[str, Surrogate] = {
    # 1 / (1 + e^(-k x)); snnTorch's `sigmoid`
    "sigmoid": Surrogate(
        sigma=lambda x, k: torch.sigmoid(k * x),
        derivative=_sigmoid_derivative,
        lipschitz=lambda k: k / 4,
    ),
    # 1/2 + atan(pi k x / 2) / pi; snnTorch's `atan` (its alpha is k)
    "atan": Surrogate(
        sigma=lambda x, k: torch.atan(math.pi * k / 2 * x) / math.pi + 0.5,
        derivative=lambda x, k: (k / 2) / (1 + (math.pi * k / 2 * x).square()),
        lipschitz=lambda k: k / 2,
    ),
    # 1/2 (1 + k x / (1 + |k x|)); Zenke and Ganguli 2018 (doi 10.1162/neco_a_01086), normalised
    "fast_sigmoid": Surrogate(
        sigma=lambda x, k: 0.5 + 0.5 * k * x / (1 + (k * x).abs()),
        derivative=lambda x, k: (k / 2) / (1 + (k * x).abs()).square(),
        lipschitz=lambda k: k / 2,
    ),
}
