"""Spiking networks for torch: one module, a smooth or a hard forward pass, the same parameters."""

from __future__ import annotations

from sast_compile.nn.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sast_compile.nn.modes import hard, set_mode, set_slope, spiking_layers
from sast_compile.nn.network import Network, build
from sast_compile.nn.neurons import IF, LI, LIF, CubaLIF, States

__all__ = [
    "IF",
    "LI",
    "LIF",
    "Checkpoint",
    "CubaLIF",
    "Network",
    "States",
    "build",
    "hard",
    "read_checkpoint",
    "set_mode",
    "set_slope",
    "spiking_layers",
    "write_checkpoint",
]
