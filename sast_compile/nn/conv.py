"""torch's layers for pictures over the steps of a sample: (batch, T, ..) to (batch, T, ..)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def each_step(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``layer`` on all steps of all samples as one batch."""
    y = layer(x.flatten(0, 1))
    return y.view(*x.shape[:2], *y.shape[1:])


class Conv1d(nn.Conv1d):
    """The same cross-correlation in every step: (batch, T, C, X) to (batch, T, C', X')."""

    def forward(self, rows: Tensor) -> Tensor:
        """All steps of all samples as one batch of rows."""
        return each_step(super().forward, rows)


class Conv2d(nn.Conv2d):
    """The same cross-correlation in every step: (batch, T, C, H, W) to (batch, T, C', H', W')."""

    def forward(self, pictures: Tensor) -> Tensor:
        """All steps of all samples as one batch of pictures."""
        return each_step(super().forward, pictures)


class AvgPool2d(nn.AvgPool2d):
    """The same pooling in every step; ``divisor_override`` 1 makes averages sums, exactly."""

    def forward(self, pictures: Tensor) -> Tensor:
        """All steps of all samples as one batch of pictures."""
        return each_step(super().forward, pictures)
