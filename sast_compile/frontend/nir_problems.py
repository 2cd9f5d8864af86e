"""Everything that keeps a graph from being a program, not only the first of it."""

from __future__ import annotations

from collections.abc import Sequence

import nir

from sast_compile.contract import Contract
from sast_compile.errors import CompileError
from sast_compile.frontend.loops import Link, feedback
from sast_compile.frontend.nir_findings import BadNode, Findings
from sast_compile.frontend.nir_graph import FlatGraph, examined
from sast_compile.frontend.nir_to_ir import Import, Path, to_program

# for a graph without one: no neuron is refused for its time step, no delay for its length
ANY = Contract(dt=1e-12, leak="exact", reset="zero", reset_when="after_fire", compare=">")


def import_problems(graph: nir.NIRGraph, contract: Contract | None) -> list[CompileError]:
    """Every problem of ``graph`` and ``contract``, in the order of the import.

    Nodes may be a `BadNode`: what leads through one is not looked at.
    """
    found = Findings()
    flat = examined(graph, found)
    stages = Import(flat, contract or ANY)
    _ends(stages, found)
    chains = _chains(stages, _paths(stages, found), found)
    if not found.problems and not _holes(flat):
        with found.keeping():
            links = [link for _, its in chains for link in its]
            feedback(flat.populations, flat.of_kind("Input"), links)
    for name in _sound(flat):
        if name in stages.shapes:
            with found.keeping():
                stages.population(name, [path for path, _ in chains])
    if not found.problems and not _holes(flat):
        with found.keeping():
            to_program(graph, contract or ANY, "checked")
    return found.problems


def _holes(flat: FlatGraph) -> set[str]:
    return {name for name, node in flat.nodes.items() if isinstance(node, BadNode)}


def _sound(flat: FlatGraph) -> list[str]:
    """The populations that could be made."""
    return [name for name in flat.populations if name not in _holes(flat)]


def _ends(stages: Import, found: Findings) -> None:
    holes = _holes(stages.flat)
    for name in stages.flat.of_kind("Output"):
        if not holes & {name, *stages.flat.sources[name]} and stages.flat.sources[name]:
            with found.keeping():
                stages.output(name)
    with found.keeping():
        stages.check_contract()
    for name in stages.flat.of_kind("Input"):
        if name not in holes:
            with found.keeping():
                stages.input(name)


def _paths(stages: Import, found: Findings) -> list[Path]:
    """The paths into every population that lead through no hole."""
    holes, paths = _holes(stages.flat), list[Path]()
    for name in stages.flat.populations:
        with found.keeping():
            paths += [
                path
                for path in stages.paths(name)
                if not holes & {path.source, *path.nodes, path.target}
            ]
    for name in _sound(stages.flat):
        with found.keeping():
            stages.shape(name, paths)
    for name in stages.flat.of_kind("Output"):
        sources = stages.flat.sources[name]
        if name not in holes and len(sources) == 1 and sources[0] in stages.shapes:
            with found.keeping():
                stages.check_shape(name)
    return [path for path in paths if {path.source, path.target} <= set(stages.shapes)]


def _chains(
    stages: Import, paths: Sequence[Path], found: Findings
) -> list[tuple[Path, list[Link]]]:
    """The paths that are projections, each with its links."""
    chains: list[tuple[Path, list[Link]]] = []
    for path in paths:
        with found.keeping():
            parts = stages.chain(path).parts()
            chains.append((path, [Link(path.source, path.target, p.delay) for p in parts]))
    return chains
