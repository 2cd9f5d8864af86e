"""The fast emulator: a program compiled to this machine's code, equal to the interpreter.

Where llvmlite is absent, or a program holds what has no emitter, there is no emulator for it;
`missing` says why, and the interpreter is there. Nothing here imports llvmlite before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sast_compile.backends.emulator.limits import missing
from sast_compile.errors import Unsupported
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.trace import Record, Trace

if TYPE_CHECKING:
    from sast_compile.backends.emulator.batches import Emulator

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
    return __getattr__("Emulator")(program, record, threads).run(events)  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    if name != "Emulator":
        raise AttributeError(name)
    from sast_compile.backends.emulator.batches import Emulator

    return Emulator
