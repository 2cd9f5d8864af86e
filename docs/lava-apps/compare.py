"""What the examples share: columns for a source, samples from a sink, and the comparison."""

from __future__ import annotations

from typing import Any

import numpy as np


def columns(events: Any) -> Any:
    """Events (samples, steps, *shape) as a RingBuffer takes them: (*shape, samples * steps)."""
    return np.moveaxis(events.reshape(-1, *events.shape[2:]), 0, -1)


def samples(columns: Any, first_step: int, steps: int) -> Any:
    """What a sink kept, (*shape, steps), as (samples, ``steps``, *shape).

    Column 0 of the first sample arrived in step ``first_step``; Lava counts from 1.
    """
    rows = np.moveaxis(columns, -1, 0)[first_step - 1 :]
    whole = len(rows) // steps * steps
    return rows[:whole].reshape(-1, steps, *rows.shape[1:]).astype(np.int64)


def compare(name: str, found: Any, wanted: Any, whose: str = "the reference interpreter's") -> bool:
    """Prints how many values differ from ``whose``; True if none does and some are spikes.

    Equal silence shows nothing, so it does not count.
    """
    if found.shape != wanted.shape:
        print(f"{name}: shape {found.shape}, {whose} is {wanted.shape}")
        return False
    differing, spikes = int((found != wanted).sum()), int(wanted.sum())
    print(f"{name}: {differing} of {found.size} values differ from {whose} ({spikes} spikes)")
    return differing == 0 and spikes > 0
