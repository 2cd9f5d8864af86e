"""In which order a program is computed: stage by stage, each over many steps before the next.

A stage is a run of nodes in execution order that must go step by step together: a loop, from the
first reader of a delayed edge that points forward to the population it comes from, or nodes one of
which alone reads the other in the same step, so that no sum is kept longer than a step.

A stage of one projection and its population is computed tile by tile as well: some columns of the
matrix, or some rows of the picture, over all steps and samples of a turn, so that the weights or
the states of the tile stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sast_compile.backends.emulator.memory.layout import bits_of, source_of, wires
from sast_compile.backends.emulator.projections.heard import Heard, heard
from sast_compile.ir.ops import Flatten, Neuron, Projection, SumPool2d
from sast_compile.ir.program import Edge, Node, Program

TURN = 64  # steps that a stage is computed before the next one
ROOM = 1 << 20  # bytes of one sample's values between stages


@dataclass(frozen=True)
class Plan:
    """The stages in order; what each node reads; the steps of a turn; the slots of each value."""

    stages: tuple[tuple[Node, ...], ...]
    reads: dict[str, tuple[Edge, ...]]
    heard: dict[str, Heard]  # by projection
    turn: int
    slots: dict[str, int]


def planned(program: Program, recorded: Iterable[str]) -> Plan:
    """How ``program`` is computed, if the values of ``recorded`` are wanted."""
    sounds = {
        node.name: heard(program, node) for node in program.nodes if isinstance(node.op, Projection)
    }
    reads = wires(program)
    for name, sound in sounds.items():
        reads[name] = (sound.edge,)
    nodes = _needed(program, reads, recorded)
    reads = {node.name: reads[node.name] for node in nodes}
    stages = _stages(program, nodes, reads)
    turn = _turn(program, stages, reads)
    return Plan(stages, reads, sounds, turn, _slots(program, stages, reads, turn))


def tiled(stage: tuple[Node, ...], reads: dict[str, tuple[Edge, ...]]) -> bool:
    """Whether ``stage`` is a projection and the population that alone it drives."""
    if len(stage) != 2 or not isinstance(stage[0].op, Projection):
        return False
    projection, population = stage
    if not isinstance(population.op, Neuron):
        return False
    own = {projection.name, population.name}
    inside = any(edge.node in own for edge in reads[projection.name])
    return reads[population.name] == (Edge(projection.name),) and not inside


def _needed(
    program: Program, reads: dict[str, tuple[Edge, ...]], recorded: Iterable[str]
) -> list[Node]:
    """All nodes but flattens, and but the pools that no one reads any more."""
    wanted = (*recorded, *program.outputs)
    read = {source_of(program, Edge(name)).node for name in wanted}
    needed: list[Node] = []
    for node in reversed(program.nodes):  # a pool is read by later nodes only
        unread = isinstance(node.op, SumPool2d) and node.name not in read
        if not unread and not isinstance(node.op, Flatten):
            needed.insert(0, node)
            read |= {edge.node for edge in reads[node.name]}
    return needed


def _stages(
    program: Program, nodes: list[Node], reads: dict[str, tuple[Edge, ...]]
) -> tuple[tuple[Node, ...], ...]:
    place = {node.name: i for i, node in enumerate(nodes)}
    readers: dict[str, list[int]] = {node.name: [] for node in nodes}
    for node in nodes:
        for edge in reads[node.name]:
            readers[edge.node].append(place[node.name])
    joined = [False] * len(nodes)  # whether a node goes with the one before it
    for node in nodes:
        at, its = place[node.name], readers[node.name]
        first = min((reader for reader in its if reader <= at), default=at)
        last = max(at, its[0]) if len(its) == 1 and _passes_on(node) else at
        joined[first + 1 : last + 1] = [True] * (last - first)
    found: list[list[Node]] = []
    for node, with_the_last in zip(nodes, joined, strict=True):
        if with_the_last:
            found[-1].append(node)
        else:
            found.append([node])
    return tuple(map(tuple, found))


def _passes_on(node: Node) -> bool:
    """Whether the node has a sum, not spikes: they are kept for many steps at little cost."""
    return not isinstance(node.op, Neuron) and bool(node.inputs)


def _crossing(stages: tuple[tuple[Node, ...], ...], reads: dict[str, tuple[Edge, ...]]) -> set[str]:
    """The nodes whose values are read in a later stage."""
    stage = {node.name: i for i, nodes in enumerate(stages) for node in nodes}
    return {
        edge.node
        for name, edges in reads.items()
        for edge in edges
        if stage[edge.node] != stage[name]
    }


def _turn(
    program: Program, stages: tuple[tuple[Node, ...], ...], reads: dict[str, tuple[Edge, ...]]
) -> int:
    """As many steps as there is room for what crosses from stage to stage."""
    bits = sum(
        program.types[name].size * bits_of(program, program.by_name[name])
        for name in _crossing(stages, reads)
    )
    return max(1, min(TURN, ROOM * 8 // max(bits, 1)))


def _slots(
    program: Program,
    stages: tuple[tuple[Node, ...], ...],
    reads: dict[str, tuple[Edge, ...]],
    turn: int,
) -> dict[str, int]:
    slots = {node.name: 1 for node in program.nodes if node.name in reads}
    for output in program.outputs:
        last = source_of(program, Edge(output))
        slots[last.node] = max(slots[last.node], last.delay + 1)
    across = _crossing(stages, reads)
    for edges in reads.values():
        for edge in edges:
            ahead = turn if edge.node in across else 1
            slots[edge.node] = max(slots[edge.node], edge.delay + ahead)
    return slots
