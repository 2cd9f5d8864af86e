"""What a program needs of the chip, layer by layer, and how many cores that is at least."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sast_compile.ir.ops import Projection
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const, Int
from sast_compile.passes.feeders import feeders
from sast_compile.target import Resources, Target


@dataclass(frozen=True)
class LayerFit:
    """One population with the projections into it."""

    layer: str
    neurons: int
    synapses: int  # weights that are not 0
    weight_bits: int
    weight_bytes: int  # all weights of the dense matrices, zeros included
    cores: int


@dataclass(frozen=True)
class Fit:
    """The whole program on one chip; ``unverified`` names limits without a primary source."""

    layers: tuple[LayerFit, ...]
    cores: int
    cores_available: int
    unverified: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return self.cores <= self.cores_available


def fit(program: Program, target: Target) -> Fit | None:
    """The least cores for each layer by neurons and by weight memory; layers share no core.

    None for a target that states no resources: there is nothing to fit.
    """
    chip = target.resources
    if chip is None:
        return None
    layers = tuple(_layer(program, name, chip) for name in program.neurons)
    return Fit(layers, sum(layer.cores for layer in layers), chip.cores, chip.unverified)


def weights_into(program: Program, name: str) -> list[Const]:
    """The weights of every projection into a population, one that two share twice."""
    ops = (program.by_name[feeder].op for feeder in feeders(program, name))
    return [program.consts[op.weight.name] for op in ops if isinstance(op, Projection)]


def weight_bytes(program: Program, name: str, bits: int) -> int:
    """Bytes that all weights into a population take at so many bits, zeros included.

    Dense matrices are counted whole, kernels once; the layer's last byte is rounded up.
    """
    return math.ceil(sum(w.type.size for w in weights_into(program, name)) * bits / 8)


def _layer(program: Program, name: str, chip: Resources) -> LayerFit:
    weights = weights_into(program, name)
    elements = [w.type.element for w in weights]
    bits = max((e.bits for e in elements if isinstance(e, Int)), default=0)
    size = weight_bytes(program, name, bits)
    neurons = math.prod(program.neurons[name].shape)
    cores = max(
        math.ceil(neurons / chip.neurons_per_core), math.ceil(size / chip.synapse_bytes_per_core)
    )
    synapses = sum(int((w.data != 0).sum()) for w in weights)
    return LayerFit(name, neurons, synapses, bits, size, cores)
