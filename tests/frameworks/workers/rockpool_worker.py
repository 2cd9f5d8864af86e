"""Rockpool's torch modules: all steps in one call, (batch, steps, neurons)."""

from __future__ import annotations

from typing import Any

import torch
from protocol import Framework, Net, in_double, serve
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import torch as modules
from rockpool.nn.modules.torch.nir import from_nir, to_nir
from torch import Tensor, nn

NEURONS = (modules.LIFTorch, modules.LIFNeuronTorch)


def neuron(asked: dict[str, Any]) -> nn.Module:
    given = {k: torch.tensor(v) if isinstance(v, float) and k != "dt" else v
             for k, v in asked["arguments"].items()}  # fmt: skip
    if "max_spikes_per_dt" in given:
        given["max_spikes_per_dt"] = torch.tensor(given["max_spikes_per_dt"])
    if "recurrent" in asked:
        given |= {"has_rec": True, "w_rec": torch.from_numpy(asked["recurrent"].T).float()}
    size = int(asked["shape"][0])
    shape: Any = (size,) if asked["class"] == "LIFNeuronTorch" else (size, size)
    return getattr(modules, asked["class"])(shape, **given)


def own_layer(asked: dict[str, Any]) -> nn.Module | None:
    if asked["kind"] != "linear":
        return None
    weight, bias = asked["weight"], asked.get("bias")
    given = {} if bias is None else {"bias": torch.from_numpy(bias).float()}
    return modules.LinearTorch(
        weight.shape[::-1],
        weight=torch.from_numpy(weight.T.copy()).float(),
        has_bias=bias is not None,
        **given,
    )


def run(module: nn.Module, net: Net) -> list[Tensor]:
    """A recurrent one makes float32 spikes that its float64 matrix would not take."""
    x, seen = net.events.float(), []
    if not any(hasattr(each, "w_rec") for each in module):
        module, x = in_double(module), net.events
    for each in module:
        x = each(x)
        x = x[0] if isinstance(x, tuple) else x
        if isinstance(each, NEURONS):
            seen.append(x)
    return seen


def export(module: nn.Module, net: Net) -> Any:
    return to_nir(Sequential(*module))


def load(graph: Any, net: Net) -> nn.Module:
    return in_double(from_nir(graph))


def run_loaded(module: nn.Module, net: Net) -> Tensor:
    with torch.no_grad():
        given: Any = module(net.events)
    return given[0] if isinstance(given, tuple) else given


if __name__ == "__main__":
    serve(Framework("rockpool", neuron, run, export, load, run_loaded, own_layer))
