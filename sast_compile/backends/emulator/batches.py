"""Batches of samples through the compiled function.

What is recorded lies in the arrays that become the trace, so the order in which threads finish
changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_compile.backends.emulator.function import Emitted, Wanted, emit
from sast_compile.backends.emulator.limits import missing
from sast_compile.backends.emulator.machine.native import compiled
from sast_compile.backends.emulator.machine.processor import Processor, host
from sast_compile.backends.emulator.memory.given import Form
from sast_compile.backends.emulator.memory.layout import Buffer
from sast_compile.backends.emulator.memory.records import Record as _Record
from sast_compile.backends.emulator.populations.neurons import COUNTS
from sast_compile.backends.emulator.threads import Workers
from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.events import Events, as_given, samples_and_steps
from sast_compile.ir.population import kept_as
from sast_compile.ir.program import Program
from sast_compile.ir.sparse import SparseEvents
from sast_compile.ir.types import Int, storage
from sast_compile.trace import Layer, Record, Tally, Trace

Array = npt.NDArray[Any]
INTEGERS = {8: np.uint8, 16: np.int16, 32: np.int32, 64: np.int64}


class Emulator:
    """``program``, compiled to record what ``record`` says; it can be run many times.

    ``processor``: what the code is made for, by default this machine's. ``checked`` code asks
    before every access to memory whether it is its own, and is slow. Raises Unsupported for a
    program that only the interpreter computes.
    """

    def __init__(
        self,
        program: Program,
        record: Record = "spikes",
        threads: int | None = None,
        processor: Processor | None = None,
        checked: bool = False,
    ) -> None:
        why = missing(program)
        if why is not None:
            hint = "the reference interpreter computes it"
            raise Unsupported(why, where=program.name, hint=hint)
        self.program, self.states, self.checked = program, record == "states", checked
        self.threads = threads or len(os.sched_getaffinity(0))
        names = program.outputs if record == "outputs" else (*program.neurons, *program.outputs)
        self.recorded = tuple(dict.fromkeys(names))
        self.processor = processor or host()
        self._made: dict[tuple[Form, ...], Workers] = {}

    def run(self, events: Events) -> Trace:
        """The trace of ``events``; the same, value for value, as the interpreter's."""
        batch = as_given(self.program, events)
        forms = {name: self._form(name, data) for name, data in batch.items()}
        made = self.made(forms)
        samples, steps = samples_and_steps(next(iter(batch.values())))
        given = [
            array
            for buffer in made.emitted.inputs
            for array in _given(batch[buffer.node], buffer, forms[buffer.node])
        ]
        kept = [
            np.zeros((samples, steps, record.width), INTEGERS[record.bits])
            for record in made.emitted.records
        ]
        counts = {
            name: np.zeros((samples, len(what)), np.int64)
            for name, what in made.emitted.tallies.items()
        }
        table = _table([*given, *kept, *counts.values(), *made.emitted.constants])
        made.run(table, samples, steps)
        self._refuse_broken(made.emitted, counts)
        return self._trace(made.emitted.records, kept, counts)

    def made(self, forms: Mapping[str, Form]) -> Workers:
        """The code for inputs in these ``forms``."""
        key = tuple(forms[name] for name in self.program.inputs)
        if key not in self._made:
            wanted = Wanted(self.recorded, self.states, forms, self.checked)
            emitted = emit(self.program, wanted, self.processor)
            function = compiled(emitted.text, self.processor)
            self._made[key] = Workers(emitted, function, self.threads)
        return self._made[key]

    def _refuse_broken(self, emitted: Emitted, counts: Mapping[str, Array]) -> None:
        """CompileError where a state left the range that it must not leave."""
        for name, states in emitted.forbidden.items():
            for state in states:
                broken = counts[name][:, emitted.tallies[name].index(state)]
                if broken.any():
                    clamp = dict(self.program.neurons[name].named_states())[state].clamp
                    assert clamp is not None
                    raise CompileError(
                        f"{state} leaves [{clamp.low}, {clamp.high}] {int(broken.sum())} times, "
                        f"first in sample {int(np.flatnonzero(broken)[0])}",
                        where=name,
                    )

    def _form(self, name: str, data: Array | SparseEvents) -> Form:
        """A list is taken as it is where each of its events is a spike."""
        element = self.program.types[name].element
        spikes = isinstance(element, Int) and element.bits == 1 and not element.signed
        return "sparse" if spikes and isinstance(data, SparseEvents) else "dense"

    # ---- what was recorded, as the interpreter records it

    def _trace(self, records: list[_Record], kept: list[Array], counts: dict[str, Array]) -> Trace:
        values: dict[str, Array] = {}
        states: dict[str, dict[str, Array]] = {name: {} for name in self.recorded}
        for record, data in zip(records, kept, strict=True):
            plain = _plain(data[:, :, : record.buffer.size], record.buffer.order)
            if record.state is None:
                type_ = self.program.types[record.node]
                shaped = plain.reshape(*data.shape[:2], *type_.shape)
                values[record.node] = shaped.astype(storage(type_.element), copy=False)
            else:
                op = self.program.neurons[record.node]
                shaped = plain.reshape(*data.shape[:2], *op.shape)
                register = kept_as(dict(op.named_states())[record.state])
                states[record.node][record.state] = shaped.astype(register, copy=False)
        tallied = counts if self.states else {}
        layers = {
            name: Layer(values[name], states[name], self._tally(name, tallied.get(name)))
            for name in self.recorded
        }
        return Trace(layers)

    def _tally(self, name: str, counts: Array | None) -> Tally | None:
        if counts is None:
            return None
        states = [state for state, _ in self.program.neurons[name].named_states()]
        total = dict(zip([*COUNTS, *states], counts.sum(axis=0).tolist(), strict=True))
        clamped = {state: total[state] for state in states}
        return Tally(total["spikes"], total["ties"], total["negatives"], clamped)


def _given(data: Array | SparseEvents, buffer: Buffer, form: Form) -> list[Array]:
    """Events as they are read: the two arrays of a list, or all in the order of their buffer."""
    if isinstance(data, SparseEvents):
        if form == "sparse":
            return [data.first, data.index]
        data = data.to_dense()
    narrow = data.astype(INTEGERS[max(buffer.bits, 8)], copy=False)
    if np.array_equal(buffer.order, np.arange(buffer.size)):
        return [np.ascontiguousarray(narrow)]
    return [np.ascontiguousarray(np.moveaxis(narrow, 2, -1))]  # channels last


def _table(arrays: list[Array]) -> Array:
    """Address and bytes of every array."""
    return np.array([(a.ctypes.data, a.nbytes) for a in arrays], np.uint64)


def _plain(data: Array, order: Array) -> Array:
    """``data`` with its last axis in C order."""
    if np.array_equal(order, np.arange(len(order))):
        return data
    plain = np.empty_like(data)
    plain[:, :, order] = data
    return plain
