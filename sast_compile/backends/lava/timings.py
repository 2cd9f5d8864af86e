"""How long Lava took, and for how much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """Seconds of wall clock, summed over graphs; ``processes`` is that of the largest graph."""

    graphs: int = 0
    processes: int = 0  # of the operating system
    steps: int = 0
    build: float = 0.0
    step: float = 0.0
    stop: float = 0.0
    fetch: float = 0.0
    total: float = 0.0  # with the start of the other Python

    def __add__(self, other: Timings) -> Timings:
        return Timings(
            self.graphs + other.graphs,
            max(self.processes, other.processes),
            self.steps + other.steps,
            self.build + other.build,
            self.step + other.step,
            self.stop + other.stop,
            self.fetch + other.fetch,
            self.total + other.total,
        )
