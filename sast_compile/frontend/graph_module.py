"""A NIR graph as a torch module, wired as the graph itself says, for graphs that come without one.

Whatever a population or input sends goes through the linear nodes behind it and arrives, some steps
later, at the populations that they lead to. Every arrival is entered for its step; a population
sums what is entered. So one rule serves chains, delays and loops alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple, TypeAlias

import nir
import torch
from torch import Tensor, nn

from sast_compile.contract import Contract
from sast_compile.errors import Unsupported
from sast_compile.frontend.loops import Link, feedback, order
from sast_compile.frontend.nir_graph import FlatGraph, flattened, holder
from sast_compile.frontend.nir_kinds import LINEAR, WEIGHTED
from sast_compile.ir.ops import Neuron, Projection
from sast_compile.ir.program import Program
from sast_compile.nn.from_nir import Delay, Population, Scale, layer_of


class Route(NamedTuple):
    """How something was sent: ``lag`` steps late; ``bare``: no weight has been passed."""

    lag: int
    bare: bool


Sent: TypeAlias = dict[Route, Tensor]  # (batch, steps, *shape) by route


class GraphModule(nn.Module):
    """The nodes of ``graph``: events (batch, T, *shape) to the value of each Output, by name.

    The wiring alone: its neurons are placeholders (`Population`), and what a compiled program holds
    in weights is 1 here, also scales and the divisors of averages. Biases are the populations'.
    ``paths`` maps NIR names to the names of the submodules (torch forbids dots there); ``bare``
    maps (source, target) to the factor of what the one sends the other without a weight.
    """

    def __init__(self, graph: nir.NIRGraph, contract: Contract) -> None:
        super().__init__()
        self.back = contract.feedback_steps
        flat = flattened(graph)
        self.sources, self.populations = flat.sources, flat.populations
        self.outputs = {name: _read_by(flat, name) for name in flat.of_kind("Output")}
        self.weighted = flat.of_kind(*WEIGHTED)
        self.linear = _in_order(flat)
        self.products = list(_products(flat))
        self.paths = {name: f"node{i}" for i, name in enumerate((*self.linear, *self.populations))}
        self.bare: dict[tuple[str, str], str] = {}
        for name in self.linear:
            node = flat.nodes[name]
            self.add_module(
                self.paths[name],
                nn.Identity() if node is None else layer_of(name, node, contract.dt),
            )
        for name in self.populations:
            self.add_module(self.paths[name], Population())
        self.shapes = {
            name: tuple(int(n) for n in flat.nodes[name].input_type["input"])
            for name in flat.of_kind("Input")
        }
        self.inputs = tuple(self.shapes)
        self._wire()

    def forward(self, events: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What each Output reads; one tensor of events goes to every Input."""
        given = events if isinstance(events, Mapping) else dict.fromkeys(self.inputs, events)
        samples, steps = next(iter(given.values())).shape[:2]
        entered = {
            name: torch.zeros(samples, steps, *self.shapes[name], dtype=torch.float64)
            for name in self.order
        }
        sent: dict[str, list[Tensor]] = {name: [] for name in self.order}
        states: dict[str, Any] = {}
        width = steps if self.at_once else 1
        for time in range(0, steps, width):
            for name in (*self.inputs, *self.order):
                x = (given[name] if name in given else entered[name])[:, time : time + width]
                if name in sent:
                    x = self._fired(name, x, states)
                    sent[name].append(x)
                for target, lag, current in self._reached(name, x):
                    late = time + (self.back if Link(name, target, lag) in self.late else lag)
                    if late < steps:
                        entered[target][:, late : late + width] += current[:, : steps - late]
        return {name: torch.cat(sent[read], dim=1) for name, read in self.outputs.items()}

    def holders(self, program: Program) -> dict[str, str]:
        """The submodule of each population and projection of ``program``, by its name.

        Unsupported where a weight of the program is a product, which no single layer holds.
        """
        for first, second in self.products:
            raise Unsupported(
                f"feeds {second} without a neuron between: the program's weight is the product of "
                "the two, which no torch layer holds",
                where=first,
                hint="multiply them into one layer, or put a neuron between them",
            )
        found: dict[str, str] = {}
        for node in program.nodes:
            if isinstance(node.op, Projection):
                layer = holder(node.name, self.weighted)
                ends = program.sent_by(node.name), program.population_behind(node.name)
                found[node.name] = self.paths[layer] if layer else self.bare.get(ends, node.name)
            elif isinstance(node.op, Neuron) and node.name in self.paths:
                found[node.name] = self.paths[node.name]
        return found

    def _layer(self, name: str) -> nn.Module:
        return self.get_submodule(self.paths[name])

    def _wire(self) -> None:
        """Finds what reaches what, and when, by sending ones through weights that are 1."""
        links: dict[Link, None] = {}
        front = list(self.inputs)
        while front:
            source = front.pop()
            for target, lag, current in self._reached(source, _ones(self.shapes[source])):
                if target not in self.shapes:
                    self.shapes[target] = tuple(current.shape[2:])
                    front.append(target)
                if current.any():
                    links[Link(source, target, lag)] = None
        self.late = feedback(self.populations, self.inputs, list(links))
        try:
            self.order = order(self.populations, [link._replace(delay=0) for link in links])
            self.at_once = True  # without loops, all steps of a population in a row
        except CycleError:
            self.order = order(self.populations, [link for link in links if link not in self.late])
            self.at_once = False

    def _fired(self, name: str, currents: Tensor, states: dict[str, Any]) -> Tensor:
        """What the population sends in the steps of ``currents``."""
        population: Any = self._layer(name)
        if name not in states:
            states[name] = population.start(currents[:, 0])
        sent = []
        for current in currents.unbind(dim=1):
            spikes, states[name] = population.step(current, states[name])
            sent.append(spikes)
        return torch.stack(sent, dim=1)

    def _reached(self, source: str, x: Tensor) -> Iterator[tuple[str, int, Tensor]]:
        """Every population that ``x`` of ``source`` reaches, how many steps later, as what."""
        values: dict[str, Sent] = {source: {Route(0, bare=True): x}}
        for name in self.linear:
            heard = self._heard(name, values)
            if heard:
                values[name] = self._passed(name, heard)
        for target in self.populations:
            for route, current in self._heard(target, values).items():
                if route.bare:
                    yield target, route.lag, self._factor(source, target)(current)
                else:
                    yield target, route.lag, current

    def _factor(self, source: str, target: str) -> nn.Module:
        if (source, target) not in self.bare:
            self.bare[source, target] = f"bare{len(self.bare)}"
            self.add_module(self.bare[source, target], Scale())
        return self.get_submodule(self.bare[source, target])

    def _heard(self, name: str, values: Mapping[str, Sent]) -> Sent:
        return _summed(
            (route, x)
            for source in self.sources[name]
            for route, x in values.get(source, {}).items()
        )

    def _passed(self, name: str, heard: Sent) -> Sent:
        layer = self._layer(name)
        if isinstance(layer, Delay):
            return _summed(
                (Route(route.lag + delay, route.bare), part)
                for route, x in heard.items()
                for delay, part in layer.split(x)
            )
        weighs = name in self.weighted
        return _summed(
            (Route(route.lag, route.bare and not weighs), layer(x)) for route, x in heard.items()
        )


