"""The loop: the same seed gives the same weights, and the hard validation accuracy chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is torch's: the torch extra")

import torch

from sast_compile.data import Split
from sast_compile.nn import build, hard
from sast_compile.training.loop import Fitted, accuracy, decisions, fit
from sast_compile.training.recipe import Recipe

NEURON = {"kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "zero"}
NEURON |= {"reset_when": "before_decay"}
LAYERS: list[dict[str, Any]] = [
    {"name": "fc", "kind": "linear", "in_features": 6, "out_features": 3},
    {"name": "lif", **NEURON},
]
RECIPE = Recipe(dataset="digits", seed=5, epochs=8, batch=16, learning_rate=0.05, rho=0.05)


def toy(seed: int) -> Split:
    """Three classes: class k has its events at inputs 2k and 2k + 1, and some noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=64)
    wanted = np.arange(6)[None, None] // 2 == labels[:, None, None]
    events = random.random((64, 6, 6)) < np.where(wanted, 0.7, 0.1)
    return Split(events.astype(np.uint8), labels)


def fitted(recipe: Recipe = RECIPE) -> Fitted:
    return fit(LAYERS, recipe, toy(0), toy(1))


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    first, again = fitted(), fitted()
    assert torch.equal(first.network.fc.weight, again.network.fc.weight)
    assert first.history == again.history
    other = fitted(Recipe(dataset="", seed=6, epochs=8, batch=16, learning_rate=0.05, rho=0.05))
    assert not torch.equal(first.network.fc.weight, other.network.fc.weight)


def test_the_weights_are_those_of_the_last_of_the_best_epochs() -> None:
    seen = []
    result = fit(LAYERS, RECIPE, toy(0), toy(1), seen.append)
    assert tuple(seen) == result.history
    assert [epoch.number for epoch in seen] == list(range(1, 9))
    top = max(epoch.hard for epoch in seen)
    assert result.best == [epoch for epoch in seen if epoch.hard == top][-1]
    assert accuracy(hard(result.network).double(), toy(1)) == top
    assert accuracy(result.network, toy(1)) == result.best.surrogate
    assert top > 0.8  # chance is a third
    assert seen[-1].loss < seen[0].loss


def test_equal_counts_are_decided_for_the_lowest_index() -> None:
    net = hard(build([{"name": "lif", **NEURON}], (4,)))
    events = np.zeros((2, 3, 4), dtype=np.uint8)
    events[1, :, 2:] = 1
    assert decisions(net, events).tolist() == [0, 2]
