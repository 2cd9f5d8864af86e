"""Batches of samples through the compiled function, on several threads.

A thread takes some samples at a time and has an arena of its own; ctypes lets go of the
interpreter's lock while the function runs. What is recorded lies in the arrays that become the
trace, so the order in which threads finish changes nothing.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_compile.ir.events import Events, checked
from sast_compile.ir.neuron import State
from sast_compile.ir.program import Program
from sast_compile.ir.types import int_holding, storage
from sast_compile.trace import Layer, Record, Tally, Trace

Array = npt.NDArray[Any]
INTEGERS = {8: np.uint8, 32: np.int32, 64: np.int64}
PORTIONS = 4  # for each thread: so that none waits long for the last


class Emulator:
    """``program``, compiled to record what ``record`` says; it can be run many times."""

    def __init__(
        self,
        program: Program,
        record: Record = "spikes",
        threads: int | None = None,
        processor: object = None,
    ) -> None:
        from sast_compile.backends.emulator.function import emit
        from sast_compile.backends.emulator.native import Processor, compiled, host

        self.program, self.states = program, record == "states"
        self.threads = threads or len(os.sched_getaffinity(0))
        names = program.outputs if record == "outputs" else (*program.neurons, *program.outputs)
        self.recorded = tuple(dict.fromkeys(names))
        self.emitted = emit(program, self.recorded, self.states)
        chosen = processor if isinstance(processor, Processor) else host()
        self.function = compiled(self.emitted.text, chosen)

    def run(self, events: Events) -> Trace:
        """The trace of ``events``; the same, value for value, as the interpreter's."""
        batch = checked(self.program, events)
        samples, steps = next(iter(batch.values())).shape[:2]
        given = [self._given(batch[b.node], b.bits, b.order) for b in self.emitted.inputs]
        kept = [
            np.zeros((samples, steps, r.buffer.size), INTEGERS[r.bits])
            for r in self.emitted.records
        ]
        counts = {
            name: np.zeros((samples, len(what)), np.int64)
            for name, what in self.emitted.tallies.items()
        }
        arrays = [*given, *kept, *counts.values(), *self.emitted.arrays]
        table = np.array([a.ctypes.data for a in arrays], np.uint64)
        self._on_threads(table, samples, steps)
        return self._trace(kept, counts)

    def _given(self, data: Array, bits: int, order: Array) -> Array:
        """Events as they are read: in the type and order of their buffer."""
        narrow = data.astype(INTEGERS[bits], copy=False)
        if np.array_equal(order, np.arange(len(order))):
            return np.ascontiguousarray(narrow)
        return np.ascontiguousarray(np.moveaxis(narrow, 2, -1))  # channels last

    def _on_threads(self, table: Array, samples: int, steps: int) -> None:
        workers = min(self.threads, samples)
        parts = np.array_split(np.arange(samples), min(samples, workers * PORTIONS))
        spans = [(int(part[0]), int(part[-1]) + 1) for part in parts]
        if workers == 1:
            self._span(table, (0, samples), steps)
            return
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(self._span, table, span, steps) for span in spans]:
                done.result()

    def _span(self, table: Array, span: tuple[int, int], steps: int) -> None:
        words = -(-self.emitted.memory // 8)
        memory = np.zeros(words + 8, np.uint64)
        aligned = -(-memory.ctypes.data // 64) * 64
        pointer = ctypes.c_void_p
        self.function(pointer(table.ctypes.data), *span, steps, pointer(aligned), words)

    # ---- what was recorded, as the interpreter records it

    def _trace(self, kept: list[Array], counts: dict[str, Array]) -> Trace:
        values: dict[str, Array] = {}
        states: dict[str, dict[str, Array]] = {name: {} for name in self.recorded}
        for record, data in zip(self.emitted.records, kept, strict=True):
            plain = _plain(data, record.buffer.order)
            if record.state is None:
                type_ = self.program.types[record.node]
                shaped = plain.reshape(*data.shape[:2], *type_.shape)
                values[record.node] = shaped.astype(storage(type_.element), copy=False)
            else:
                op = self.program.neurons[record.node]
                shaped = plain.reshape(*data.shape[:2], *op.shape)
                register = _register(dict(op.named_states())[record.state])
                states[record.node][record.state] = shaped.astype(register, copy=False)
        layers = {
            name: Layer(values[name], states[name], self._tally(name, counts.get(name)))
            for name in self.recorded
        }
        return Trace(layers)

    def _tally(self, name: str, counts: Array | None) -> Tally | None:
        if counts is None:
            return None
        total = dict(zip(self.emitted.tallies[name], counts.sum(axis=0).tolist(), strict=True))
        clamped = {s: total[s] for s, _ in self.program.neurons[name].named_states()}
        return Tally(total["spikes"], total["ties"], total["negatives"], clamped)


def _plain(data: Array, order: Array) -> Array:
    """``data`` with its last axis in C order."""
    if np.array_equal(order, np.arange(len(order))):
        return data
    plain = np.empty_like(data)
    plain[:, :, order] = data
    return plain


def _register(state: State) -> type[np.generic]:
    """What the interpreter keeps ``state`` in."""
    assert state.clamp is not None
    narrow = int_holding(state.clamp.low, state.clamp.high).bits <= 32
    return np.int32 if narrow and state.clamp.rule != "wrap_once" else np.int64
