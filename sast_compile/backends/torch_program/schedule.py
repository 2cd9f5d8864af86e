"""What is computed when: a layer over all steps at once, a loop step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sast_compile.ir.program import Node, Program
from sast_compile.trace import Record


@dataclass(frozen=True)
class Stage:
    """One node, over all steps at once; or the nodes of a loop, together step by step."""

    nodes: tuple[Node, ...]
    stepwise: bool

    def blocks(self, total: int) -> list[range]:
        """The steps that a node computes before the next one has its turn."""
        return [range(t, t + 1) for t in range(total)] if self.stepwise else [range(total)]


@dataclass(frozen=True)
class Plan:
    """A program over samples of ``steps`` steps, and what is kept of it."""

    program: Program
    steps: int
    record: Record

    @cached_property
    def recorded(self) -> tuple[str, ...]:
        """The nodes whose values are kept."""
        hidden = () if self.record == "outputs" else tuple(self.program.neurons)
        return tuple(dict.fromkeys((*hidden, *self.program.outputs)))

    @cached_property
    def starts(self) -> Mapping[str, int]:
        """In which step each recorded node computes column 0 of a sample."""
        return {name: self.program.start_of(name) for name in self.recorded}

    @cached_property
    def total(self) -> int:
        """The steps until the last recorded node has computed its last column."""
        return self.steps + max(self.starts.values())

    def states_kept(self, name: str) -> tuple[str, ...]:
        """The states of the population ``name`` of which every step is kept."""
        named = self.program.neurons[name].named_states()
        return tuple(state for state, _ in named) if self.record == "states" else ()

    @cached_property
    def rests(self) -> Mapping[str, int]:
        """How far before the first step each node is read: zeros lie there."""
        far = dict.fromkeys(self.program.by_name, 0)
        for node in self.program.nodes:
            for edge in node.inputs:
                far[edge.node] = max(far[edge.node], self.back(edge.delay))
        return far

    def back(self, delay: int) -> int:
        """``delay``, or as much of it as makes a difference."""
        return min(delay, self.total)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The nodes in execution order; a loop reaches from its first reader to what it reads."""
        nodes = self.program.nodes
        place = {node.name: i for i, node in enumerate(nodes)}
        ahead = [max((place[e.node] for e in node.inputs), default=-1) for node in nodes]
        found, first = list[Stage](), 0
        while first < len(nodes):
            last = at = first
            while at <= last:
                last = max(last, ahead[at])
                at += 1
            stepwise = any(ahead[i] >= i for i in range(first, last + 1))
            found.append(Stage(nodes[first : last + 1], stepwise))
            first = last + 1
        return tuple(found)

    @cached_property
    def last_reader(self) -> Mapping[str, int]:
        """The number of the last stage that needs each node's values: its own, if no other."""
        last = dict[str, int]()
        for number, stage in enumerate(self.stages):
            for node in stage.nodes:
                last |= {edge.node: number for edge in node.inputs}
                last[node.name] = number
        return last
