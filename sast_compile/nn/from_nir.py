"""The topology of a NIR graph as a torch module, for graphs that come without one."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from sast_compile.errors import Unsupported
from sast_compile.nn.conv import Conv2d


class GraphModule(nn.Module):
    """The nodes of a NIR graph in topological order: events (batch, T, *shape) to its output.

    Its neurons are placeholders that pass currents on: the torch integer model puts the chip's in
    their place. ``paths`` maps NIR names to the names of the submodules (torch forbids dots there).
    """

    def __init__(self, graph: nir.NIRGraph) -> None:
        super().__init__()
        self.sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for source, target in graph.edges:
            self.sources[target].append(source)
        self.order = list(TopologicalSorter(self.sources).static_order())
        self.kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
        self.paths = {name: f"node{i}" for i, name in enumerate(self.order)}
        for name, path in self.paths.items():
            self.add_module(path, _module(name, graph.nodes[name]))

    def forward(self, events: Tensor) -> Tensor:
        """The value of the last Output node; edges that meet add up."""
        values: dict[str, Tensor] = {}
        for name in self.order:
            sources = [values[s] for s in self.sources[name]]
            x = torch.stack(sources).sum(dim=0) if sources else events
            values[name] = self.get_submodule(self.paths[name])(x)
        outputs = [name for name in self.order if self.kinds[name] == "Output"]
        return values[outputs[-1]]


def _module(name: str, node: nir.NIRNode) -> nn.Module:
    match type(node).__name__:
        case "Input" | "Output" | "IF" | "LIF":
            return nn.Identity()
        case "Flatten":
            return nn.Flatten(start_dim=2)
        case "Linear" | "Affine":
            outputs, inputs = node.weight.shape
            return nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)
        case "Conv2d":
            outputs, per_group, *kernel = node.weight.shape
            return Conv2d(
                per_group * int(node.groups),
                outputs,
                tuple(kernel),
                stride=_numbers(node.stride),
                padding=_padding(node.padding),
                dilation=_numbers(node.dilation),
                groups=int(node.groups),
                bias=False,
                dtype=torch.float64,
            )
        case kind:
            raise Unsupported(f"NIR node {kind} has no torch module yet", where=name)


def _numbers(given: Any) -> tuple[int, int]:
    rows, columns = np.broadcast_to(np.asarray(given), (2,)).tolist()
    return int(rows), int(columns)


def _padding(given: Any) -> str | tuple[int, int]:
    if isinstance(given, bytes):
        return given.decode()
    return given if isinstance(given, str) else _numbers(given)
