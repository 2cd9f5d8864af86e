"""A network that computes as a chip does, while it trains: weights, leak and membrane snapped.

The compiler's own passes lower the network, and the registers that they choose are put into the
torch module in model units. With ``q`` the weights' scale, ``n`` the value of one step of v, ``d``
and ``b`` the decay register and its bits,

    W = q clip(round(W / q)),    theta = n x register,    alpha = 1 - d / 2^b
    u <- n clip(round(u / n)),   alpha u = n rounded(alpha u / n)   (the rounding of the chip)

so the hard network in float64 makes the chip's spikes. Backward, every rounding is the identity
(the straight-through estimator: Bengio, Leonard, Courville 2013, arXiv 1308.3432), and the weights
that learn stay floats: the compiler finds the same integers in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sast_compile.contract import Compare, Encoding
from sast_compile.errors import CompileError, Unsupported
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.torch_to_nir import to_nir
from sast_compile.ir.neuron import Clamp, MulShift, Rounding
from sast_compile.ir.ops import Neuron, Projection
from sast_compile.ir.program import Program
from sast_compile.ir.types import Int
from sast_compile.nn.network import Network
from sast_compile.nn.neurons import LIF
from sast_compile.passes import PASSES, Options
from sast_compile.passes.feeders import feeders
from sast_compile.target import Target

NUDGE = 2.0**-10  # of a step of v: far above a rounding error, far below half a step
ANY_DT = 1e-3  # the integers do not depend on it: the contract states alpha itself
AXES = "ABCDEFGH"  # of any input; only their number counts here


@dataclass(frozen=True)
class Grid:
    """Values ``scale k`` with integers ``low <= k <= high``."""

    scale: float
    low: int
    high: int

    def snap(self, value: Tensor) -> Tensor:
        """The nearest value of the grid; of two, the even k."""
        return (value / self.scale).round().clamp(self.low, self.high) * self.scale


@dataclass(frozen=True)
class Membrane:
    """What the register of v makes of ``u``: whole steps of ``unit``, clamped, rounded in decay.

    The value it gives is the one whose product with ``alpha = kept / 2^bits`` is what the chip's
    decay leaves.
    """

    unit: float
    kept: int
    bits: int
    rounding: Rounding
    clamp: Clamp

    @property
    def alpha(self) -> float:
        """The leak factor; exact in float64."""
        return float(self.kept / 2**self.bits)

    def __call__(self, u: Tensor) -> Tensor:
        """``u`` as the next step finds it; the gradient goes through unchanged."""
        if not self.kept:
            return u  # it is forgotten
        with torch.no_grad():
            v = (u / self.unit).round().clamp(self.clamp.low, self.clamp.high)
            held = self._rounded(v * self.alpha) * (self.unit / self.alpha)
        return u + (held - u).detach()

    def _rounded(self, left: Tensor) -> Tensor:
        match self.rounding:
            case "toward_zero":
                return left.trunc()
            case "floor":
                return left.floor()
            case "half_even":
                return left.round()


@dataclass(frozen=True)
class Population:
    """One population's registers in model units."""

    threshold: float
    compare: Compare
    membrane: Membrane


@dataclass(frozen=True)
class Registers:
    """A network's: the grid of each weight and bias by its name in ``state_dict``, and neurons."""

    grids: dict[str, Grid]
    populations: dict[str, Population]


def registers(network: Network, target: Target, bits: int, steps: int) -> Registers:
    """What ``target``'s passes choose for ``network`` at ``bits`` bits, samples of ``steps`` steps.

    Raises CompileError where they refuse, Unsupported for a neuron that this cannot imitate.
    """
    program = _lowered(network, target, Options(bits, steps, rounding="nearest"))
    grids: dict[str, Grid] = {}
    populations: dict[str, Population] = {}
    for name, neuron in program.neurons.items():
        unit = 0.0
        for feeder in feeders(program, name):
            grids[f"{feeder}.weight"], unit = _weight_grid(program, feeder)
        unit /= _gain(name, neuron)
        for feeder in feeders(program, name):
            if getattr(network.get_submodule(feeder), "bias", None) is not None:
                most = 1 << (target.bias.mantissa_bits - 1)
                step = unit * 2.0**neuron.voltage.bias_exponent
                grids[f"{feeder}.bias"] = Grid(step, -most, most - 1)
        populations[name] = _population(name, neuron, unit)
    return Registers(grids, populations)


