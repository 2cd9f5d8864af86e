"""One batch of samples through a program, stage by stage, on a device."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from sast_compile.backends.torch_program.equations import Numbers
from sast_compile.backends.torch_program.exact import exact_kinds
from sast_compile.backends.torch_program.kinds import NUMPY, kind_of, population_kind
from sast_compile.backends.torch_program.maps import Maps
from sast_compile.backends.torch_program.population import Population
from sast_compile.backends.torch_program.schedule import Plan, Stage
from sast_compile.ir.ops import Input
from sast_compile.ir.population import kept_as
from sast_compile.ir.program import Edge, Node
from sast_compile.ir.ranges import reaches
from sast_compile.ir.types import Array, storage
from sast_compile.trace import Layer

RECORDED = {4: torch.int32, 8: torch.int64}  # by the bytes of what a state is kept in


class OnDevice:
    """A plan with its numbers on a device: what all batches of samples share."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        program = plan.program
        self.plan, self.device = plan, device
        self.maps = Maps(program, exact_kinds(device), device)
        self.wires = {name: kind_of(type_.element) for name, type_ in program.types.items()}
        reached = reaches(program, plan.total)
        self.idle = {  # by population the states whose clamp never acts, whatever comes in
            name: frozenset(s for s, _ in op.named_states()) - set(reached[name].may_clamp(op))
            for name, op in program.neurons.items()
        }

    @cached_property
    def numbers(self) -> Mapping[str, Numbers]:
        """By population: how its parameters come to the device."""
        program, found = self.plan.program, dict[str, Numbers]()
        for name, op in program.neurons.items():
            drives = [program.types[edge.node].element for edge in program.by_name[name].inputs]
            kind = population_kind(op, program.consts, drives)
            found[name] = Numbers(program.consts, kind, self.device)
        return found

    def records(self, name: str) -> dict[str, torch.dtype]:
        """By state of ``name`` that is kept: in what."""
        named = dict(self.plan.program.neurons[name].named_states())
        return {s: RECORDED[kept_as(named[s]).itemsize] for s in self.plan.states_kept(name)}


class Batch:
    """The wires of some samples over all steps: (steps, samples, *shape).

    In front of step 0 a wire has as many steps of zeros as it is read back from there.
    """

    def __init__(self, on: OnDevice, events: Mapping[str, Array]) -> None:
        self.on, self.plan, self.events = on, on.plan, events
        self.samples = len(next(iter(events.values())))
        self.wires: dict[str, Tensor] = {}

    def layers(self) -> dict[str, Layer]:
        """What is recorded of every node, on the host."""
        found: dict[str, Layer] = {}
        for number, stage in enumerate(self.plan.stages):
            found |= self._computed(stage)
            for name in [n for n in self.wires if self.plan.last_reader[n] <= number]:
                del self.wires[name]
        return {name: found[name] for name in self.plan.recorded}

    def _computed(self, stage: Stage) -> dict[str, Layer]:
        populations = {n.name: self._at_rest(n.name) for n in stage.nodes if n.name in self.on.idle}
        records = {name: self._records(name) for name in populations}
        for node in stage.nodes:
            self.wires[node.name] = self._wire(node)
        for block in stage.blocks(self.plan.total):
            for node in stage.nodes:
                if node.name in populations:
                    drives = [self._read(edge, block) for edge in node.inputs]
                    population, sent = populations[node.name], self._at(node.name, block)
                    population.advance(block, drives, sent, records[node.name])
                elif node.inputs:
                    self._map(node, block)
        for name, population in populations.items():
            population.check(name)
        return {
            node.name: self._layer(node.name, populations, records)
            for node in stage.nodes
            if node.name in self.plan.recorded
        }

    def _at_rest(self, name: str) -> Population:
        op = self.plan.program.neurons[name]
        columns = self.plan.steps if name in self.plan.recorded else 0
        return Population(op, self.samples, columns, self.on.numbers[name], self.on.idle[name])

    def _map(self, node: Node, block: range) -> None:
        xs = [self._read(edge, block).flatten(0, 1) for edge in node.inputs]
        found = self.on.maps.by_name[node.name](xs)
        self._at(node.name, block).copy_(found.reshape(len(block), self.samples, *found.shape[1:]))

    # ---- wires

    def _zeros(self, steps: int, name: str, kind: torch.dtype) -> Tensor:
        shape = (steps, self.samples, *self.plan.program.types[name].shape)
        return torch.zeros(shape, dtype=kind, device=self.on.device)

    def _records(self, name: str) -> dict[str, Tensor]:
        kinds = self.on.records(name)
        return {s: self._zeros(self.plan.steps, name, kind) for s, kind in kinds.items()}

    def _wire(self, node: Node) -> Tensor:
        kind, before = self.on.wires[node.name], self.plan.rests[node.name]
        wire = self._zeros(before + self.plan.total, node.name, kind)
        if isinstance(node.op, Input):
            given = torch.from_numpy(self.events[node.name].astype(NUMPY[kind]))
            columns = wire[before : before + self.plan.steps]
            columns.copy_(given.to(self.on.device).transpose(0, 1))
        return wire

    def _at(self, name: str, block: range, back: int = 0) -> Tensor:
        first = self.plan.rests[name] - back
        return self.wires[name][first + block.start : first + block.stop]

    def _read(self, edge: Edge, block: range) -> Tensor:
        return self._at(edge.node, block, self.plan.back(edge.delay))

    # ---- what is recorded

    def _layer(
        self,
        name: str,
        populations: Mapping[str, Population],
        records: Mapping[str, Mapping[str, Tensor]],
    ) -> Layer:
        start = self.plan.starts[name]
        columns = self._at(name, range(start, start + self.plan.steps))
        values = _on_host(columns).astype(
            storage(self.plan.program.types[name].element), copy=False
        )
        if name not in populations:
            return Layer(values)
        states = {state: _on_host(record) for state, record in records[name].items()}
        return Layer(values, states, populations[name].tally(columns))


def _on_host(columns: Tensor) -> Array:
    """(steps, samples, ..) as (samples, steps, ..)."""
    array: Array = columns.transpose(0, 1).contiguous().cpu().numpy()
    return array