def _summed(pairs: Iterator[tuple[Route, Tensor]]) -> Sent:
    total: Sent = {}
    for route, x in pairs:
        total[route] = total[route] + x if route in total else x
    return total


def _ones(shape: tuple[int, ...]) -> Tensor:
    return torch.ones(1, 1, *shape, dtype=torch.float64)


def _read_by(flat: FlatGraph, output: str) -> str:
    (source,) = flat.sources[output]
    return source if flat.kind(source) != "passes" else _read_by(flat, source)


def _in_order(flat: FlatGraph) -> list[str]:
    """The linear nodes, each behind those that it hears."""
    linear = flat.of_kind(*LINEAR, "passes")
    heard = {name: [s for s in flat.sources[name] if s in linear] for name in linear}
    return list(TopologicalSorter(heard).static_order())


def _products(flat: FlatGraph) -> Iterator[tuple[str, str]]:
    """Every weight, and a weight or pool that it feeds without a population between."""
    behind: dict[str, str] = {}  # linear nodes, by name: a weight that feeds them
    for name in _in_order(flat):
        kind = flat.kind(name)
        first = next((behind[s] for s in flat.sources[name] if s in behind), None)
        if first is not None and kind in (*WEIGHTED, "SumPool2d", "AvgPool2d"):
            yield first, name
        if first is not None or kind in WEIGHTED:
            behind[name] = name if kind in WEIGHTED else first or name
