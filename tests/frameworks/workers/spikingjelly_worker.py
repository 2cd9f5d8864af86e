"""SpikingJelly: modules that keep their state, one call a step."""

from __future__ import annotations

from typing import Any

import torch
from protocol import Framework, Net, in_double, linear, recorded, serve
from spikingjelly.activation_based import layer, neuron
from spikingjelly.activation_based.nir_exchange.from_nir import import_from_nir
from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir
from torch import Tensor, nn


def made(asked: dict[str, Any]) -> nn.Module:
    cell = getattr(neuron, asked["class"])(**asked["arguments"])
    if "recurrent" not in asked:
        return cell
    size = len(asked["recurrent"])
    looped = layer.LinearRecurrentContainer(cell, size, size, bias=False)
    both = torch.cat([torch.eye(size), torch.from_numpy(asked["recurrent"]).float()], dim=1)
    assert looped.rc.weight.shape == both.shape
    looped.rc = linear(both.numpy())
    return looped


def run(module: nn.Module, net: Net) -> list[Tensor]:
    module = in_double(module)
    seen = recorded(module, (neuron.BaseNode,))
    for now in net.events.unbind(dim=1):
        module(now)
    return [torch.stack(outputs, dim=1) for outputs in seen]


def export(module: nn.Module, net: Net) -> Any:
    return export_to_nir(module, net.sample, **net.options)


def load(graph: Any, net: Net) -> nn.Module:
    return in_double(import_from_nir(graph, dtype=torch.float64, **net.options))


def run_loaded(module: nn.Module, net: Net) -> Tensor:
    outputs, state = [], None
    with torch.no_grad():
        for now in net.events.unbind(dim=1):
            now, state = module(now, state)
            outputs.append(now)
    return torch.stack(outputs, dim=1)


if __name__ == "__main__":
    serve(Framework("spikingjelly", made, run, export, load, run_loaded))
