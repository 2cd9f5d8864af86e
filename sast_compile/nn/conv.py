"""torch's Conv2d over the steps of a sample."""

from __future__ import annotations

from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """The same cross-correlation in every step: (batch, T, C, H, W) to (batch, T, C', H', W')."""

    def forward(self, pictures: Tensor) -> Tensor:
        """All steps of all samples as one batch of pictures."""
        y: Tensor = super().forward(pictures.flatten(0, 1))
        return y.view(*pictures.shape[:2], *y.shape[1:])
