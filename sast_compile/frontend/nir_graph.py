"""A NIR graph with its subgraphs written out: one level of nodes, and the sources of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import nir

from sast_compile.catalog import suggestion
from sast_compile.errors import Unsupported
from sast_compile.frontend.nir_file import check_kinds
from sast_compile.frontend.nir_findings import Findings
from sast_compile.frontend.nir_kinds import NEURONS, kind_of
from sast_compile.ir.program import NAME


@dataclass(frozen=True)
class FlatGraph:
    """Nodes by name and the sources of each, in the order of the edges.

    A node inside the subgraph ``sub`` is called ``sub.node``. None stands for a node that passes
    its input on: the ends of a subgraph.
    """

    nodes: Mapping[str, Any]
    sources: Mapping[str, tuple[str, ...]]

    def kind(self, name: str) -> str:
        node = self.nodes[name]
        return "passes" if node is None else kind_of(node)

    def of_kind(self, *kinds: str) -> list[str]:
        """The names of the nodes of these kinds, in the order of the graph."""
        return [name for name in self.nodes if self.kind(name) in kinds]

    @property
    def populations(self) -> list[str]:
        return self.of_kind(*NEURONS)


def holder(name: str, layers: Collection[str]) -> str | None:
    """The one of ``layers`` that the projection ``name`` belongs to: its own name, or longer."""
    found = [layer for layer in layers if name == layer or name.startswith(f"{layer}.")]
    return max(found, key=len, default=None)


def flattened(graph: nir.NIRGraph) -> FlatGraph:
    """``graph`` on one level; BadFile or Unsupported naming a bad name, edge or end."""
    nodes = dict(_nodes(graph, ""))
    check_kinds({name: kind_of(node) for name, node in nodes.items() if node is not None})
    found = Findings()
    flat = examined(graph, found)
    if found.problems:
        raise found.problems[0]
    return flat


def examined(graph: nir.NIRGraph, found: Findings) -> FlatGraph:
    """``graph`` on one level, without the edges that are wrong; ``found`` gets all problems."""
    nodes = dict(_nodes(graph, ""))
    for name in nodes:
        if not NAME.fullmatch(name):
            what = "a node's name may hold letters, digits and _ . - only"
            hint = "rename the node in the NIR graph"
            found.add(Unsupported(what, where=repr(name), hint=hint))
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    torn: set[str] = set()  # nodes at the end of an edge that is wrong
    for source, target in _edges(graph, "", found):
        if source not in nodes or target not in nodes:
            torn |= {source, target}
            _nowhere(source, target, nodes, found)
        elif source in sources[target]:
            what = f"the edge {source} -> {target} is there twice"
            found.bad(target, what, "remove one; two projections add up")
        else:
            sources[target].append(source)
    flat = FlatGraph(nodes, {name: tuple(its) for name, its in sources.items()})
    _check_ends(flat, torn, found)
    return _without_loops(flat, found)


def _nowhere(source: str, target: str, nodes: Mapping[str, Any], found: Findings) -> None:
    missing = target if source in nodes else source
    where = source if source in nodes else target if target in nodes else "NIR"
    what = f"the edge ('{source}', '{target}') has an end that is no node"
    found.bad(where, what, suggestion(missing, nodes))


def _nodes(graph: nir.NIRGraph, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if isinstance(node, nir.NIRGraph):
            yield from _nodes(node, f"{full}.")
        else:
            yield full, None if prefix and kind_of(node) in ("Input", "Output") else node


def _edges(graph: nir.NIRGraph, prefix: str, found: Findings) -> Iterator[tuple[str, str]]:
    for source, target in graph.edges:
        ends = None
        with found.keeping():
            ends = _end(graph, prefix, source, "Output"), _end(graph, prefix, target, "Input")
        if ends is not None:
            yield ends
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from _edges(node, f"{prefix}{name}.", found)


def _end(graph: nir.NIRGraph, prefix: str, name: str, kind: str) -> str:
    """The node that an edge really meets: of a subgraph its one Input or Output."""
    node, full = graph.nodes.get(name), f"{prefix}{name}"
    if not isinstance(node, nir.NIRGraph):
        return full
    ends = [inner for inner, n in node.nodes.items() if kind_of(n) == kind]
    if len(ends) != 1:
        raise Unsupported(
            f"a subgraph with {len(ends)} {kind} nodes cannot be entered by an edge, which does "
            "not say which of them it means",
            where=full,
            hint="one Input and one Output in each subgraph",
        )
    return _end(node, f"{full}.", ends[0], kind)


def _check_ends(flat: FlatGraph, torn: set[str], found: Findings) -> None:
    fed = {source for its in flat.sources.values() for source in its}
    for kind in ("Input", "Output"):
        if not flat.of_kind(kind):
            hint = "an edge from the last population to one" if kind == "Output" else None
            found.bad("NIR", f"the graph has no {kind} node", hint)
    for name, its in flat.sources.items():
        kind = flat.kind(name)
        if kind == "Input" and its:
            found.bad(name, f"the edge {its[0]} -> {name} enters an Input")
        if kind == "Output" and name in fed:
            found.bad(name, "an edge leaves this Output")
        if not its and kind != "Input" and name not in torn:
            found.bad(name, "nothing feeds this node", "an edge to it, or leave the node out")
        if name not in fed and kind != "Output" and name not in torn:
            found.bad(name, "this node feeds nothing", "an edge from it, or leave the node out")


def _without_loops(flat: FlatGraph, found: Findings) -> FlatGraph:
    """``flat``, cut at each loop without a population: a problem, nothing in it takes time."""
    sources = dict(flat.sources)
    alone = {name for name in flat.nodes if flat.kind(name) not in NEURONS}
    while True:
        inner = {name: [s for s in sources[name] if s in alone] for name in sorted(alone)}
        try:
            TopologicalSorter(inner).prepare()
        except CycleError as error:
            loop = list(dict.fromkeys(error.args[1]))
        else:
            return FlatGraph(flat.nodes, sources)
        what = f"a loop without a population: {' -> '.join([*loop, loop[0]])}"
        hint = "a neuron in it, whose spikes look a step back"
        found.add(Unsupported(what, where=loop[0], hint=hint))
        for name in loop:
            sources[name] = tuple(s for s in sources[name] if s not in loop)
