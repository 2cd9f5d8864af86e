"""What happens to a batch of events before the network sees it: moved a little, some lost."""

from __future__ import annotations

import torch
from torch import Tensor

from sast_compile.training.recipe import Augment


def augmented(events: Tensor, augment: Augment, draws: torch.Generator) -> Tensor:
    """Events uint8 (batch, T, P, Y, X), each sample moved and thinned by draws of its own.

    A sample moves by -shift..shift rows and columns, dark pixels coming in; each event is dropped
    with chance ``drop``. All draws are made on the CPU, so every device sees the same events.
    """
    if augment.shift:
        events = _moved(events, augment.shift, draws)
    if augment.drop:
        kept = torch.rand(events.shape, generator=draws) >= augment.drop
        events = events * kept.to(events.device)
    return events


def _moved(events: Tensor, most: int, draws: torch.Generator) -> Tensor:
    offsets = torch.randint(-most, most + 1, (len(events), 2), generator=draws).tolist()
    moved = torch.zeros_like(events)
    rows, columns = events.shape[-2:]
    for sample, (down, right) in enumerate(offsets):
        moved[sample, ..., _to(down, rows), _to(right, columns)] = events[
            sample, ..., _to(-down, rows), _to(-right, columns)
        ]
    return moved


def _to(offset: int, size: int) -> slice:
    """Where what moves by ``offset`` arrives; with the sign turned, where it comes from."""
    return slice(max(offset, 0), size + min(offset, 0))
