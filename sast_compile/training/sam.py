"""Sharpness-aware minimisation as a wrapper of any torch optimizer.

Foret, Kleiner, Mobahi, Neyshabur, *Sharpness-Aware Minimization for Efficiently Improving
Generalization*, ICLR 2021 (arXiv 2010.01412), equations 2 and 3: with ``g`` the gradient at ``w``,

    e = rho g / ||g||_2          (one norm over all parameters of all groups)
    w <- base(w, gradient at w + e)

SAST applies it to the surrogate-forward network (arXiv 2604.09696, 2603.18039), whose gradient is
the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from sast_compile.errors import CompileError


class SAM(Optimizer):
    """``base`` fed with gradients taken at ``w + e``; ``rho = 0`` is exactly ``base``.

    The parameter groups and the state are those of ``base``, so learning-rate schedulers,
    ``zero_grad`` and ``state_dict`` work as ever; ``rho`` is one more entry of a group. ``step``
    needs a closure that clears the gradients, computes the loss, calls ``backward`` and returns
    the loss: it runs twice, at ``w`` and at ``w + e``. Raises CompileError unless rho >= 0.
    """

    def __init__(self, base: Optimizer, rho: float) -> None:
        if not 0 <= rho < float("inf"):
            raise CompileError(f"rho = {rho} is not a finite number >= 0", where="SAM")
        self.base = base
        super().__init__(base.param_groups, {**base.defaults, "rho": rho})
        self._follow_base()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group to ``base``, with this optimizer's ``rho`` unless the group has its own."""
        param_group.setdefault("rho", self.defaults["rho"])
        if not any(param_group is group for group in self.base.param_groups):
            self.base.add_param_group(param_group)
        self._follow_base()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of ``base`` with the gradient at ``w + e``; returns the loss at ``w``."""
        if closure is None:
            raise CompileError(
                "step needs a closure, because it looks at the loss twice",
                where="SAM",
                hint="optimizer.step(closure)",
            )
        with torch.enable_grad():
            loss = closure()
        before = self._climb()
        if before:
            try:
                with torch.enable_grad():
                    closure()
            finally:
                self._return(before)
        self.base.step()
        return loss

    @torch.no_grad()
    def _climb(self) -> dict[Tensor, Tensor]:
        """Moves w to w + e; returns the old values of what moved (nothing if e is 0)."""
        moving = [(weight, g, rho) for weight, g, rho in self._gradients() if rho > 0]
        norms = [torch.linalg.vector_norm(g) for _, g, _ in self._gradients()]
        norm = float(torch.linalg.vector_norm(torch.stack(norms))) if moving else 0.0
        if norm == 0:
            return {}
        # copied back rather than subtracted: w + e - e is not w in floating point
        before = {weight: weight.detach().clone() for weight, _, _ in moving}
        for weight, gradient, rho in moving:
            weight.add_(gradient, alpha=rho / norm)
        return before

    @torch.no_grad()
    def _return(self, before: dict[Tensor, Tensor]) -> None:
        for weight, value in before.items():
            weight.copy_(value)

    def _gradients(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    yield weight, weight.grad, group["rho"]

    def state_dict(self) -> dict[str, Any]:
        """The state of ``base``; ``rho`` is in its parameter groups."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state, of a SAM or of the bare ``base`` (then with this ``rho``)."""
        self.base.load_state_dict(state_dict)
        for group in self.base.param_groups:
            group.setdefault("rho", self.defaults["rho"])
        self._follow_base()

    def _follow_base(self) -> None:
        """Shares the base's groups and state: loading a state replaces both objects there."""
        self.param_groups = self.base.param_groups
        self.state = self.base.state
