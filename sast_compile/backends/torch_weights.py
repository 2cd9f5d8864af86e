"""A program's integer weights ``W 2^E`` in the layers of a torch module that keeps its shapes.

A layer of the module may be several projections of the program: one for each path that it lies on,
and on a path whose delays differ between elements one for each delay. The parts between two
populations add up to the layer, or to as many times the layer as paths lead from one to the other;
all pairs of populations must agree. What the program's weights hold beside the layer's own, a
scale or the divisor of an average, the module must not do as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.ops import Dense, Projection, lookup
from sast_compile.ir.program import Node, Program
from sast_compile.nn.from_nir import WEIGHTED, Scale


@dataclass(frozen=True)
class Part:
    """The integers of one projection, shaped as its layer holds them."""

    name: str
    weight: Tensor
    path: tuple[str, str]  # the population or input that it hears, and the one that it drives


def put_weights(model: nn.Module, program: Program, paths: Mapping[str, str]) -> None:
    """Every weight of ``program`` in its layer of ``model``; ``paths`` are the layers' names.

    Raises CompileError where a projection has no layer, or one of another shape; Unsupported where
    no layer can hold what the program has.
    """
    parts: dict[str, list[Part]] = {}
    for node in program.nodes:
        if isinstance(node.op, Projection):
            path = paths[node.name]
            part = _part(submodule(model, node.name, path), node, program)
            parts.setdefault(path, []).append(part)
    for name, layer in model.named_modules():
        if isinstance(layer, WEIGHTED) and name not in parts:
            raise Unsupported(
                "the program has no projection of this layer", where=name,
                hint="a weight that no other follows before the next population",
            )  # fmt: skip
    for path, its in parts.items():
        layer, weight = model.get_submodule(path), nn.Parameter(_joined(its), requires_grad=False)
        if isinstance(layer, Scale):
            layer.factor = weight
        else:
            layer.weight = weight
            layer.register_parameter("bias", None)  # it is a register of the population now


def submodule(model: nn.Module, name: str, path: str) -> nn.Module:
    """The layer of the node ``name``; CompileError if there is none."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise CompileError("the torch module has no layer of this name", where=name) from None


def _part(layer: nn.Module, node: Node, program: Program) -> Part:
    op = node.op
    assert isinstance(op, Projection)
    if op.exponent < 0:
        raise Unsupported("an exponent below 0 rounds, which torch layers do not", where=node.name)
    data = lookup(op.weight, program.consts).data
    weight = torch.as_tensor(data.copy(), dtype=torch.float64) * 2**op.exponent
    path = program.sent_by(node.name), program.population_behind(node.name)
    if isinstance(layer, Scale):
        axes = len(program.neurons[path[1]].shape)
        return Part(node.name, _factor(node, weight, axes), path)
    if isinstance(layer, nn.Conv1d) and weight.ndim == 4 and weight.shape[2] == 1:
        weight = weight[:, :, 0]  # the program computes it as pictures of one row
    if not isinstance(layer, WEIGHTED) or layer.weight.shape != weight.shape:
        raise CompileError(
            f"the module is {type(layer).__name__}, the program has a projection "
            f"{tuple(data.shape)}",
            where=node.name,
        )
    return Part(node.name, weight, path)


def _factor(node: Node, weight: Tensor, axes: int) -> Tensor:
    """A weight that mixes no elements as one factor for each element or channel."""
    if isinstance(node.op, Dense):
        factor = weight.diagonal()
        rest = weight - torch.diag(factor) if len(set(weight.shape)) == 1 else weight
    else:
        factor = weight.flatten(1)[:, 0].reshape(-1, *(1,) * (axes - 1))
        rest = weight - weight[:, :1, :1, :1]
    if bool(rest.any()):
        raise CompileError("mixes elements, where the graph has no weight", where=node.name)
    return factor


def _joined(parts: list[Part]) -> Tensor:
    """The layer's weight: the sum of the parts of one path, the same for all paths."""
    by_path: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        if len(parts) > 1 and not part.path[1]:
            raise CompileError("drives no population", where=part.name)
        by_path.setdefault(part.path, []).append(part)
    first, *others = (_sum_of_parts(its) for its in by_path.values())
    for its, weight in zip(list(by_path.values())[1:], others, strict=True):
        if not torch.equal(weight, first):
            raise _differ(parts[0], its[0])
    return first


def _sum_of_parts(parts: list[Part]) -> Tensor:
    """The sum of weights of which each element is in one, or in as many as paths meet there."""
    weights = torch.stack([part.weight for part in parts])
    largest = weights.gather(0, weights.abs().argmax(dim=0, keepdim=True))[0]
    total = weights.sum(dim=0)
    times = set((total[largest != 0] / largest[largest != 0]).tolist())
    if bool(((weights != 0) & (weights != largest)).any()) or len(times) > 1:
        raise _differ(parts[0], parts[-1])
    return largest


def _differ(one: Part, other: Part) -> Unsupported:
    return Unsupported(
        f"has other integers than {one.name}, and the two are one layer of the module",
        where=other.name,
        hint="a layer of its own for each path, or the same scales and thresholds behind them, "
        "which --rounding nearest may give",
    )
