"""Sharpness-aware minimisation as a wrapper of any torch optimizer.

Foret, Kleiner, Mobahi, Neyshabur, *Sharpness-Aware Minimization for Efficiently Improving
Generalization*, ICLR 2021 (arXiv 2010.01412), equations 2 and 3: with ``g`` the gradient at ``w``,

    e = rho g / ||g||_2          (one norm over all parameters of all groups)
    w <- base(w, gradient at w + e)

``adaptive`` measures the step by the size of each weight (Kwon, Kim, Park, Choi, *ASAM*, ICML 2021,
arXiv 2102.11600), ``T = |w| + 0.01``: ``e = rho T^2 g / ||T g||_2``. SAST applies SAM to the
surrogate-forward network (arXiv 2604.09696, 2603.18039), whose gradient is the exact one; its
convergence proof takes the gradient at ``w + e`` from an independent second minibatch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from sast_compile.errors import CompileError

Closure: TypeAlias = Callable[[], Any]
SMALLEST = 1e-30  # of a norm: a gradient of 0 climbs nowhere
ASAM_ETA = 0.01


class SAM(Optimizer):
    """``base`` fed with gradients taken at ``w + e``; ``rho = 0`` is exactly ``base``.

    The parameter groups and the state are those of ``base``, so learning-rate schedulers,
    ``zero_grad`` and ``state_dict`` work as ever; ``rho`` is one more entry of a group, free to be
    scheduled. ``clip_norm`` bounds the norm of the gradient that ``base`` is fed. Raises
    CompileError unless rho >= 0.
    """

    def __init__(
        self,
        base: Optimizer,
        rho: float,
        *,
        adaptive: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        if not 0 <= rho < float("inf"):
            raise CompileError(f"rho = {rho} is not a finite number >= 0", where="SAM")
        self.base, self.adaptive, self.clip_norm = base, adaptive, clip_norm
        super().__init__(base.param_groups, {**base.defaults, "rho": rho})
        self._follow_base()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group to ``base``, with this optimizer's ``rho`` unless the group has its own."""
        param_group.setdefault("rho", self.defaults["rho"])
        if not any(param_group is group for group in self.base.param_groups):
            self.base.add_param_group(param_group)
        self._follow_base()

    def step(
        self,
        closure: Closure | None = None,
        second: Closure | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Any:
        """One step of ``base`` with the gradient at ``w + e``; returns the loss at ``w``.

        A closure clears the gradients, computes the loss, calls ``backward`` and returns the loss.
        ``closure`` is looked at in ``w``, ``second`` (``closure`` again, if None: the same
        minibatch) in ``w + e``. With a ``scaler`` the closures call ``scaler.scale(loss)
        .backward()``; the climb does not depend on the scale, and the scaler is stepped and updated
        here. Gradients that are not finite climb nowhere.
        """
        if closure is None:
            raise CompileError(
                "step needs a closure, because it looks at the loss twice",
                where="SAM",
                hint="optimizer.step(closure)",
            )
        with torch.enable_grad():
            loss = closure()
        moved = self._climb()
        if moved.weights:
            try:
                with torch.enable_grad():
                    (second or closure)()
            finally:
                self._return(moved)
        if scaler is not None:
            scaler.unscale_(self.base)
        if self.clip_norm is not None:
            weights = [w for group in self.param_groups for w in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, self.clip_norm)
        if scaler is None:
            self.base.step()
        else:
            scaler.step(self.base)
            scaler.update()
        return loss

    @torch.no_grad()
    def _climb(self) -> _Moved:
        """Moves w to w + e; what moved, with its old values."""
        moving = [
            (weight, weight.grad, float(group["rho"]))
            for group in self.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
        if not any(rho for _, _, rho in moving):
            return _Moved([], [])
        weights = [weight for weight, _, _ in moving]
        # copied back rather than subtracted: w + e - e is not w in floating point
        before = [weight.clone() for weight in weights]
        sizes = [self._size(weight) for weight in weights]
        slopes = [g if t is None else g * t for (_, g, _), t in zip(moving, sizes, strict=True)]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in slopes]))
        # stays on the device: a float() here would wait for it in every step
        unit = torch.where(torch.isfinite(norm), 1 / norm.clamp_min(SMALLEST), norm.new_zeros(()))
        for (weight, _, rho), slope, size in zip(moving, slopes, sizes, strict=True):
            climb = torch.nan_to_num(slope * (rho * unit), 0.0, 0.0, 0.0)
            weight.add_(climb if size is None else climb * size)
        return _Moved(weights, before)

    def _size(self, weight: Tensor) -> Tensor | None:
        return weight.abs() + ASAM_ETA if self.adaptive else None

    @torch.no_grad()
    def _return(self, moved: _Moved) -> None:
        for weight, value in zip(moved.weights, moved.before, strict=True):
            weight.copy_(value)

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


class _Moved(NamedTuple):
    weights: list[Tensor]
    before: list[Tensor]
