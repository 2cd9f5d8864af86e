"""Norse: cells that take and give a state; the parameters are tensors beside the module's own."""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import torch
from norse.torch.functional import reset as resets
from norse.torch.utils.export_nir import to_nir
from norse.torch.utils.import_nir import from_nir
from protocol import Framework, Net, by_sample, in_double, recorded, serve
from torch import Tensor, nn

PARAMETERS = {
    "IAFCell": norse.IAFParameters,
    "LIFBoxCell": norse.LIFBoxParameters,
    "LIFCell": norse.LIFParameters,
    "LIFRecurrentCell": norse.LIFParameters,
}
CELLS = tuple(getattr(norse, name) for name in PARAMETERS)


def neuron(asked: dict[str, Any]) -> nn.Module:
    given = dict(asked["arguments"])
    dt = given.pop("dt", 1e-3)
    values: dict[str, Any] = {
        key: getattr(resets, value) if key == "reset_method" else torch.tensor(value)
        for key, value in given.items()
    }
    p = PARAMETERS[asked["class"]](**values)
    if "recurrent" not in asked:
        made = getattr(norse, asked["class"])(p, dt=dt)
        made.shape = None if asked.get("scalar") else tuple(asked["shape"])
        return made
    size = len(asked["recurrent"])
    made = getattr(norse, asked["class"])(size, size, p=p, autapses=True, dt=dt)
    made.input_weights.data = torch.eye(size)
    made.recurrent_weights.data = torch.from_numpy(asked["recurrent"]).float()
    return made


def spread(cell: nn.Module) -> None:
    """A number for each neuron: nir writes no single ones, and a LIFCell starts from no others."""
    if getattr(cell, "shape", None) is not None:
        p: Any = cell.p
        cell.p = type(p)(*(torch.full(cell.shape, float(v)) if isinstance(v, Tensor) else v
                           for v in p))  # fmt: skip


def run(module: nn.Module, net: Net) -> list[Tensor]:
    module = in_double(norse.SequentialState(*module))
    for cell in module.modules():
        if isinstance(cell, CELLS):
            cell.p = type(cell.p)(*(v.double() if isinstance(v, Tensor) else v for v in cell.p))
    seen, state = recorded(module, CELLS), None
    for now in net.events.unbind(dim=1):
        _, state = module(now, state)
    return [torch.stack(outputs, dim=1) for outputs in seen]


def export(module: nn.Module, net: Net) -> Any:
    """Of a sample without a batch, which an Input's shape would hold; a Flatten needs one."""
    batched = any(isinstance(each, nn.Flatten) for each in module)
    for cell in module.modules():
        spread(cell)
    sample = net.sample[:1] if batched else net.sample[0]
    return to_nir(norse.SequentialState(*module), sample, **net.options)


def load(graph: Any, net: Net) -> nn.Module:
    return in_double(from_nir(graph, **net.options))


if __name__ == "__main__":
    serve(Framework("norse", neuron, run, export, load, by_sample))
