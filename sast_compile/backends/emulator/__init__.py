"""The fast emulator: a program compiled to this machine's code, equal to the interpreter.

Where llvmlite is absent, or a program holds what has no emitter, there is no emulator for it;
`emulator_for` says why, and the interpreter is there.
"""

from __future__ import annotations

from sast_compile.backends.emulator.batches import Emulator
from sast_compile.backends.emulator.limits import missing
from sast_compile.errors import Unsupported
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.trace import Record, Trace

__all__ = ["Emulator", "missing", "run"]


def run(
    program: Program, events: Events, record: Record = "spikes", threads: int | None = None
) -> Trace:
    """The trace of ``program`` on ``events``, as the interpreter's; Unsupported saying what lacks.

    ``threads``: how many work at the same time, by default one for each processor.
    """
    why = missing(program)
    if why is not None:
        raise Unsupported(why, where=program.name, hint="the reference interpreter computes it")
    return Emulator(program, record, threads).run(events)
