"""The chip's latency per projection, as delays on edges and start steps of populations.

Give every node n the step ``start(n)`` in which it computes column 0. An edge from p to n that
means "d steps ago" then waits ``d + start(n) - start(p)`` steps on the chip, and on a projection
this wait cannot be below the chip's latency. The least starts that respect this are longest paths;
a shorter path waits longer (retiming, Leiserson and Saxe 1991). A loop whose delays are shorter
than its projections' latencies cannot be computed by the chip.

A flatten or pool may wait in front or behind: the same. It waits in front where it reads a
population that is computed later, in a loop or behind a delay, for only a delayed edge may do so.
"""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import replace as with_fields

from sast_compile.errors import Unsupported
from sast_compile.ir.ops import Flatten, Neuron, Op, Projection, SumPool2d, Terms
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import Target


def balance_latency(program: Program, target: Target, options: Options) -> Lowered:
    """The same spikes in every column of every layer, at the time when the chip computes them."""
    starts = _waiting_in_front(program, _starts(program, target.time.connection_latency))
    nodes = tuple(_retimed(node, starts) for node in program.nodes)
    for node in nodes:
        for edge in node.inputs:
            if edge.delay > target.time.longest_delay:
                raise Unsupported(
                    f"needs a delay of {edge.delay} steps from {edge.node}; "
                    f"{target.name} has {target.time.longest_delay}",
                    where=node.name,
                    hint="a shorter path around it, or a skip connection over fewer layers",
                )
    notes = [
        Note(name, f"column 0 in step {starts[name]}", {"start": starts[name]})
        for name in program.neurons
    ]
    return Lowered(replace(program, nodes=nodes), tuple(notes))


def _starts(program: Program, latency: int) -> dict[str, int]:
    """The longest path to each node, a projection being ``latency`` long and a delay negative."""
    starts = dict.fromkeys(program.by_name, 0)
    for _ in range(len(starts) + 1):
        changed = False
        for node in program.nodes:
            own = latency if isinstance(node.op, Projection | Terms) else 0
            for edge in node.inputs:
                earliest = starts[edge.node] + own - edge.delay
                if earliest > starts[node.name]:
                    starts[node.name], changed = earliest, True
        if not changed:
            return starts
    raise Unsupported(
        f"a loop ({', '.join(_in_loops(program))}) has more projections than steps of delay; each "
        f"takes {latency} on the chip",
        where=program.name,
        hint="a Delay in the loop, or --feedback with as many steps as it has projections: both "
        "compute another function than a loop that looks back one step",
    )


def _waiting_in_front(program: Program, starts: dict[str, int]) -> dict[str, int]:
    """``starts``, but a flatten or pool of a later population is as late as its first reader."""
    late = dict(starts)
    for node in reversed(_of_later_populations(program)):
        waits = [
            late[reader.name] + edge.delay - late[node.name]
            for reader in program.consumers(node.name)
            for edge in reader.inputs
            if edge.node == node.name
        ]
        late[node.name] += min(waits, default=0)
    return late


def _of_later_populations(program: Program) -> list[Node]:
    """The flattens and pools that read, directly or through others, what is computed later."""
    seen, found = set[str](), dict[str, Node]()
    for node in program.nodes:
        if isinstance(node.op, Flatten | SumPool2d):
            source = node.inputs[0].node
            if source not in seen or source in found:
                found[node.name] = node
        seen.add(node.name)
    return list(found.values())


def _in_loops(program: Program) -> list[str]:
    """The populations that drive themselves, directly or through others."""
    reached = {name: {e.node for e in node.inputs} for name, node in program.by_name.items()}
    for middle in program.by_name:
        for name, sources in reached.items():
            if middle in sources:
                reached[name] = sources | reached[middle]
    return [name for name in program.neurons if name in reached[name]]


def _retimed(node: Node, starts: dict[str, int]) -> Node:
    own = starts[node.name]
    inputs = tuple(Edge(e.node, e.delay + own - starts[e.node]) for e in node.inputs)
    op: Op = with_fields(node.op, start=own) if isinstance(node.op, Neuron) else node.op
    return replace(node, op=op, inputs=inputs)
