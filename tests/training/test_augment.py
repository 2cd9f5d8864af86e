"""Augmented events: moved as said, dropped as often as said, never made up."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training is torch's: the torch extra")

import torch

from sast_compile.training.augment import augmented
from sast_compile.training.recipe import Augment


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_pixel_moves_with_its_sample_and_may_leave() -> None:
    events = torch.zeros(400, 3, 2, 7, 7, dtype=torch.uint8)
    events[:, :, 1, 3, 6] = 1
    moved = augmented(events, Augment(shift=2), draws())
    assert moved.dtype == torch.uint8
    seen = {tuple(where) for where in moved[:, 0, 1].nonzero()[:, 1:].tolist()}
    assert seen == {(row, column) for row in (1, 2, 3, 4, 5) for column in (4, 5, 6)}
    gone = 1 - float(moved.sum() / events.sum())
    assert 0.3 < gone < 0.5  # two of five columns
    assert torch.equal(moved[:, 0], moved[:, 2])
    assert not moved[:, :, 0].any()


def test_events_are_dropped_at_the_rate_and_none_is_made() -> None:
    other = torch.Generator().manual_seed(1)
    events = (torch.rand(50, 4, 2, 10, 10, generator=other) < 0.3).to(torch.uint8)
    thinned = augmented(events, Augment(drop=0.25), draws())
    assert not (thinned > events).any()
    assert float(thinned.sum() / events.sum()) == pytest.approx(0.75, abs=0.02)
    assert torch.equal(augmented(events, Augment(), draws()), events)
