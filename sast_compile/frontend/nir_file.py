"""A NIR file, and the discretisation contract in its metadata.

nir.read stops at the first trouble and checks types that old files do not state. Here a file is
read node by node: all problems are found, each named at its node, and what is certain is repaired.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from sast_compile.contract import METADATA_KEY, Contract, contract_from_json
from sast_compile.errors import BadFile, CompileError, ContractMissing, Unsupported
from sast_compile.frontend.nir_complete import complete
from sast_compile.frontend.nir_findings import BadNode, Findings, first
from sast_compile.frontend.nir_hdf5 import Tree, Unreadable, read_tree
from sast_compile.frontend.nir_kinds import SUPPORTED
from sast_compile.frontend.nir_nodes import node_of, stored_kind
from sast_compile.presets import PRESETS


@dataclass(frozen=True)
class Loaded:
    """A file's graph; where there are problems it holds a `BadNode` for each node without one."""

    graph: nir.NIRGraph
    problems: tuple[CompileError, ...]
    repairs: tuple[str, ...]


def nir_bytes(graph: nir.NIRGraph) -> bytes:
    """The HDF5 file of ``graph``; the same graph, the same bytes."""
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    return buffer.getvalue()


def parse_nir(data: bytes, where: str) -> nir.NIRGraph:
    """The graph in the bytes of an HDF5 file; BadFile if they are damaged or no NIR."""
    return sound(load_nir(data, where), where).graph


def sound(loaded: Loaded, where: str) -> Loaded:
    """``loaded`` itself; raises its first problem, if there is one."""
    if loaded.problems:
        raise first(list(loaded.problems), where)
    return loaded


def load_nir(data: bytes, where: str) -> Loaded:
    """The graph in the bytes of an HDF5 file, with everything wrong about its nodes and edges.

    BadFile if the bytes are damaged or hold no graph at all.
    """
    tree, found = read_tree(data, where), Findings()
    kind = tree.get("type", "NIRGraph")
    if isinstance(kind, str) and kind != "NIRGraph":
        raise BadFile(f"holds a single {kind}, not a graph", where=where)
    if not isinstance(tree.get("nodes"), dict):
        raise BadFile("cannot be read as NIR: its graph has no nodes", where=where)
    if not isinstance(kind, str):
        found.repaired(where, "its type is no text: a NIRGraph, for it has nodes")
    graph = complete(_graph(tree, "", where, found), found)
    return Loaded(graph, tuple(found.problems), tuple(found.repairs))


def _graph(tree: Tree, prefix: str, where: str, found: Findings) -> nir.NIRGraph:
    """The graph in ``tree``; the names of its nodes begin with ``prefix`` in all messages."""
    stored = tree.get("nodes")
    if not isinstance(stored, dict):
        found.bad(where, "a graph without nodes")
        stored = {}
    nodes = {name: _node(f"{prefix}{name}", fields, found) for name, fields in stored.items()}
    metadata = tree.get("metadata", {})
    if not isinstance(metadata, dict):
        found.repaired(where, "its metadata are no table: left out")
        metadata = {}
    return nir.NIRGraph(nodes, _edges(tree, where, found), metadata, type_check=False)


def _node(name: str, fields: Any, found: Findings) -> Any:
    if not isinstance(fields, dict):
        why = fields.why if isinstance(fields, Unreadable) else "is no group of attributes"
        found.bad(name, why)
        return BadNode("")
    kind = stored_kind(name, fields, found)
    if kind == "NIRGraph":
        return _graph(fields, f"{name}.", name, found)
    return node_of(name, kind, fields, found)


def _edges(tree: Tree, where: str, found: Findings) -> list[tuple[str, str]]:
    """Pairs of names; a problem for what is none."""
    stored = tree.get("edges")
    if isinstance(stored, Unreadable) or "edges" not in tree:
        found.bad(where, f"edges {stored.why if stored else 'are missing'}")
        return []
    table = np.asarray(stored if stored is not None else [])
    if not table.size:
        return []
    if table.ndim != 2 or table.shape[1] != 2:
        found.bad(where, f"edges of shape {table.shape} are no pairs of names")
        return []
    pairs: list[tuple[str, str]] = []
    for source, target in table.tolist():
        ends = tuple(_name(end) for end in (source, target))
        if None in ends:
            found.bad(where, f"edge {source!r} -> {target!r} is no pair of names")
        else:
            pairs.append((str(ends[0]), str(ends[1])))
    return pairs


def _name(end: Any) -> str | None:
    if isinstance(end, bytes):
        return end.decode("utf-8", "backslashreplace")
    return end if isinstance(end, str) else None


def check_kinds(kinds: Mapping[str, str]) -> None:
    """Raises Unsupported naming every node of a kind that has no op."""
    foreign = [(name, kind) for name, kind in kinds.items() if kind not in SUPPORTED]
    if foreign:
        (name, kind), *others = foreign
        more = f"; nor are {', '.join(f'{n} ({k})' for n, k in others)}" if others else ""
        raise Unsupported(
            f"NIR node {kind} is not supported{more}",
            where=name,
            hint=f"supported: {', '.join(SUPPORTED)}",
        )


def stated_contract(graph: nir.NIRGraph, where: str) -> Contract | None:
    """The contract in the graph's metadata, or None."""
    text = graph.metadata.get(METADATA_KEY)
    if text is None:
        return None
    if not isinstance(text, (str, bytes)):
        raise BadFile(f"metadata {METADATA_KEY} is {type(text).__name__}, not text", where=where)
    return contract_from_json(text, where)


def missing_contract(where: str) -> ContractMissing:
    """The refusal of a graph that does not say how its time is cut."""
    return ContractMissing(
        "NIR does not say dt, leak rule, reset kind and order, or the comparison at threshold, "
        "and this file carries no contract",
        where=where,
        hint=f"name one: --contract {'|'.join(PRESETS)}|FILE.json (and --dt)",
    )
