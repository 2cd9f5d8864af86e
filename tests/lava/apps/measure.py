"""What the apps share: columns for a source, samples from a sink, counts for the test."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.run_configs import Loihi2SimCfg

FIXED = Loihi2SimCfg(select_tag="fixed_pt")


def columns(events: Any, silent: int = 0) -> Any:
    """Events (samples, steps, *shape) as (*shape, steps), behind ``silent`` columns of zeros."""
    flat = np.moveaxis(events.reshape(-1, *events.shape[2:]), 0, -1)
    return np.concatenate([np.zeros((*flat.shape[:-1], silent), flat.dtype), flat], axis=-1)


def aligned(kept: Any, first_step: int, like: Any) -> Any:
    """What a sink kept, (*shape, steps), from ``first_step`` on, in the shape of ``like``."""
    rows = np.moveaxis(kept, -1, 0)[first_step - 1 :]
    samples, steps = like.shape[:2]
    return rows[: samples * steps].reshape(like.shape)


def count(found: Any, wanted: Any) -> dict[str, int]:
    """How many values were compared, how many differ, and how many are not 0."""
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    differing = int((found != wanted).sum())
    return {"values": found.size, "differing": differing, "active": int((wanted != 0).sum())}
