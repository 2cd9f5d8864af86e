"""Samples spread over threads, each with memory of its own, which is kept for the next run.

ctypes lets go of the interpreter's lock while the function runs. Threads take the next span of
samples when they are done with one, so none waits long for the last.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_compile.backends.emulator.function import Emitted
from sast_compile.backends.emulator.memory.layout import LINE

Array = npt.NDArray[Any]
BLOCK = 16  # samples that go through a stage together
TOGETHER = 1 << 20  # bytes of their arenas
PORTIONS = 8  # of the samples for each thread, about


def memory_of(size: int) -> Array:
    """``size`` bytes that begin a cache line."""
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]


@dataclass(eq=False)
class Workers:
    """``threads`` that call ``function``, which was compiled from what was ``emitted``."""

    emitted: Emitted
    function: Callable[..., int]
    threads: int
    _pool: ThreadPoolExecutor | None = None
    _free: list[Array] = field(default_factory=list)

    def run(self, table: Array, samples: int, steps: int) -> None:
        """All samples; AssertionError if checked code found an access that left its place."""
        words = self.emitted.words
        block = max(1, min(BLOCK, TOGETHER // (8 * words), samples))
        workers = min(self.threads, -(-samples // block))
        portion = -(-samples // (workers * PORTIONS))
        size = samples if workers == 1 else -(-portion // block) * block
        spans = iter([(at, min(at + size, samples)) for at in range(0, samples, size)])
        others = []
        if workers > 1:
            self._pool = self._pool or ThreadPoolExecutor(self.threads - 1)
            others = [
                self._pool.submit(self._work, spans, table, steps, block)
                for _ in range(workers - 1)
            ]
        self._work(spans, table, steps, block)
        for other in others:
            other.result()

    def _work(self, spans: Iterator[tuple[int, int]], table: Array, steps: int, block: int) -> None:
        """Spans until there are none left; the iterator of a list may be shared by threads."""
        words, pointer = self.emitted.words, ctypes.c_void_p
        memory = self._memory(8 * block * words + self.emitted.scratch)
        for first, last in spans:
            failed = self.function(
                pointer(table.ctypes.data), first, last, steps,
                pointer(memory.ctypes.data), words, block,
            )  # fmt: skip
            if failed:
                raise AssertionError(f"an access left {self.emitted.checks[failed - 1]}")
        self._free.append(memory)

    def _memory(self, size: int) -> Array:
        """Memory of an earlier run, if it is large enough."""
        try:
            memory = self._free.pop()
        except IndexError:
            return memory_of(size)
        return memory if memory.nbytes >= size else memory_of(size)
