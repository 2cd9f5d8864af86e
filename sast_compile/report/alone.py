"""A program cut into its populations, each with what leads to it and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sast_compile.errors import CompileError
from sast_compile.ir.ops import Input, Neuron
from sast_compile.ir.program import Edge, Node, Program, check, used_consts
from sast_compile.ir.types import Int


def alone(program: Program) -> Iterator[Program]:
    """For each population of ``program`` a program of it: the spikes it reads become inputs."""
    for name in program.neurons:
        try:
            yield check(_of(program, name))
        except CompileError:  # cut out, it is no program
            continue


def _of(program: Program, name: str) -> Program:
    nodes: dict[str, Node] = {}
    _collect(program, name, name, nodes)
    return used_consts(Program(program.name, tuple(nodes.values()), (name,), program.consts))


def _collect(program: Program, at: str, population: str, nodes: dict[str, Node]) -> None:
    """Puts ``at``, behind all that leads to it, into ``nodes``."""
    edges = []
    for edge in program.by_name[at].inputs:
        source = program.by_name[edge.node]
        if isinstance(source.op, Neuron):
            name = f"{edge.node}.spikes" if edge.node == population else edge.node
            nodes.setdefault(name, Node(name, _input(source.op)))
            edges.append(Edge(name, edge.delay))
        else:
            if edge.node not in nodes:
                _collect(program, edge.node, population, nodes)
            edges.append(edge)
    nodes[at] = replace(program.by_name[at], inputs=tuple(edges))


def _input(neuron: Neuron) -> Input:
    """An input of the spikes that ``neuron`` sends."""
    sent = neuron.spikes().element
    bits, signed = (sent.bits, sent.signed) if isinstance(sent, Int) else (1, False)
    return Input(shape=neuron.shape, bits=bits, signed=signed)
