"""The bounds of a torch network, layer by layer: its parameters are read, no data is run.

What enters a population is a chain of affine layers (``linear``, ``conv2d``) on values of a known
range. Intervals go through it exactly, neuron by neuron; spectral norms as upper bounds.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, linear

from sast_compile.bounds.neuron import SLACK, Population, Range, Register, register
from sast_compile.errors import CompileError
from sast_compile.nn.layers import recurrent_name
from sast_compile.nn.network import Network
from sast_compile.nn.neurons import LI, LIF, CubaLIF

Affine: TypeAlias = nn.Linear | nn.Conv2d
L = TypeVar("L", bound=nn.Linear | nn.Conv2d)
Interval: TypeAlias = tuple[Tensor, Tensor]  # the lowest and the highest of each value of one step


@dataclass(frozen=True)
class Horizon:
    """What holds for one layer over ``steps`` from rest, None: for ever."""

    steps: int | None
    lipschitz: float  # from the layer's input to its spikes, l2 over time; inf: there is none
    smooth: Range  # of the membrane, neuron by neuron
    hard: Range
    registers: dict[int, Register]  # by the bits of a weight


@dataclass(frozen=True)
class LayerBounds:
    """One population with the affine layers before it; ``recurrent`` is None without loop."""

    layer: str
    contraction: float
    norm: float
    recurrent: float | None
    horizons: tuple[Horizon, ...]


@dataclass(frozen=True)
class Total:
    """The whole network: ``spikes`` bounds ``||s - s'|| / ||x - x'||``, ``sums`` that of sum_t s.

    ``sums`` is infinite where time does not end.
    """

    steps: int | None
    spikes: float
    sums: float


@dataclass(frozen=True)
class _Stage:
    """A population, its name, and what feeds it."""

    name: str
    neurons: nn.Module
    loop: nn.Linear | None
    affine: tuple[Affine, ...]
    entering: Interval  # what the first of ``affine`` is given


def network_bounds(
    network: Network,
    steps: int | None = None,
    highest_input: float = 1.0,
    bits: tuple[int, ...] = (8, 4),
) -> tuple[LayerBounds, ...]:
    """The bounds of every population for inputs in [0, ``highest_input``], first layer first.

    For ever and, if given, over ``steps`` from rest. ``bits`` are the weight widths for which the
    membrane's register is given.
    """
    exact = copy.deepcopy(network).cpu().double()
    times = (None,) if steps is None else (None, steps)
    with torch.no_grad():
        return tuple(_layer(stage, times, bits) for stage in _stages(exact, highest_input))


def total(layers: tuple[LayerBounds, ...]) -> tuple[Total, ...]:
    """The product of the layers' Lipschitz bounds, for every horizon.

    Of a spike count over T steps it is sqrt(T) times that of the spikes (Cauchy-Schwarz).
    """
    products = []
    for at, horizon in enumerate(layers[0].horizons):
        spikes = math.prod(layer.horizons[at].lipschitz for layer in layers)
        wide = math.inf if horizon.steps is None else math.sqrt(horizon.steps)
        products.append(Total(horizon.steps, spikes, spikes * wide if spikes else 0.0))
    return tuple(products)


def population_of(neurons: nn.Module, recurrent: float = 0.0) -> Population:
    """The numbers of one of our populations; ``recurrent`` is the norm of its own weights."""
    match neurons:
        case LI():
            return Population(neurons.alpha)
        case LIF():
            return Population(
                alpha=neurons.alpha,
                threshold=neurons.threshold,
                reset=neurons.reset,
                reset_when=neurons.reset_when,
                surrogate=neurons.surrogate,
                slope=neurons.slope,
                beta=neurons.beta if isinstance(neurons, CubaLIF) else 0.0,
                recurrent=recurrent,
            )
    raise CompileError(f"there are no bounds for a {type(neurons).__name__}")


def spectral_norm(layer: Affine, shape: tuple[int, ...]) -> float:
    """At least ``sup ||layer x - layer x'|| / ||x - x'||`` for one step's ``x`` of ``shape``.

    A matrix's largest singular value; for a convolution the lesser of two upper bounds, see
    docs/bounds.md, section 5.
    """
    weight = layer.weight
    if isinstance(layer, nn.Linear):
        return SLACK * float(torch.linalg.matrix_norm(weight, ord=2))
    rows = weight.abs().sum(dim=(1, 2, 3)).max()
    ones = torch.ones_like(_applied(layer, torch.zeros(1, *shape, dtype=weight.dtype)))
    columns = _backwards(layer, weight.abs(), ones).max()
    seen = _backwards(layer, torch.ones_like(weight[:1, :1]), ones[:, :1]).max()
    kernel = torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    return SLACK * min(float((rows * columns).sqrt()), float(kernel * seen.sqrt()))


def _backwards(layer: nn.Conv2d, weight: Tensor, ones: Tensor) -> Tensor:
    """The transposed convolution, the padding's pixels among its sums: a maximum over too many."""
    return conv_transpose2d(ones, weight, stride=layer.stride)


