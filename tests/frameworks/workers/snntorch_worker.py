"""snnTorch: modules that keep their state (init_hidden), one call a step."""

from __future__ import annotations

from typing import Any

import snntorch as snn
import torch
from protocol import Framework, Net, by_sample, in_double, recorded, serve
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir
from torch import Tensor, nn

NEURONS = (snn.Leaky, snn.Synaptic, snn.RLeaky, snn.RSynaptic)


def neuron(asked: dict[str, Any]) -> nn.Module:
    """With a number for each neuron, for nir infers no types of single ones."""
    given = dict(asked["arguments"])
    shape = () if asked.get("scalar") else tuple(asked["shape"])
    given.setdefault("threshold", 1.0)
    given |= {k: torch.full(shape, given[k]) for k in ("alpha", "beta", "threshold") if k in given}
    if "recurrent" in asked:
        given["linear_features"] = len(asked["recurrent"])
    if "one_to_one" in asked:
        given |= {"all_to_all": False, "V": torch.from_numpy(asked["one_to_one"]).float()}
    made = getattr(snn, asked["class"])(init_hidden=True, **given)
    if "recurrent" in asked:
        made.recurrent.weight.data = torch.from_numpy(asked["recurrent"]).float()
        made.recurrent.bias.data.zero_()
    return made


def run(module: nn.Module, net: Net) -> list[Tensor]:
    module = in_double(module)
    seen = recorded(module, NEURONS)
    for now in net.events.unbind(dim=1):
        module(now)
    return [torch.stack(outputs, dim=1) for outputs in seen]


def export(module: nn.Module, net: Net) -> Any:
    return export_to_nir(module, net.sample, ignore_dims=[0])


def load(graph: Any, net: Net) -> nn.Module:
    return in_double(import_from_nir(graph))


if __name__ == "__main__":
    serve(Framework("snntorch", neuron, run, export, load, by_sample))
