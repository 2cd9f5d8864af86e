"""sinabs: layers that take all steps of a sample at once, squeezed into the batch."""

from __future__ import annotations

from typing import Any

import sinabs.layers as layers
import torch
from protocol import Framework, Net, in_double, recorded, serve
from sinabs import activation
from sinabs.nir import from_nir, to_nir
from torch import Tensor, nn

NEURONS = (layers.IAF, layers.LIF)  # the squeezed and recurrent ones are theirs


def neuron(asked: dict[str, Any]) -> nn.Module:
    given = dict(asked["arguments"])
    if "spike_fn" in given:
        name, *limit = given["spike_fn"].split()
        given["spike_fn"] = getattr(activation, name)
        given["spike_fn"] = given["spike_fn"](int(*limit)) if limit else given["spike_fn"]
    if "reset_fn" in given:
        given["reset_fn"] = getattr(activation, given["reset_fn"])()
    if not asked.get("scalar"):  # a number for each neuron, for nir writes no single ones
        given |= {key: torch.full(tuple(asked["shape"]), float(given.get(key, 1.0)))
                  for key in ("tau_mem", "tau_syn", "spike_threshold")
                  if key in given or key == "spike_threshold"}  # fmt: skip
    if "recurrent" in asked:
        given["rec_connect"] = nn.Linear(*asked["recurrent"].shape, bias=False)
        given["rec_connect"].weight.data = torch.from_numpy(asked["recurrent"]).float()
        return getattr(layers, asked["class"])(**given)
    return getattr(layers, asked["class"])(batch_size=asked["samples"], **given)


def own_layer(asked: dict[str, Any]) -> nn.Module | None:
    return layers.SumPool2d(asked["size"]) if asked["kind"] == "sum_pool" else None


def run(module: nn.Module, net: Net) -> list[Tensor]:
    module = in_double(module)
    seen = recorded(module, NEURONS)
    samples, steps = net.events.shape[:2]
    if any(isinstance(each, layers.LIFRecurrent) for each in module):
        module(net.events)
        return [outputs[0] for outputs in seen]
    module(net.events.flatten(0, 1))
    return [outputs[0].unflatten(0, (samples, steps)) for outputs in seen]


def export(module: nn.Module, net: Net) -> Any:
    if any(isinstance(each, layers.LIFRecurrent) for each in module):
        return to_nir(module, net.events.float())
    return to_nir(module, net.events.flatten(0, 1).float())


def load(graph: Any, net: Net) -> nn.Module:
    return in_double(from_nir(graph, batch_size=len(net.events)))


def run_loaded(module: nn.Module, net: Net) -> Tensor:
    with torch.no_grad():
        given: Any = module(net.events.flatten(0, 1))
    given = given[0] if isinstance(given, tuple) else given
    return given.unflatten(0, net.events.shape[:2])


if __name__ == "__main__":
    serve(Framework("sinabs", neuron, run, export, load, run_loaded, own_layer))
