"""Which sums of a projection are computed together, so that what they need stays in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sast_compile.backends.emulator.machine.code import Value

VECTOR = 16  # neurons: tiles begin at multiples of it


@dataclass(frozen=True)
class Tiles:
    """``count`` tiles of ``size`` sums each, from sum ``begin`` on."""

    begin: int
    count: int
    size: int


class Kernel(Protocol):
    """Emits the sums of one projection into its buffer."""

    tiles: tuple[Tiles, ...]

    def add_up(self, begin: Value, size: int) -> None:
        """The sums of one tile, from sum ``begin`` on."""


def cut(total: int, size: int) -> tuple[Tiles, ...]:
    """Tiles of ``size``, and what is left as one more."""
    whole, left = divmod(total, size)
    both = (Tiles(0, whole, size), Tiles(whole * size, 1, left))
    return tuple(tiles for tiles in both if tiles.count and tiles.size)
