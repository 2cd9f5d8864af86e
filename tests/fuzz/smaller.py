"""Smaller programs and events beside given ones: each function yields them, the smallest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from msgspec.structs import replace as with_fields

from fuzz.cases import Array, Batch
from sast_compile.ir.neuron import MulShift, Record, Ref, Reset
from sast_compile.ir.ops import Add, Dense, Input, Neuron, Projection, lookup
from sast_compile.ir.program import Edge, Node, Program, used_consts
from sast_compile.ir.types import Const, TensorType

Pair: TypeAlias = tuple[Program, Batch]
MANY = 48  # candidates of one kind


def fewer_samples(pair: Pair) -> Iterator[Pair]:
    program, events = pair
    samples = len(next(iter(events.values())))
    if samples > 1:
        for i in range(samples):
            yield program, {name: data[i : i + 1] for name, data in events.items()}
        for i in range(samples):
            yield program, {name: np.delete(data, i, 0) for name, data in events.items()}


def fewer_steps(pair: Pair) -> Iterator[Pair]:
    program, events = pair
    steps = next(iter(events.values())).shape[1]
    for kept in dict.fromkeys((steps // 4, steps // 2, 3 * steps // 4, steps - 1)):
        if 0 < kept < steps:
            yield program, {name: data[:, :kept] for name, data in events.items()}
            yield program, {name: data[:, steps - kept :] for name, data in events.items()}


def fewer_populations(pair: Pair) -> Iterator[Pair]:
    """A population with all that it hears, directly or not, and nothing else."""
    program, events = pair
    found = [_behind(program, name) for name in program.neurons]
    for nodes, name in sorted(found, key=lambda f: len(f[0])):
        if len(nodes) < len(program.nodes):
            yield _cut(replace(program, nodes=tuple(nodes), outputs=(name,)), events)


def _behind(program: Program, name: str) -> tuple[list[Node], str]:
    heard, front = {name}, [name]
    while front:
        new = {edge.node for edge in program.by_name[front.pop()].inputs} - heard
        heard |= new
        front += new
    return [node for node in program.nodes if node.name in heard], name


def _cut(program: Program, events: Batch) -> Pair:
    """Without constants and inputs that nothing reads; one input stays in any case."""
    return used_consts(program), {name: events[name] for name in program.inputs}


def fewer_terms(pair: Pair) -> Iterator[Pair]:
    """A sum without one of its terms; a sum of one term is that term."""
    program, events = pair
    for node in program.nodes:
        if not isinstance(node.op, Add):
            continue
        for i in range(len(node.inputs)):
            left = (*node.inputs[:i], *node.inputs[i + 1 :])
            smaller = _with_terms(program, node, left)
            live = {n.name for out in smaller.outputs for n in _behind(smaller, out)[0]}
            nodes = tuple(n for n in smaller.nodes if n.name in live)
            yield _cut(replace(smaller, nodes=nodes), events)


def _with_terms(program: Program, total: Node, left: tuple[Edge, ...]) -> Program:
    if len(left) > 1:
        nodes = (replace(n, inputs=left) if n is total else n for n in program.nodes)
        return replace(program, nodes=tuple(nodes))
    (term,) = left

    def around(edge: Edge) -> Edge:
        return Edge(term.node, edge.delay + term.delay) if edge.node == total.name else edge

    nodes = (
        replace(n, inputs=tuple(map(around, n.inputs))) for n in program.nodes if n is not total
    )
    return replace(program, nodes=tuple(nodes))


def fewer_neurons(pair: Pair) -> Iterator[Pair]:
    """Rows of neurons or inputs that only matrices read and drive, halved or without one."""
    program, events = pair
    for node in program.nodes:
        shape = getattr(node.op, "shape", ())
        if isinstance(node.op, (Input, Neuron)) and len(shape) == 1 and shape[0] > 1:
            for kept in _parts(shape[0]):
                smaller = _with_elements(program, node, kept)
                if smaller is not None:
                    its = {n: d[:, :, kept] if n == node.name else d for n, d in events.items()}
                    yield used_consts(smaller), its


def _parts(size: int) -> Iterator[list[int]]:
    every = list(range(size))
    if size > 2:
        yield every[: size // 2]
        yield every[size // 2 :]
    for i in every[:16]:
        yield every[:i] + every[i + 1 :]


def _with_elements(program: Program, node: Node, kept: list[int]) -> Program | None:
    """``node`` with these elements only; None where anything but matrices is beside it."""
    consts, ops = dict(program.consts), dict[str, Any]()
    readers, drivers = program.consumers(node.name), _drivers(program, node)
    if drivers is None or not all(isinstance(n.op, Dense) for n in readers):
        return None
    ops[node.name] = _elements(node.op, kept, consts)
    for axis, matrices in ((1, readers), (0, drivers)):
        for one in matrices:
            op = ops.get(one.name, one.op)
            old, name = lookup(op.weight, consts), f"{one.name}.{axis}.{len(consts)}"
            consts[name] = _taken(old, kept, axis)
            ops[one.name] = with_fields(op, weight=Ref(name))
    return program.with_ops(ops, consts)


def _drivers(program: Program, node: Node) -> list[Node] | None:
    found, front = list[Node](), list(node.inputs)
    while front:
        source = program.by_name[front.pop().node]
        if isinstance(source.op, Add):
            front += source.inputs
        elif isinstance(source.op, Dense):
            found.append(source)
        else:
            return None
    return list({n.name: n for n in found}.values())


def _taken(const: Const, kept: list[int], axis: int) -> Const:
    data, type_ = np.take(const.data, kept, axis), const.type
    scale = type_.scale
    if isinstance(scale, tuple) and axis == 0:
        scale = tuple(scale[i] for i in kept)
    return Const(TensorType(data.shape, type_.element, scale), data)


def _elements(op: Any, kept: list[int], consts: dict[str, Const]) -> Any:
    """A record with every constant of each neuron cut to ``kept``."""
    if isinstance(op, Ref):
        name = f"{op.name}.{len(consts)}"
        consts[name] = _taken(consts[op.name], kept, 0)
        return Ref(name)
    if isinstance(op, tuple):
        return tuple(_elements(part, kept, consts) for part in op)
    if not isinstance(op, Record):
        return op
    fields = {f: _elements(getattr(op, f), kept, consts) for f in op.__struct_fields__}
    if "shape" in fields:
        fields["shape"] = (len(kept),)
    return type(op)(**fields)


def fewer_events(pair: Pair) -> Iterator[Pair]:
    program, events = pair
    for name, data in events.items():
        for smaller in islice(_smaller_values(data), MANY):
            yield program, {**events, name: smaller}


def smaller_weights(pair: Pair) -> Iterator[Pair]:
    program, events = pair
    weights = {n.op.weight.name for n in program.nodes if isinstance(n.op, Projection)}
    for name in sorted(weights):
        const = program.consts[name]
        for data in islice(_smaller_values(const.data), MANY):
            yield program.with_ops({}, {name: Const(const.type, data)}), events


def _smaller_values(data: Array) -> Iterator[Array]:
    """Blocks of values that are 0, then single ones."""
    places = np.flatnonzero(data)
    size = len(places)
    while size:
        for at in range(0, len(places), size):
            changed = data.copy()
            changed.flat[places[at : at + size]] = 0
            yield changed
        size //= 2


def plainer_registers(pair: Pair) -> Iterator[Pair]:
    """A register at its plainest, or one number in place of one for each neuron."""
    program, events = pair
    for name, op in program.neurons.items():
        for plain in _plainer(op, program):
            yield used_consts(program.with_ops({name: plain})), events


def _plainer(op: Neuron, program: Program) -> Iterator[Neuron]:
    voltage, synapses = op.voltage, op.synapses
    if op.start > 1:
        yield with_fields(op, start=1)
    if voltage.bias != 0:
        yield with_fields(op, voltage=with_fields(voltage, bias=0, bias_exponent=0))
    if voltage.bias_exponent:
        yield with_fields(op, voltage=with_fields(voltage, bias_exponent=0))
    if voltage.decay is not None:
        yield with_fields(op, voltage=with_fields(voltage, decay=None))
    if synapses and synapses[0].decay != (plain := MulShift(decay=4095, offset=1)):
        yield with_fields(op, synapses=(with_fields(synapses[0], decay=plain),))
    if op.reset is not None and op.reset != Reset(kind="zero"):
        yield with_fields(op, reset=Reset(kind="zero"))
    yield from _one_for_all(op, program)


def _one_for_all(op: Any, program: Program) -> Iterator[Any]:
    """``op`` with the constant of one field replaced by its largest number, wherever it stands."""
    for field in op.__struct_fields__:
        value = getattr(op, field)
        if isinstance(value, Ref):
            yield with_fields(op, **{field: int(lookup(value, program.consts).data.max())})
        elif isinstance(value, Record):
            yield from (with_fields(op, **{field: v}) for v in _one_for_all(value, program))
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            yield from (with_fields(op, **{field: (v,)}) for v in _one_for_all(value[0], program))


def shorter_delays(pair: Pair) -> Iterator[Pair]:
    program, events = pair
    for at, node in enumerate(program.nodes):
        for i, edge in enumerate(node.inputs):
            for delay in (d for d in (0, 1, edge.delay // 2) if d < edge.delay):
                inputs: Sequence[Edge] = list(node.inputs)
                inputs = [*inputs[:i], Edge(edge.node, delay), *inputs[i + 1 :]]
                nodes = list(program.nodes)
                nodes[at] = replace(node, inputs=tuple(inputs))
                yield replace(program, nodes=tuple(nodes)), events
