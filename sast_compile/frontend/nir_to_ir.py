"""A NIR graph as a program in float64, under a discretisation contract.

Populations are found first, then the paths of linear nodes between them; each path becomes one
projection (`chain.py`), edges that meet add up. A path's bias is what it makes of an input of
zeros; it is added to the current of the population at its end. Of every loop one edge looks one
step back (`loops.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from msgspec.structs import replace

from sast_compile.contract import Contract
from sast_compile.errors import BadFile, TypeMismatch, Unsupported
from sast_compile.frontend.chain import Chain, Part
from sast_compile.frontend.loops import Link, feedback, order
from sast_compile.frontend.nir_graph import FlatGraph, flattened, holder
from sast_compile.frontend.nir_kinds import NEURONS, READOUTS, SPIKING, WEIGHTED
from sast_compile.frontend.nir_linear import LinearNode, linear_node
from sast_compile.frontend.nir_neurons import Discretiser, shape_of
from sast_compile.frontend.numbers import Floats, floats
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Input, Neuron
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const

COUNT_BITS = 8  # of an input that the contract calls "counts"
MOST_PATHS = 1000  # between populations: each split of linear nodes that meet again doubles them
LONGEST_PATH = 300  # linear nodes one behind the other


def to_program(graph: nir.NIRGraph, contract: Contract, name: str) -> Program:
    """The program of ``graph`` in float64; Unsupported or CompileError naming the node."""
    try:
        return Import(flattened(graph), contract).program(name)
    except RecursionError:
        raise Unsupported("the graph is too deep to be followed", where="NIR") from None


@dataclass(frozen=True)
class Path:
    """Linear nodes, in order, from a population or input to a population."""

    source: str
    nodes: tuple[str, ...]
    target: str


@dataclass
class Import:
    """A graph on its way to a program, stage by stage; `program` runs them all."""

    flat: FlatGraph
    contract: Contract
    consts: dict[str, Const] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of populations and inputs
    records: dict[tuple[str, tuple[int, ...]], LinearNode] = field(default_factory=dict)
    placed: dict[str, Node] = field(default_factory=dict)  # nodes of the program, by name
    projections: dict[str, list[Edge]] = field(default_factory=dict)  # by population

    def program(self, name: str) -> Program:
        outputs = [self.output(o) for o in self.flat.of_kind("Output")]
        self.check_contract()
        inputs = self.flat.of_kind("Input")
        for source in inputs:
            self.placed[source] = Node(source, self.input(source))
        paths = [p for population in self.flat.populations for p in self.paths(population)]
        for population in self.flat.populations:
            self.shape(population, paths)
        for output in self.flat.of_kind("Output"):
            self.check_shape(output)
        chains = [(path, self.chain(path)) for path in paths]
        links = [
            Link(path.source, path.target, part.delay)
            for path, chain in chains
            for part in chain.parts()
        ]
        late = feedback(self.flat.populations, inputs, links)
        back = self.contract.feedback_steps
        for path, chain in chains:
            for part in chain.parts():
                link = Link(path.source, path.target, part.delay)
                self._project(path, chain, part, back if link in late else part.delay)
        ordered = order(self.flat.populations, [link for link in links if link not in late])
        populations = {p: self.population(p, paths) for p in ordered}
        nodes = self._in_order(inputs, populations)
        return check(Program(name, nodes, tuple(dict.fromkeys(outputs)), self.consts))

    # ---- ends

    def input(self, name: str) -> Input:
        given = self.flat.nodes[name].input_type["input"]
        if given is None:
            raise BadFile("does not say its shape", where=name)
        shape = tuple(int(n) for n in np.atleast_1d(given))
        encoding = self.contract.encoding
        if encoding is not None and len(encoding.axes) != len(shape):
            raise BadFile(
                f"the contract's axes {encoding.axes!r} do not fit the shape {shape}", where=name
            )
        self.shapes[name] = shape
        counts = encoding is not None and encoding.values == "counts"
        return Input(shape=shape, bits=COUNT_BITS if counts else 1)

    def output(self, name: str) -> str:
        """The population that an Output reads."""
        its = self.flat.sources[name]
        while len(its) == 1 and self.flat.kind(its[0]) == "passes":
            its = self.flat.sources[its[0]]
        if len(its) != 1 or self.flat.kind(its[0]) not in NEURONS:
            read = ", ".join(f"{s} ({self.flat.kind(s)})" for s in its)
            raise Unsupported(
                f"must read one population, not {read}",
                where=name,
                hint=f"end in one of {', '.join(NEURONS)}; an LI reads a current out",
            )
        return its[0]

    def check_shape(self, name: str) -> None:
        """Raises BadFile if an Output states another shape than that of its population."""
        given, source = self.flat.nodes[name].output_type["output"], self.output(name)
        shape = self.shapes[source]
        if given is not None and tuple(int(n) for n in np.atleast_1d(given)) != shape:
            stated = tuple(int(n) for n in np.atleast_1d(given))
            raise BadFile(
                f"states the shape {stated}, but {source} has the shape {shape}",
                where=name,
                hint="correct one of them",
            )

    def check_contract(self) -> None:
        """Raises BadFile if the contract speaks of neurons that the graph does not have."""
        for name in (*self.contract.neurons, *self.contract.overrides):
            if name not in self.flat.nodes or self.flat.kind(name) not in NEURONS:
                raise BadFile(f"states neuron {name!r}, which the graph lacks", where="contract")

    # ---- paths

    def paths(self, population: str) -> list[Path]:
        found: list[Path] = []
        for path in self._backwards(population, (), population):
            found.append(path)
            if len(found) > MOST_PATHS:
                raise Unsupported(f"more than {MOST_PATHS} paths lead to it", where=population)
        return found

    def _backwards(self, at: str, nodes: tuple[str, ...], target: str) -> Iterator[Path]:
        if len(nodes) > LONGEST_PATH:
            raise Unsupported(f"more than {LONGEST_PATH} linear nodes lead to it", where=target)
        for source in self.flat.sources[at]:
            kind = self.flat.kind(source)
            if kind in READOUTS:
                raise Unsupported(
                    f"reads {source} ({kind}), whose voltage is no spike that a chip sends",
                    where=at,
                    hint="a population that fires, or an Output",
                )
            if kind == "Input" or kind in SPIKING:
                yield Path(source, nodes, target)
            elif source in nodes:
                loop = " -> ".join((source, *nodes[: nodes.index(source) + 1]))
                raise Unsupported(f"a loop without a population: {loop}", where=source)
            elif kind == "passes":
                yield from self._backwards(source, nodes, target)
            elif kind == "Output":
                raise BadFile("an edge leaves this Output", where=source)
            else:
                yield from self._backwards(source, (source, *nodes), target)

    def shape(
        self, name: str, paths: Sequence[Path], asked: tuple[str, ...] = ()
    ) -> tuple[int, ...]:
        """The shape of a population or input; of scalar parameters, that of what drives it."""
        if name in self.shapes:
            return self.shapes[name]
        node, current = self.flat.nodes[name], None
        found = shape_of(name, node, None)
        if found is None or found == (1,):
            for path in (p for p in paths if p.target == name and p.source not in (*asked, name)):
                x = np.zeros(self.shape(path.source, paths, (*asked, name)))
                current = self._sent(path, x).shape
                break
            found = shape_of(name, node, current)
        if found is None:
            raise BadFile("has scalar parameters, so its size is unknown", where=name)
        self.shapes[name] = found
        return found

    def _record(self, name: str, shape: tuple[int, ...]) -> LinearNode:
        key = (name, shape)
        if key not in self.records:
            node = self.flat.nodes[name]
            self.records[key] = linear_node(name, node, shape, self.contract.dt)
        return self.records[key]

    def _sent(self, path: Path, x: Floats) -> Floats:
        """What the path makes of ``x``, biases with it."""
        for name in path.nodes:
            x = self._record(name, x.shape)(x)
        return x

    # ---- projections

    def chain(self, path: Path) -> Chain:
        chain = Chain(self.shapes[path.source])
        for name in path.nodes:
            chain = chain.then(name, self._record(name, chain.shape))
        chain = chain.ended(f"{path.target}.in")
        if chain.shape != self.shapes[path.target]:
            raise BadFile(
                f"a current of shape {chain.shape} does not fit the population of shape "
                f"{self.shapes[path.target]}",
                where=path.target,
            )
        return chain

    def _project(self, path: Path, chain: Chain, part: Part, delay: int) -> None:
        """Places one projection of ``path``, and what stands before and behind its weight."""
        edge = Edge(path.source, delay)
        for name, op in chain.before:
            edge = Edge(self._place(name, op, edge, path.source))
        name = self._free(part, path)
        key = f"{name}.weight"
        self.consts[key] = floats(part.weight)
        self.placed[name] = Node(name, replace(part.op, weight=Ref(key)), (edge,))
        edge = Edge(name)
        for name, op in chain.behind:
            edge = Edge(self._place(name, op, edge, path.target))
        self.projections.setdefault(path.target, []).append(edge)

    def _place(self, name: str, op: Any, edge: Edge, end: str) -> str:
        """The node ``name`` on ``edge``, which paths share; under another name if it reads more."""
        for free in (name, f"{name}.{end}", *(f"{name}.{end}.{i}" for i in range(MOST_PATHS))):
            node = Node(free, op, (edge,))
            foreign = free != name and free in self.flat.nodes
            if not foreign and self.placed.setdefault(free, node) == node:
                return free
        raise AssertionError("more paths than were allowed")

    def _free(self, part: Part, path: Path) -> str:
        """A projection's name: the weight's own where it is free, else with its ends."""
        name = f"{part.name}{part.suffix}"
        ends = (f"{name}.{path.source}", f"{name}.{path.source}.{path.target}")
        names = (name, *ends, *(f"{part.name}.{i}{part.suffix}" for i in range(MOST_PATHS)))
        return next(n for n in names if n not in self.placed and self._fits(n, part))

    def _fits(self, name: str, part: Part) -> bool:
        """Whether ``name`` is nobody else's, and does not look like another layer's."""
        if name in self.flat.nodes:
            return name == part.name
        return holder(name, self.flat.of_kind(*WEIGHTED)) in (None, part.name)

    # ---- populations

    def population(self, name: str, paths: Sequence[Path]) -> Neuron:
        bias = np.zeros(self.shapes[name])
        for path in (p for p in paths if p.target == name):
            bias = bias + self._bias(path)
        discretiser = Discretiser(self.contract, self.consts)
        try:
            node = self.flat.nodes[name]
            return discretiser.population(
                name, node, self.shapes[name], bias if bias.any() else None
            )
        except ValueError as error:  # parameters that do not broadcast
            raise TypeMismatch(str(error), where=name) from None

    def _bias(self, path: Path) -> Floats:
        """The path's result where nothing comes in."""
        bias = np.zeros(self.shapes[path.source])
        for name in path.nodes:
            node = self._record(name, bias.shape)
            if node.delay is not None and node.delay.any() and bias.any():
                raise Unsupported("delays a bias, which begins at once on a chip", where=name)
            bias = node(bias)
        return bias

    def _in_order(self, inputs: list[str], populations: dict[str, Neuron]) -> tuple[Node, ...]:
        """Inputs, then each population behind all that leads to it."""
        done: dict[str, Node] = {name: self.placed[name] for name in inputs}
        for name, op in populations.items():
            edges = tuple(self.projections[name])
            for edge in edges:
                self._with_sources(edge.node, done)
            if len(edges) > 1:
                total = self._unused(f"{name}.sum")
                done[total] = Node(total, Add(), edges)
                edges = (Edge(total),)
            done[name] = Node(name, op, edges)
        return tuple(done.values())

    def _unused(self, name: str) -> str:
        """``name``, or longer where a node of the graph or a projection has it."""
        while name in self.flat.nodes or name in self.placed:
            name += "_"
        return name

    def _with_sources(self, name: str, done: dict[str, Node]) -> None:
        if name in done or name in self.flat.populations:
            return
        for edge in self.placed[name].inputs:
            self._with_sources(edge.node, done)
        done[name] = self.placed[name]