def _stages(network: Network, highest: float) -> Iterator[_Stage]:
    empty = torch.zeros(network.input_shape, dtype=torch.float64)
    entering: Interval = (empty, empty + highest)
    affine: tuple[Affine, ...] = ()
    for specification in network.specification:
        layer = network.get_submodule(specification.name)
        match layer:
            case nn.Linear() | nn.Conv2d():
                affine = (*affine, layer)
            case nn.Flatten() if not affine:
                entering = (entering[0].flatten(), entering[1].flatten())
            case nn.Flatten():
                raise CompileError("flattens between weights and neurons", where=specification.name)
            case _:
                name = recurrent_name(specification.name)
                loop = network.get_submodule(name) if hasattr(network, name) else None
                assert loop is None or isinstance(loop, nn.Linear)
                stage = _Stage(specification.name, layer, loop, affine, entering)
                yield stage
                rest = torch.zeros_like(_driven(stage)[0])
                entering, affine = (rest, rest + 1), ()


def _layer(stage: _Stage, times: tuple[int | None, ...], bits: tuple[int, ...]) -> LayerBounds:
    loop = None if stage.loop is None else spectral_norm(stage.loop, ())
    population = population_of(stage.neurons, loop or 0.0)
    norm = 1.0
    within = stage.entering
    for layer in stage.affine:
        norm *= spectral_norm(layer, tuple(within[0].shape))
        within = _through(layer, within)
    horizons = tuple(_horizon(stage, population, norm, at, bits) for at in times)
    return LayerBounds(stage.name, population.radius, norm, loop, horizons)


def _horizon(
    stage: _Stage, population: Population, norm: float, steps: int | None, bits: tuple[int, ...]
) -> Horizon:
    drive = _range(_driven(stage))
    return Horizon(
        steps,
        population.lipschitz(norm, steps),
        population.membrane(drive, steps, hard=False),
        population.membrane(drive, steps, hard=True),
        {b: _register(stage, population, b, steps) for b in bits if len(stage.affine) == 1},
    )


def _register(stage: _Stage, population: Population, bits: int, steps: int | None) -> Register:
    """The register of the same population on a grid of ``max |w| / (2^(bits-1) - 1)``.

    Weights, biases and threshold are rounded to it; a product with a decay rounds to floor.
    """
    layers = [*stage.affine, *([stage.loop] if stage.loop else [])]
    largest = max(float(layer.weight.abs().max()) for layer in layers)
    scale = (largest or 1.0) / (2 ** (bits - 1) - 1)
    threshold = float(round(population.threshold / scale))
    integers = replace(
        stage,
        affine=tuple(_rounded(layer, scale) for layer in stage.affine),
        loop=_rounded(stage.loop, scale) if stage.loop else None,
    )
    drive = _range(_driven(integers))
    on_grid = replace(population, threshold=threshold)
    return register(on_grid.membrane(drive, steps, hard=True, rounding=1.0), threshold)


def _rounded(layer: L, scale: float) -> L:
    integers = copy.deepcopy(layer)
    for parameter in integers.parameters():
        parameter.copy_((parameter / scale).round())
    return integers


def _driven(stage: _Stage) -> Interval:
    """The currents that can enter the population, its own spikes' included."""
    low, high = stage.entering
    for layer in stage.affine:
        low, high = _through(layer, (low, high))
    if stage.loop is not None:
        heard = _through(stage.loop, (torch.zeros_like(low), torch.ones_like(low)))
        low, high = low + heard[0], high + heard[1]
    return low, high


def _through(layer: Affine, values: Interval) -> Interval:
    """The exact range of each of the layer's values: negative weights take the other end."""
    positive, negative = (_part(layer, sign) for sign in (1.0, -1.0))
    low, high = values
    constant = _applied(layer, torch.zeros_like(low))  # the bias
    at_least = _applied(positive, low) - _applied(negative, high) + constant
    at_most = _applied(positive, high) - _applied(negative, low) + constant
    return at_least, at_most


def _part(layer: Affine, sign: float) -> Affine:
    """``layer`` with the sizes of its weights of one sign only, and without bias."""
    part = copy.deepcopy(layer)
    part.weight.copy_((sign * part.weight).clamp(min=0))
    part.bias = None
    return part


def _applied(layer: Affine, x: Tensor) -> Tensor:
    """``layer`` on one step's values."""
    if isinstance(layer, nn.Linear):
        return linear(x, layer.weight, layer.bias)
    return conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)


def _range(values: Interval) -> Range:
    return Range(values[0].numpy(), values[1].numpy())
