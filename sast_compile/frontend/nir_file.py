"""A NIR file, and the discretisation contract in its metadata."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import nir

from sast_compile.contract import METADATA_KEY, Contract, contract_from_json
from sast_compile.errors import BadFile, ContractMissing, Unsupported
from sast_compile.files import HDF5, read_whole
from sast_compile.frontend.nir_kinds import SUPPORTED


def read_nir(path: str | os.PathLike[str]) -> nir.NIRGraph:
    """The graph in the file at ``path``; BadFile if it is missing, damaged, or no NIR."""
    return parse_nir(read_whole(path), os.fspath(path))


def parse_nir(data: bytes, where: str) -> nir.NIRGraph:
    """The graph in the bytes of an HDF5 file; BadFile if they are damaged or no NIR."""
    if not data.startswith(HDF5):
        raise BadFile("is no HDF5 file, so no NIR graph", where=where)
    try:
        check_kinds(stored_kinds(data))  # first, for nir does not name a node that it misses
        graph = nir.read(io.BytesIO(data))
    except Unsupported:
        raise
    except Exception as error:  # nir raises whatever its constructors meet
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        what = " ".join(f"{kind}{error}".split())[:300]
        raise BadFile(f"cannot be read as NIR: {what}", where=where) from None
    if not isinstance(graph, nir.NIRGraph):
        raise BadFile(f"holds a single {type(graph).__name__}, not a graph", where=where)
    return graph


def stored_kinds(data: bytes) -> dict[str, str]:
    """The kind of every node by name, as the file states it; nodes of subgraphs as ``sub.node``."""
    with h5py.File(io.BytesIO(data), "r") as file:
        return dict(_kinds(file["node"], ""))


def _kinds(group: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for name, node in group.get("nodes", {}).items():
        kind = node["type"].asstr()[()]
        yield f"{prefix}{name}", kind
        if kind == "NIRGraph":
            yield from _kinds(node, f"{prefix}{name}.")


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
        hint="name one: --contract sast|nir-euler|FILE.json (and --dt SECONDS)",
    )
