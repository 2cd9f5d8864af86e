"""The same parameters, another forward pass: for any torch module that contains our neurons."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from sast_compile.errors import CompileError
from sast_compile.nn.neurons import LIF, MODES, Mode, check_choice

M = TypeVar("M", bound=nn.Module)


def spiking_layers(module: nn.Module) -> dict[str, LIF]:
    """Our neurons in ``module`` by their path, in the order of registration."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, LIF)}


def set_mode(module: nn.Module, mode: Mode) -> None:
    """Every neuron of ours in ``module`` runs in ``mode`` from now on."""
    check_choice("mode", mode, MODES)
    for neuron in spiking_layers(module).values():
        neuron.mode = mode


def set_slope(module: nn.Module, slope: float) -> None:
    """Every neuron of ours in ``module`` has surrogates of this slope from now on."""
    if not 0 < slope < float("inf"):
        raise CompileError(f"surrogate slope {slope} is not a finite number > 0")
    for neuron in spiking_layers(module).values():
        neuron.slope = float(slope)


def hard(module: M) -> M:
    """A deep copy of ``module`` that fires hard: only sigma -> Heaviside is swapped.

    Follow with ``.double()`` for float64: alpha and threshold are exact there, and float32 weights
    times spikes then add up with no ties made by rounding.
    """
    swapped = copy.deepcopy(module)
    set_mode(swapped, "hard")
    return swapped
