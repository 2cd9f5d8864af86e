"""The ends of a graph, where a file leaves them out and its nodes say what they are.

As nir itself does, a graph without any Input is entered at its one node that nothing feeds, and one
without any Output ends in its populations that feed nothing.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from sast_compile.frontend.nir_findings import BadNode, Findings
from sast_compile.frontend.nir_kinds import NEURONS, kind_of
from sast_compile.frontend.nir_neurons import shape_of

Shape = tuple[int, ...]


def complete(graph: nir.NIRGraph, found: Findings) -> nir.NIRGraph:
    """``graph`` with the ends, and the shapes of ends, that its other nodes determine."""
    nodes, edges = dict(graph.nodes), list(graph.edges)
    if any(isinstance(node, BadNode) for node in nodes.values()):
        return graph  # what is there may be one of these
    _add_input(nodes, edges, found)
    _add_outputs(nodes, edges, found)
    for name, node in nodes.items():
        if kind_of(node) == "Input":
            _feed(name, node, _asked_of(name, nodes, edges), found)
        if kind_of(node) == "Output":
            _read(name, node, nodes, edges, found)
    return nir.NIRGraph(nodes, edges, graph.metadata, type_check=False)


def _add_input(nodes: dict[str, Any], edges: list[tuple[str, str]], found: Findings) -> None:
    if any(kind_of(node) == "Input" for node in nodes.values()):
        return
    roots = set(nodes) - {target for _, target in edges}
    if len(roots) != 1 or (shape := asked(nodes[root := roots.pop()])) is None:
        return
    name = _free(f"input_{root}", nodes)
    nodes[name] = nir.Input(np.asarray(shape))
    edges.append((name, root))
    found.repaired(name, f"the graph has no Input: added, of shape {shape}, in front of {root}")


def _add_outputs(nodes: dict[str, Any], edges: list[tuple[str, str]], found: Findings) -> None:
    if any(kind_of(node) == "Output" for node in nodes.values()):
        return
    fed = {source for source, _ in edges}
    leaves = [name for name in nodes if name not in fed]
    if any(kind_of(nodes[leaf]) not in NEURONS for leaf in leaves):
        return
    for leaf in leaves:
        name = _free(f"output_{leaf}", nodes)
        nodes[name] = nir.Output(None)
        edges.append((leaf, name))
        found.repaired(name, f"the graph has no Output: added behind {leaf}")


def _asked_of(name: str, nodes: dict[str, Any], edges: list[tuple[str, str]]) -> Shape | None:
    """The shape on which all readers of the Input ``name`` agree."""
    shapes = {asked(nodes[target]) for source, target in edges if source == name
              and target in nodes}  # fmt: skip
    return shapes.pop() if len(shapes) == 1 else None


def _feed(name: str, node: Any, shape: Shape | None, found: Findings) -> None:
    """An Input has the shape that is asked for; axes of length 1 before it are batch and time."""
    given = node.input_type["input"]
    if shape is None:
        return
    if given is None:
        found.repaired(name, f"its shape is {shape}, which all that it feeds ask for")
    elif not _padded(stated := tuple(int(n) for n in given), shape):
        return
    else:
        found.repaired(name, f"its shape {stated} is {shape}, with axes of a batch or of time")
    node.input_type = {"input": np.asarray(shape)}
    node.output_type = {"output": np.asarray(shape)}


def _padded(stated: Shape, shape: Shape) -> bool:
    """Whether ``stated`` is ``shape`` behind axes of length 1."""
    extra = len(stated) - len(shape)
    return extra > 0 and stated[extra:] == shape and set(stated[:extra]) == {1}


def _read(
    name: str, node: Any, nodes: dict[str, Any], edges: list[tuple[str, str]], found: Findings
) -> None:
    """An Output states its population's shape; axes of length 1 before it are batch and time."""
    given = node.output_type["output"]
    sources = [source for source, target in edges if target == name]
    if given is None or len(sources) != 1 or kind_of(nodes.get(sources[0])) not in NEURONS:
        return
    with found.keeping():
        shape = shape_of(sources[0], nodes[sources[0]], None)
        stated = tuple(int(n) for n in given)
        if shape is not None and _padded(stated, shape):
            node.output_type = {"output": np.asarray(shape)}
            node.input_type = {"input": np.asarray(shape)}
            found.repaired(name, f"its shape {stated} is {shape}, with axes of a batch or of time")


def asked(node: Any) -> Shape | None:
    """The shape of what ``node`` takes in, where its own attributes say it."""
    kind = kind_of(node)
    if kind in ("Linear", "Affine"):
        return tuple(node.weight.shape[1:])
    if kind in ("Conv1d", "Conv2d") and node.input_shape is not None:
        axes = np.atleast_1d(node.input_shape).tolist()
        return (int(node.weight.shape[1] * node.groups), *axes)
    if kind == "Flatten" and node.input_type["input"] is not None:
        return tuple(int(n) for n in node.input_type["input"])
    if kind in NEURONS:
        return shape_of("", node, None)
    return None


def _free(name: str, nodes: dict[str, Any]) -> str:
    return name if name not in nodes else _free(f"{name}_0", nodes)
