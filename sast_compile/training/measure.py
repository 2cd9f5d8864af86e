"""What a network decides on a split, and how often its neurons fire."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sast_compile.data import Split
from sast_compile.nn.network import Network

CHUNK = 256  # samples at a time


class Measured(NamedTuple):
    """``accuracy`` in [0, 1], and the mean spikes per neuron and step of each spiking layer."""

    accuracy: float
    rates: dict[str, float]


@torch.no_grad()
def measure(network: Network, split: Split) -> Measured:
    """``network``, in whatever mode it is, on ``split``."""
    device = _device(network)
    right, total = 0, dict.fromkeys(network.neurons(), 0.0)
    for events, labels in _chunks(split):
        output, states = network.trace(torch.from_numpy(events).to(device))
        right += int((_decided(output) == labels).sum())
        for name, layer in states.items():
            total[name] += float(layer.spikes.double().mean()) * len(labels)
    n = len(split.labels)
    return Measured(right / n, {name: rate / n for name, rate in total.items()})


def accuracy(network: Network, split: Split) -> float:
    """The share of ``split`` that ``network``, smooth or hard as it is, decides rightly."""
    return float(np.mean(decisions(network, split.events) == split.labels))


@torch.no_grad()
def decisions(network: Network, events: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The class (n,) with the largest sum over time; the lowest index of equal ones."""
    device = _device(network)
    parts = torch.split(torch.from_numpy(events), CHUNK)
    return np.concatenate([_decided(network(part.to(device))) for part in parts])


def _device(network: Network) -> torch.device:
    return next((weight.device for weight in network.parameters()), torch.device("cpu"))


def _decided(output: torch.Tensor) -> npt.NDArray[np.int64]:
    # numpy takes the first maximum; torch promises nothing
    chosen: npt.NDArray[np.int64] = output.sum(dim=1).cpu().numpy().argmax(axis=1)
    return chosen


def _chunks(split: Split) -> list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    starts = range(0, len(split.labels), CHUNK)
    return [(split.events[i : i + CHUNK], split.labels[i : i + CHUNK]) for i in starts]
