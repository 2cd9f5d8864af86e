"""A first honest SAST loop: train smooth, choose by hard.

The network runs smooth (surrogate forward, exact gradient); the loss is cross-entropy on the
summed ``sigma`` of the output layer; Adam inside SAM, learning rate by cosine to zero. After every
epoch the *hard* network, which is the one that will be compiled, is measured on the validation
split, and the weights of its best epoch are kept. The test split is not an argument.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR

from sast_compile.data import Split
from sast_compile.nn.modes import hard
from sast_compile.nn.network import Network, build
from sast_compile.training.recipe import Recipe
from sast_compile.training.sam import SAM


class Epoch(NamedTuple):
    """One epoch: number from 1, mean training loss, validation accuracies in [0, 1]."""

    number: int
    loss: float
    surrogate: float
    hard: float


class Fitted(NamedTuple):
    """The network of the best epoch, in smooth mode, and what every epoch measured."""

    network: Network
    best: Epoch
    history: tuple[Epoch, ...]


def fit(
    description: list[dict[str, Any]],
    recipe: Recipe,
    train: Split,
    validation: Split,
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """The network trained by ``recipe``; the same arguments give the same weights on one CPU.

    Of equally good epochs the last is kept: the cosine has come further down.
    """
    torch.manual_seed(recipe.seed)
    network = build(description, train.events.shape[2:])
    adam = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    optimizer = SAM(adam, recipe.rho)
    schedule = CosineAnnealingLR(optimizer, recipe.epochs)
    shuffle = torch.Generator().manual_seed(recipe.seed)
    best, history, weights = None, [], network.state_dict()
    for number in range(1, recipe.epochs + 1):
        losses = [
            _step(network, optimizer, *batch) for batch in _batches(train, recipe.batch, shuffle)
        ]
        schedule.step()
        level0, level1 = accuracy(network, validation), accuracy(hard(network).double(), validation)
        epoch = Epoch(number, float(np.mean(losses)), level0, level1)
        history.append(epoch)
        progress(epoch)
        if best is None or epoch.hard >= best.hard:
            best, weights = epoch, copy.deepcopy(network.state_dict())
    assert best is not None  # a recipe has at least one epoch
    network.load_state_dict(weights)
    return Fitted(network, best, tuple(history))


def accuracy(network: Network, split: Split) -> float:
    """The share of ``split`` that ``network``, smooth or hard as it is, decides rightly."""
    return float(np.mean(decisions(network, split.events) == split.labels))


@torch.no_grad()
def decisions(network: Network, events: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The class (n,) with the largest spike count; the lowest index of equal ones."""
    parts = torch.split(torch.tensor(events), 512)
    counts = torch.cat([network(part).sum(dim=1) for part in parts])
    # numpy takes the first maximum; torch promises nothing
    chosen: npt.NDArray[np.int64] = counts.numpy().argmax(axis=1)
    return chosen


def _step(network: Network, optimizer: SAM, events: Tensor, labels: Tensor) -> float:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(network(events).sum(dim=1), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return float(optimizer.step(closure).detach())


def _batches(split: Split, size: int, shuffle: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    events, labels = torch.tensor(split.events), torch.tensor(split.labels)
    for chosen in torch.split(torch.randperm(len(labels), generator=shuffle), size):
        yield events[chosen], labels[chosen]
