"""What this machine can do at best, measured by micro-kernels, and the bound that follows.

A sample takes at least its synaptic operations, dense ones at the rate of adding int8 rows that lie
in L1, those of convolutions at that of int16 additions, and then its neuron updates, with guards
where the program's ranges do not exclude that a state is wrapped or clipped. Where the rows do not
lie in L1, one byte for each dense operation comes from L2 at best: the second bound.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.emulator.kernels import ALIGNED, Kernel, Kernels
from sast_compile.ir.ops import Dense
from sast_compile.ir.program import Program
from sast_compile.ir.ranges import reaches
from sast_compile.report.synops import Operations

SECONDS = 0.004  # of one call
CALLS = 5  # of which the fastest counts
CACHES = {"L1": (1, "Data", 32 << 10), "L2": (2, "Unified", 512 << 10),
          "L3": (3, "Unified", 8 << 20)}  # fmt: skip
NAMES = {
    "adds": "int16 additions in registers",
    "rows": "int8 weights added as rows from L1",
    "L1": "bytes read from L1",
    "L2": "bytes read from L2",
    "L3": "bytes read from L3",
    "neurons": "neuron updates in L1",
    "guarded": "neuron updates in L1, u wraps and v saturates",
}


class Limits:
    """The kernels with their data; `measure` is one round, in units a second."""

    def __init__(self) -> None:
        kernels = Kernels()
        self.vector_bits = 8 * kernels.bytes
        self.caches = {name: _cache(*which) for name, which in CACHES.items()}
        adds, rows, reads = kernels.adds(), kernels.byte_rows(), kernels.reads()
        free, guarded = kernels.neurons(guarded=False), kernels.neurons(guarded=True)
        self._cases = {
            "adds": _Case(*adds, items=64, size=4096),
            "rows": _Case.filling(*rows, width=rows[1], size=16 << 10),
            "neurons": _Case.filling(*free, size=12 << 10),
            "guarded": _Case.filling(*guarded, size=12 << 10),
        }
        for name, size in self.caches.items():
            self._cases[name] = _Case.filling(*reads, width=reads[1], size=size // 2)

    def measure(self) -> dict[str, float]:
        return {name: self._cases[name].rate() for name in NAMES}


@dataclass(frozen=True)
class _Case:
    """A kernel on ``items`` blocks, each of ``count`` units; ``size`` bytes of data."""

    kernel: Kernel
    count: int
    items: int
    size: int

    @classmethod
    def filling(cls, kernel: Kernel, count: int, width: int, size: int) -> _Case:
        """On as many blocks of ``width`` bytes as fill ``size``."""
        return cls(kernel, count, size // width, size)

    def rate(self) -> float:
        memory = np.zeros(self.size + ALIGNED, np.uint8)
        address = -(-memory.ctypes.data // ALIGNED) * ALIGNED
        times = 1
        while (took := self._call(address, times)) < SECONDS / 2:
            times = math.ceil(times * min(SECONDS / took, 100))
        best = min(self._call(address, times) for _ in range(CALLS))
        return times * self.items * self.count / best

    def _call(self, address: int, times: int) -> float:
        began = time.perf_counter()
        self.kernel(address, self.items, times)
        return time.perf_counter() - began


@dataclass(frozen=True)
class Load:
    """What a sample of a program costs at least: operations and neuron updates by kind."""

    dense: float
    convolved: float
    neurons: float
    guarded: float

    def seconds(self, limits: Mapping[str, float], rows: str = "rows") -> float:
        """The bound on one thread, for the limits of one round; with ``rows`` L2, the second."""
        return (
            self.dense / min(limits["rows"], limits[rows])
            + self.convolved / limits["adds"]
            + self.neurons / limits["neurons"]
            + self.guarded / limits["guarded"]
        )


def load(program: Program, operations: tuple[Operations, ...], samples: int, steps: int) -> Load:
    """The load of a sample; ``operations`` are those of a run of ``samples``."""
    projected = {"dense": 0.0, "convolved": 0.0}
    for one in operations:
        kind = "dense" if isinstance(program.by_name[one.projection].op, Dense) else "convolved"
        projected[kind] += (one.input + one.hidden) / samples
    updates = {True: 0, False: 0}
    for name, reach in reaches(program).items():
        op = program.neurons[name]
        updates[bool(reach.may_clamp(op))] += steps * math.prod(op.shape)
    return Load(**projected, neurons=updates[False], guarded=updates[True])


def _cache(level: int, kind: str, otherwise: int) -> int:
    """The bytes of a cache of the first processor; ``otherwise`` where Linux does not say."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        stated = [(index / what).read_text().strip() for what in ("level", "type", "size")]
        if stated[:2] == [str(level), kind]:
            return int(stated[2].removesuffix("K")) << 10
    return otherwise
