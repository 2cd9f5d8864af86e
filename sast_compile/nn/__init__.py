"""Spiking networks for torch: one module, a smooth or a hard forward pass, the same parameters."""

from __future__ import annotations

from sast_compile.nn.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sast_compile.nn.network import Network, build, hard
from sast_compile.nn.neurons import IF, LIF, States

__all__ = [
    "IF",
    "LIF",
    "Checkpoint",
    "Network",
    "States",
    "build",
    "hard",
    "read_checkpoint",
    "write_checkpoint",
]
