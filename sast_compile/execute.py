"""A program on events, as fast as this machine can: by the emulator, else by the interpreter."""

from __future__ import annotations

from sast_compile.backends import emulator, reference
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.trace import Record, Trace


def execute(program: Program, events: Events, record: Record = "spikes") -> Trace:
    """The trace of ``program``, (samples, steps, *input shape) for each input.

    The two give the same values; `slow_because` says when it is the interpreter.
    """
    if emulator.missing(program) is None:
        return emulator.run(program, events, record)
    return reference.run(program, events, record)


def slow_because(program: Program) -> str | None:
    """Why the interpreter computes ``program``; None where the emulator does."""
    return emulator.missing(program)
