"""A NIR graph with its subgraphs written out: one level of nodes, and the sources of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import nir

from sast_compile.errors import BadFile, Unsupported
from sast_compile.frontend.nir_file import check_kinds
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
    for name in nodes:
        if not NAME.fullmatch(name):
            raise Unsupported(
                "a node's name may hold letters, digits and _ . - only",
                where=repr(name),
                hint="rename the node in the NIR graph",
            )
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in _edges(graph, ""):
        if source not in nodes or target not in nodes:
            raise BadFile(f"edge {source} -> {target} has an end that is no node", where="NIR")
        sources[target].append(source)
    flat = FlatGraph(nodes, {name: tuple(its) for name, its in sources.items()})
    _check_ends(flat)
    return flat


def _nodes(graph: nir.NIRGraph, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if isinstance(node, nir.NIRGraph):
            yield from _nodes(node, f"{full}.")
        else:
            yield full, None if prefix and kind_of(node) in ("Input", "Output") else node


def _edges(graph: nir.NIRGraph, prefix: str) -> Iterator[tuple[str, str]]:
    for source, target in graph.edges:
        yield _end(graph, prefix, source, "Output"), _end(graph, prefix, target, "Input")
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from _edges(node, f"{prefix}{name}.")


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


def _check_ends(flat: FlatGraph) -> None:
    fed = {source for its in flat.sources.values() for source in its}
    for kind in ("Input", "Output"):
        if not flat.of_kind(kind):
            hint = "an edge from the last population to one" if kind == "Output" else None
            raise BadFile(f"the graph has no {kind} node", where="NIR", hint=hint)
    for name, its in flat.sources.items():
        kind = flat.kind(name)
        if kind == "Input" and its:
            raise BadFile(f"edge {its[0]} -> {name} enters an Input", where="NIR")
        if kind == "Output" and name in fed:
            raise BadFile("an edge leaves this Output", where=name)
        if not its and kind != "Input":
            raise BadFile("nothing feeds this node", where=name)
        if name not in fed and kind != "Output":
            raise BadFile("this node feeds nothing", where=name)
