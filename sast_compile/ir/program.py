"""A program: one time step of a network, nodes in execution order.

An edge may carry a delay of whole steps; only a delayed edge may point forward, and then it comes
from a neuron that fires: this is recurrence. Each neuron's ``start`` says in which step it computes
column 0 of a sample, so a chip's latency is part of the program and nothing has to be guessed when
two programs are compared: column k of a layer is its step ``start + k``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import msgspec

from sast_compile.errors import TypeMismatch
from sast_compile.ir.neuron import Record, Ref
from sast_compile.ir.ops import Input, Neuron, Op
from sast_compile.ir.types import Const, TensorType

NAME = re.compile(r"[\w.\-]+")


@dataclass(frozen=True, slots=True)
class Edge:
    """The value of ``node``, ``delay`` steps ago (zeros before the first step)."""

    node: str
    delay: int = 0

    def __str__(self) -> str:
        return f"{self.node}@{self.delay}" if self.delay else self.node


@dataclass(frozen=True, slots=True)
class Node:
    """An op applied to edges, under a name that is kept from import to chip."""

    name: str
    op: Op
    inputs: tuple[Edge, ...] = ()


@dataclass(frozen=True)
class Program:
    """Nodes in execution order, what they return, and the constants they name.

    Programs are values: a pass returns a new one. `check` says whether one is legal.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    consts: Mapping[str, Const] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "consts", MappingProxyType(dict(self.consts)))

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def types(self) -> Mapping[str, TensorType]:
        """The type of every node's result; raises TypeMismatch naming the first bad node."""
        types: dict[str, TensorType] = {}
        for node in self.nodes:
            try:
                sources = [self._source_type(edge, types) for edge in node.inputs]
                types[node.name] = _apply(node.op, self.consts, sources)
            except TypeMismatch as error:
                raise TypeMismatch(error.what, where=node.name, hint=error.hint) from None
        return types

    @cached_property
    def neurons(self) -> Mapping[str, Neuron]:
        """The populations by name, in execution order."""
        return {n.name: n.op for n in self.nodes if isinstance(n.op, Neuron)}

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return tuple(n.name for n in self.nodes if isinstance(n.op, Input))

    def start_of(self, name: str) -> int:
        """The step in which ``name`` computes column 0 of a sample."""
        node = self.by_name[name]
        if isinstance(node.op, Neuron):
            return node.op.start
        return max((self.start_of(e.node) + e.delay for e in node.inputs), default=0)

    def consumers(self, name: str) -> list[Node]:
        """The nodes that read ``name``."""
        return [n for n in self.nodes if any(e.node == name for e in n.inputs)]

    def sent_by(self, name: str) -> str:
        """The population or input whose spikes a projection of one input weighs."""
        while not isinstance(self.by_name[name].op, (Input, Neuron)):
            name = self.by_name[name].inputs[0].node
        return name

    def population_behind(self, name: str) -> str:
        """The population that a projection drives, by itself or in a sum."""
        readers = self.consumers(name)
        while readers and not isinstance(readers[0].op, Neuron):
            readers = self.consumers(readers[0].name)
        return readers[0].name if readers else ""

    def with_ops(self, ops: Mapping[str, Op], consts: Mapping[str, Const] | None = None) -> Program:
        """This program with the ops (and constants) named in the mappings put in place."""
        nodes = tuple(replace(n, op=ops[n.name]) if n.name in ops else n for n in self.nodes)
        merged = {**self.consts, **(consts or {})}
        return replace(self, nodes=nodes, consts=merged)

    def _source_type(self, edge: Edge, types: Mapping[str, TensorType]) -> TensorType:
        if edge.node in types:
            return types[edge.node]
        later = self.by_name.get(edge.node)
        if later is None:
            raise TypeMismatch(f"reads {edge.node}, which does not exist")
        if edge.delay < 1:
            raise TypeMismatch(f"reads {edge.node}, which is computed later in the same step")
        if not isinstance(later.op, Neuron) or later.op.fire is None:
            raise TypeMismatch(f"a loop must start at a neuron that fires, not at {edge.node}")
        return later.op.spikes()


def check(program: Program) -> Program:
    """``program`` itself, if names are unique and known, edges legal and every node well typed."""
    names = [node.name for node in program.nodes]
    for name in [program.name, *names, *program.consts]:
        if not NAME.fullmatch(name):
            raise TypeMismatch(f"name {name!r} has characters beside letters, digits and _ . -")
    if "return" in names:  # the text form ends the list of nodes with this word
        raise TypeMismatch("a node cannot have this name", where="return")
    for name in names:
        if names.count(name) > 1:
            raise TypeMismatch("two nodes have this name", where=name)
    for node in program.nodes:
        if any(edge.delay < 0 for edge in node.inputs):
            raise TypeMismatch("a delay is negative", where=node.name)
    for name in program.outputs:
        if name not in program.by_name:
            raise TypeMismatch(f"returns {name}, which does not exist")
    if not program.outputs:
        raise TypeMismatch("the program returns nothing")
    if not program.inputs:
        raise TypeMismatch("the program has no input")
    for node in program.nodes:
        _check_fields(node)
    _ = program.types
    return program


def _check_fields(node: Node) -> None:
    """Every attribute is of its declared type: records do not check what they are made of."""
    try:
        msgspec.convert(msgspec.to_builtins(node.op), Op)
    except (msgspec.ValidationError, TypeError) as error:
        raise TypeMismatch(f"{type(node.op).__name__.lower()}: {error}", where=node.name) from None


def used_consts(program: Program) -> Program:
    """``program`` without the constants that no op names."""
    used = set().union(*(_refs(node.op) for node in program.nodes))
    return replace(program, consts={k: v for k, v in program.consts.items() if k in used})


def _refs(value: object) -> set[str]:
    if isinstance(value, Ref):
        return {value.name}
    if isinstance(value, Record):
        return set().union(*(_refs(getattr(value, f)) for f in value.__struct_fields__))
    if isinstance(value, tuple):
        return set().union(*map(_refs, value))
    return set()


def _apply(op: Op, consts: Mapping[str, Const], sources: list[TensorType]) -> TensorType:
    try:
        return op.result(consts, *sources)
    except TypeError:  # the op takes another number of inputs
        raise TypeMismatch(
            f"{len(sources)} inputs do not fit {type(op).__name__.lower()}"
        ) from None