def _lowered(network: Network, target: Target, options: Options) -> Program:
    """``network`` after the target's passes, as the compiler runs them."""
    axes = AXES[: len(network.input_shape)]
    encoding = Encoding(steps=options.steps or 1, axes=axes, values="binary", bin="")
    contract = network.contract(ANY_DT, encoding)
    program = to_program(to_nir(network, contract), contract, "network")
    for name in target.passes:
        if name not in PASSES:
            raise CompileError(f"pass {name!r} does not exist", where=target.name)
        program = PASSES[name](program, target, options).program
    return program


def _weight_grid(program: Program, feeder: str) -> tuple[Grid, float]:
    """The grid of a projection's weights, and what one step of its sum is worth."""
    op = program.by_name[feeder].op
    assert isinstance(op, Projection)
    weight = program.consts[op.weight.name].type
    if not isinstance(weight.element, Int) or isinstance(weight.scale, tuple):
        raise Unsupported("weights that are not integers of one scale", where=feeder)
    grid = Grid(weight.scale, weight.element.low, weight.element.high)
    return grid, weight.scale * 2.0**-op.exponent


def _gain(name: str, neuron: Neuron) -> float:
    """v's steps per step of the summed weights; a synapse must forget at once."""
    gain = 1.0
    for state in (*neuron.synapses, neuron.voltage):
        if not isinstance(state.gain, int | float):
            raise Unsupported("one gain per neuron is not imitated in training", where=name)
        gain *= state.gain
    if any(_kept(name, synapse.decay) for synapse in neuron.synapses):
        raise Unsupported("a synaptic current that lasts is not imitated in training", where=name)
    return gain


def _kept(name: str, decay: object) -> int:
    """The multiplier of a decay, of ``2^bits``."""
    if not isinstance(decay, MulShift) or not isinstance(decay.decay, int):
        raise Unsupported("this chip's decay is not imitated in training", where=name)
    kept: int = 2**decay.bits - decay.decay - decay.offset
    return kept


def _population(name: str, neuron: Neuron, unit: float) -> Population:
    decay, clamp = neuron.voltage.decay, neuron.voltage.clamp
    fire, reset = neuron.fire, neuron.reset
    kept = _kept(name, decay)
    whole = clamp is not None and fire is not None and isinstance(fire.threshold, int | float)
    if not whole or reset is None:
        raise Unsupported("this chip's neuron is not imitated in training", where=name)
    assert isinstance(decay, MulShift)
    assert clamp is not None
    assert fire is not None
    assert isinstance(fire.threshold, int | float)
    threshold: float = fire.threshold * fire.unit
    if reset.kind == "subtract" and reset.amount != threshold:
        raise Unsupported(
            f"a spike takes {reset.amount} steps of v, not the threshold of {threshold:.0f}, which "
            "is not imitated in training",
            where=name,
        )
    # v is whole: beside the register no comparison changes, and none is a tie that a rounding error
    # of floats could decide; what is then subtracted too much is rounded away in the next step
    aside = 0.5 if reset.kind == "zero" else NUDGE
    threshold += aside if fire.compare == ">" else -aside
    membrane = Membrane(unit, kept, decay.bits, decay.rounding, clamp)
    return Population(threshold * unit, fire.compare, membrane)


@contextmanager
def snapped(network: nn.Module, chip: Registers | None) -> Iterator[None]:
    """Inside, ``network`` has the chip's numbers; behind it, its own again. None changes nothing.

    A gradient taken inside is the straight-through one: it belongs to the float weights.
    """
    if chip is None:
        yield
        return
    parameters = dict(network.named_parameters())
    floats = {name: parameters[name].detach().clone() for name in chip.grids}
    neurons = [_neuron(network, name) for name in chip.populations]
    own = [(n.alpha, n.threshold, n.compare, n.membrane) for n in neurons]
    try:
        put(network, chip)
        yield
    finally:
        with torch.no_grad():
            for name, value in floats.items():
                parameters[name].copy_(value)
        for neuron, numbers in zip(neurons, own, strict=True):
            neuron.alpha, neuron.threshold, neuron.compare, neuron.membrane = numbers


@torch.no_grad()
def put(network: nn.Module, chip: Registers) -> None:
    """``network`` has the chip's numbers from now on."""
    parameters = dict(network.named_parameters())
    for name, grid in chip.grids.items():
        parameters[name].copy_(grid.snap(parameters[name]))
    for name, population in chip.populations.items():
        neuron = _neuron(network, name)
        neuron.alpha, neuron.threshold = population.membrane.alpha, population.threshold
        neuron.compare, neuron.membrane = population.compare, population.membrane


def _neuron(network: nn.Module, name: str) -> LIF:
    neuron = network.get_submodule(name)
    assert isinstance(neuron, LIF)
    return neuron
