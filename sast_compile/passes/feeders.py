"""The projections that drive a population; they share one scale, for their currents are added."""

from __future__ import annotations

from sast_compile.errors import Unsupported
from sast_compile.ir.ops import Add, Projection
from sast_compile.ir.program import Program


def feeders(program: Program, neuron: str) -> list[str]:
    """The names of the projections that drive ``neuron``, directly or through an `Add`.

    Raises Unsupported if something else drives it, or if one of these drives another node too.
    """
    found: list[str] = []
    for edge in program.by_name[neuron].inputs:
        source = program.by_name[edge.node]
        if len(program.consumers(source.name)) > 1 and isinstance(source.op, Add | Projection):
            raise Unsupported(
                "drives more than one node, which is not supported yet", where=source.name
            )
        if isinstance(source.op, Add):
            found += feeders(program, source.name)
        elif isinstance(source.op, Projection):
            found.append(source.name)
        else:
            raise Unsupported(
                f"is driven by {source.name}, which is no projection",
                where=neuron,
                hint="put a Linear between them",
            )
    return found
