"""A population over all its steps as one function of autograd.

Autograd through a loop over time records half a dozen operations a step; here the loop runs without
a tape and the backward pass is the recurrence of its adjoints, written down. With ``w`` the
membrane before the spike, ``u`` after it and ``s = sigma(w - theta)``, ``p`` the gradient that
reaches ``u[t]`` and ``q`` the one that reaches ``s[t]`` from step t + 1,

    a[t] = p du/dw + sigma'(w - theta) (ds[t] + q + p du/ds)        (the gradient of I[t])
    p <- a[t] dw/du[t-1],   q <- a[t] dw/ds[t-1]

`Rule` names the four partial derivatives for each reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from sast_compile.nn.surrogates import Surrogate

Fire: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """How a population leaks and resets: ``w = decay(u, s) + I``, then ``u = after(w, s)``."""

    alpha: float
    threshold: float
    reset: str
    when: str

    def decay(self, u: Tensor, s: Tensor) -> Tensor:
        """What is left of the step before."""
        match self.reset, self.when:
            case "zero", "before_decay":
                return self.alpha * u * (1 - s)
            case "subtract", "after_decay":
                return self.alpha * u - self.threshold * s
            case _:
                return self.alpha * u

    def after(self, w: Tensor, s: Tensor) -> Tensor:
        """The membrane that the next step starts from."""
        match self.reset, self.when:
            case "zero", "after_fire":
                return w * (1 - s)
            case "subtract", "after_fire":
                return w - self.threshold * s
            case _:
                return w

    def back_through_after(self, p: Tensor, w: Tensor, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """``p du/dw`` and ``p du/ds`` (None where it is 0)."""
        match self.reset, self.when:
            case "zero", "after_fire":
                return p * (1 - s), -p * w
            case "subtract", "after_fire":
                return p, -self.threshold * p
            case _:
                return p, None

    def back_through_decay(self, a: Tensor, u: Tensor, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """``a dw/du[t-1]`` and ``a dw/ds[t-1]`` (None where it is 0)."""
        match self.reset, self.when:
            case "zero", "before_decay":
                kept = self.alpha * a
                return kept * (1 - s), -kept * u
            case "subtract", "after_decay":
                return self.alpha * a, -self.threshold * a
            case _:
                return self.alpha * a, None


class OverTime(torch.autograd.Function):
    """Currents (T, ...) to spikes (T, ...); the gradient of the spikes goes to the currents.

    ``through_reset`` False leaves the reset out of the gradient, as straight-through training does.
    """

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        rule: Rule,
        fire: Fire,
        surrogate: Surrogate,
        slope: float,
        through_reset: bool,
    ) -> Tensor:
        """The spikes; every step's membrane is kept for the backward pass."""
        spikes, membrane = torch.empty_like(current), torch.empty_like(current)
        u = s = torch.zeros_like(current[0])
        for t, now in enumerate(current):
            w = torch.add(rule.decay(u, s), now, out=membrane[t])
            s = spikes[t].copy_(fire(w))
            u = rule.after(w, s)
        ctx.save_for_backward(membrane, spikes)
        ctx.rule, ctx.surrogate, ctx.slope = rule, surrogate, slope
        ctx.through_reset = through_reset
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The adjoint recurrence of the module's docstring, from the last step to the first."""
        (spike_gradient,) = gradients
        membrane, spikes = ctx.saved_tensors
        rule: Rule = ctx.rule
        steep = ctx.surrogate.derivative(membrane - rule.threshold, ctx.slope)
        result = torch.empty_like(membrane)
        p = torch.zeros_like(membrane[0])
        q: Tensor | None = None
        for t in reversed(range(len(membrane))):
            w, s = membrane[t], spikes[t]
            direct, by_spike = rule.back_through_after(p, w, s)
            reaching = spike_gradient[t]
            if ctx.through_reset:
                for more in (q, by_spike):
                    reaching = reaching if more is None else reaching + more
            a = torch.addcmul(direct, steep[t], reaching, out=result[t])
            if t:
                u = rule.after(membrane[t - 1], spikes[t - 1])
                p, q = rule.back_through_decay(a, u, spikes[t - 1])
        return result, None, None, None, None, None
