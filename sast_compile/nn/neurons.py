"""Spiking neurons for torch: smooth spikes for training, hard spikes on the same parameters.

The neuron of the SAST papers (arXiv 2604.09696, 2603.18039) is ``u[t] = alpha u[t-1] (1 - s[t-1])
+ I[t]`` with ``s = H(u - theta)``. Training runs the *same* recurrence with ``sigma_k(u - theta)``
in place of ``H``, in the forward pass and inside the reset, and takes its exact gradient; there is
no straight-through estimator. Deployment swaps ``sigma_k`` back for ``H`` and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from sast_compile.contract import Compare, ResetKind, ResetWhen
from sast_compile.errors import CompileError, TypeMismatch

Surrogate: TypeAlias = Literal["sigmoid", "atan"]

# sigma_k(x), from 0 to 1 with sigma_k(0) = 1/2; x = u - theta
SURROGATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "sigmoid": lambda x, k: torch.sigmoid(k * x),
    "atan": lambda x, k: torch.atan(math.pi * k / 2 * x) / math.pi + 0.5,
}
COMPARISONS: dict[str, Callable[[Tensor, float], Tensor]] = {">=": torch.ge, ">": torch.gt}
RESETS = (
    ("zero", "before_decay"),
    ("zero", "after_fire"),
    ("subtract", "after_fire"),
    ("subtract", "after_decay"),
)


class States(NamedTuple):
    """What a population did: ``spikes`` and membrane ``u``, each (batch, T, *shape)."""

    spikes: Tensor
    u: Tensor


class LIF(nn.Module):
    """A population of leaky integrate-and-fire neurons: currents (batch, T, *shape) to spikes.

    With ``u[-1] = s[-1] = 0`` one step is, in this order of operations,

    - ``zero``, ``before_decay``:  ``u[t] = alpha u[t-1] (1 - s[t-1]) + I[t]``   (the SAST papers)
    - ``zero``, ``after_fire``:    ``w = alpha u[t-1] + I[t]``, ``u[t] = w (1 - s[t])``
    - ``subtract``, ``after_fire``:  ``w = alpha u[t-1] + I[t]``, ``u[t] = w - theta s[t]``
    - ``subtract``, ``after_decay``: ``u[t] = alpha u[t-1] - theta s[t-1] + I[t]``   (snnTorch)

    and ``s[t] = H(w - theta)`` (``w = u`` where it is not named): ``sigma_k`` while ``hard`` is
    False, a comparison ``>=`` or ``>`` at the threshold while it is True. ``alpha`` and
    ``threshold`` are Python floats, without unit, and never lose a bit to the tensors' dtype.
    Raises CompileError for parameters that make no neuron.
    """

    def __init__(
        self,
        alpha: float,
        threshold: float = 1.0,
        reset: ResetKind = "zero",
        reset_when: ResetWhen = "before_decay",
        surrogate: Surrogate = "sigmoid",
        slope: float = 5.0,
        compare: Compare = ">=",
    ) -> None:
        super().__init__()
        _check_numbers(alpha, threshold, slope)
        _check_choice("reset", (reset, reset_when), RESETS)
        _check_choice("surrogate", surrogate, tuple(SURROGATES))
        _check_choice("compare", compare, tuple(COMPARISONS))
        self.alpha, self.threshold, self.slope = float(alpha), float(threshold), float(slope)
        self.reset, self.reset_when = reset, reset_when
        self.surrogate, self.compare = surrogate, compare
        self.hard = False

    def forward(self, current: Tensor) -> Tensor:
        """The spikes (batch, T, *shape): in (0, 1) while smooth, 0 or 1 while hard."""
        return torch.stack([spike for spike, _ in self._steps(current)], dim=1)

    def states(self, current: Tensor) -> States:
        """Spikes and membrane of every step; ``u`` is what the next step starts from."""
        spikes, u = zip(*self._steps(current), strict=True)
        return States(torch.stack(spikes, dim=1), torch.stack(u, dim=1))

    def fire(self, u: Tensor) -> Tensor:
        """``sigma_k(u - theta)``, or the comparison at threshold while ``hard``."""
        if self.hard:
            return COMPARISONS[self.compare](u, self.threshold).to(u.dtype)
        return SURROGATES[self.surrogate](u - self.threshold, self.slope)

    def _steps(self, current: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        if current.ndim < 2 or current.shape[1] == 0:
            raise TypeMismatch(
                f"a neuron needs currents (batch, T >= 1, ...), got {tuple(current.shape)}"
            )
        u = spike = torch.zeros_like(current[:, 0])
        for now in current.unbind(dim=1):
            w = self._decayed(u, spike) + now
            spike = self.fire(w)
            u = self._after_fire(w, spike)
            yield spike, u

    def _decayed(self, u: Tensor, spike: Tensor) -> Tensor:
        match self.reset, self.reset_when:
            case "zero", "before_decay":
                return self.alpha * u * (1 - spike)
            case "subtract", "after_decay":
                return self.alpha * u - self.threshold * spike
            case _:
                return self.alpha * u

    def _after_fire(self, w: Tensor, spike: Tensor) -> Tensor:
        match self.reset, self.reset_when:
            case "zero", "after_fire":
                return w * (1 - spike)
            case "subtract", "after_fire":
                return w - self.threshold * spike
            case _:
                return w

    def extra_repr(self) -> str:
        """The parameters, for ``print(network)``."""
        return (
            f"alpha={self.alpha}, threshold={self.threshold}, reset={self.reset} "
            f"{self.reset_when}, {self.compare}, {self.surrogate} k={self.slope}, hard={self.hard}"
        )


class IF(LIF):
    """A population of integrate-and-fire neurons: :class:`LIF` that leaks nothing, alpha = 1."""

    def __init__(
        self,
        threshold: float = 1.0,
        reset: ResetKind = "zero",
        reset_when: ResetWhen = "before_decay",
        surrogate: Surrogate = "sigmoid",
        slope: float = 5.0,
        compare: Compare = ">=",
    ) -> None:
        super().__init__(1.0, threshold, reset, reset_when, surrogate, slope, compare)


def _check_numbers(alpha: float, threshold: float, slope: float) -> None:
    if not 0 <= alpha <= 1:
        raise CompileError(
            f"leak factor alpha = {alpha} lies outside [0, 1]",
            hint="alpha = 1 - dt/tau (Euler) with tau >= dt > 0",
        )
    if not 0 <= threshold < math.inf:
        raise CompileError(f"threshold {threshold} is not a finite number >= 0")
    if not 0 < slope < math.inf:
        raise CompileError(f"surrogate slope {slope} is not a finite number > 0")


def _check_choice(what: str, choice: object, known: tuple[object, ...]) -> None:
    if choice not in known:
        choices = ", ".join(map(str, known))
        raise CompileError(f"unknown {what} {choice!r}", hint=f"one of {choices}")
