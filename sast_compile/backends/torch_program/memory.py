"""How many bytes of a device one sample takes at most, from the shapes of its program."""

from __future__ import annotations

import math

import torch

from sast_compile.backends.torch_program.machine import OnDevice
from sast_compile.ir.consts import lookup
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.ops import Neuron
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Node

WORDS = 8  # arrays of a population's size that a step makes on its way


def bytes_of_a_sample(on: OnDevice) -> int:
    """The most that lies on the device at once: wires, records, and values on the way."""
    plan, live, peak = on.plan, 0, 0
    for number, stage in enumerate(plan.stages):
        names = [node.name for node in stage.nodes]
        records = sum(_records(on, name) for name in names if name in on.idle)
        live += sum(_wire(on, name) for name in names)
        steps = len(stage.blocks(plan.total)[0])
        peak = max(peak, live + records + max(_on_the_way(on, n, steps) for n in stage.nodes))
        live -= sum(_wire(on, n) for n, last in plan.last_reader.items() if last == number)
    return peak


def _wire(on: OnDevice, name: str) -> int:
    steps = on.plan.rests[name] + on.plan.total
    return steps * on.plan.program.types[name].size * on.wires[name].itemsize


def _records(on: OnDevice, name: str) -> int:
    bytes_ = sum(kind.itemsize for kind in on.records(name).values())
    return on.plan.steps * on.plan.program.types[name].size * bytes_


def _on_the_way(on: OnDevice, node: Node, steps: int) -> int:
    """What ``steps`` steps of a node make besides its wire, or a record on its way to the host."""
    types, op = on.plan.program.types, node.op
    out = types[node.name].size
    sources = sum(types[edge.node].size for edge in node.inputs)
    moved = on.plan.steps * out * torch.int64.itemsize  # a record, turned to samples first
    if isinstance(op, Neuron):
        counted = 2 * steps if node.name in on.plan.recorded else 0  # every v, and stacked
        return moved + (counted + WORDS) * out * on.numbers[node.name].kind.itemsize
    elements = 2 * sources + 3 * out  # copies in the type of the sum, padded ones, shifted ones
    if isinstance(op, Conv2d):
        kernel = lookup(op.weight, on.plan.program.consts).type.shape
        elements += out // kernel[0] * op.groups * math.prod(kernel[1:])  # gathered windows
    if isinstance(op, (Conv2d, SumPool2d)):
        elements += _padding(op, types[node.inputs[0].node].shape)
    return max(moved, steps * elements * on.maps.words[node.name])


def _padding(op: Conv2d | SumPool2d, x: tuple[int, ...]) -> int:
    """By how many elements padding enlarges an input (C, .., X)."""
    rows, columns = (x[1] if len(x) == 3 else 1), x[-1]
    padded = (rows + sum(op.padding[0])) * (columns + sum(op.padding[1]))
    return x[0] * (padded - rows * columns)
