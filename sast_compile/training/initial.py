"""Fresh weights scaled until every layer fires: a deep spiking net that is silent learns nothing.

Layer by layer, in the idea of LSUV (Mishkin and Matas 2016, arXiv 1511.06422) with the firing rate
in place of the variance: weights are multiplied by the factor, found by bisection, at which the
hard neurons behind them fire at the wanted rate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sast_compile.nn.layers import recurrent_name
from sast_compile.nn.modes import hard
from sast_compile.nn.network import Network

HALVINGS, WIDEST = 20, 256.0


@torch.no_grad()
def scale_to_rate(network: Network, events: Tensor, rate: float) -> None:
    """Every spiking layer of ``network`` fires at about ``rate`` spikes per step on ``events``."""
    weight: Tensor | None = None
    for name, layer in network.named_children():
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and not name.endswith(recurrent_name("")):
            weight = layer.weight
        elif name in network.neurons() and weight is not None:
            _scale(network, weight, name, events, rate)
            weight = None


def _scale(network: Network, weight: Tensor, name: str, events: Tensor, rate: float) -> None:
    fresh, low, high = weight.clone(), 1 / WIDEST, WIDEST
    for _ in range(HALVINGS):
        factor = (low * high) ** 0.5
        weight.copy_(fresh * factor)
        fired = float(hard(network).states(events)[name].spikes.mean())
        low, high = (low, factor) if fired > rate else (factor, high)
