"""A linear layer that works event by event: one row of weights for each event, no product with 0.

Events of a sensor are rare (5 % of N-MNIST's bins), and a dense product multiplies the other 95 %
all the same. Forward adds the weight columns of the inputs that fired; the gradient of the weight
adds, for every input, the output gradients of the steps in which it fired. Both are sums of rows,
which `embedding_bag` makes. The sums run in another order than a matrix product's: equal to float
rounding, not bit for bit, and the same from run to run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, linear

# Share of events from which on the dense product is taken. benchmarks/event_linear.py prints where
# the two are equally fast: 0.2 for 2312 to 200, 0.1 for 200 to 128. One number serves both, and
# is nearer to the small layer's: its digits have 8 %, N-MNIST in the large one 5 %.
DENSEST = 0.12


def event_linear(events: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``events @ weight.T + bias``: events uint8 or bool (..., n) and weight (m, n) to (..., m).

    Falls back to the dense product off the CPU, for events that are many, and for counts over 1.
    """
    rows = events.reshape(-1, events.shape[-1])
    if not _pays(rows):
        return linear(events.to(weight.dtype), weight, bias)
    summed: Tensor = _EventLinear.apply(rows, weight)  # type: ignore[no-untyped-call]
    out = summed.view(*events.shape[:-1], -1)
    return out if bias is None else out + bias


def is_events(x: Tensor) -> bool:
    """Whether ``x`` holds events rather than numbers."""
    return x.dtype in (torch.uint8, torch.bool)


def _pays(rows: Tensor) -> bool:
    if rows.device.type != "cpu" or not rows.numel():
        return False
    return int(torch.count_nonzero(rows)) < DENSEST * rows.numel() and int(rows.max()) <= 1


class _EventLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return _sums(rows, weight.t().contiguous())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (rows,) = ctx.saved_tensors
        return None, _sums(rows.t().contiguous(), gradients[0].contiguous()).t()


def _sums(chosen: Tensor, table: Tensor) -> Tensor:
    """Row i: the sum of the rows of ``table`` (n, m) that row i of ``chosen`` (k, n) marks."""
    which = chosen.nonzero()
    starts = torch.zeros(len(chosen), dtype=torch.int64)
    counts = torch.bincount(which[:, 0], minlength=len(chosen))
    torch.cumsum(counts[:-1], 0, out=starts[1:])
    summed: Tensor = embedding_bag(which[:, 1].contiguous(), table, starts, mode="sum")
    return summed
