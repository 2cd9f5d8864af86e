"""A program on events, as fast as this machine can: by the emulator, else by the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from sast_compile.backends import emulator, reference
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.trace import Record, Trace

Runner: TypeAlias = Callable[[Events], Trace]


def runner(program: Program, record: Record = "spikes", threads: int | None = None) -> Runner:
    """What runs ``program`` on events (samples, steps, *input shape), as often as it is called.

    Emulator and interpreter give the same values; `slow_because` says when it is the interpreter.
    ``threads`` is the emulator's number, by default one for each processor.
    """
    if emulator.missing(program) is None:
        return emulator.Emulator(program, record, threads).run
    return partial(reference.run, program, record=record)


def execute(program: Program, events: Events, record: Record = "spikes") -> Trace:
    """The trace of ``program``, (samples, steps, *input shape) for each input."""
    return runner(program, record)(events)


def slow_because(program: Program) -> str | None:
    """Why the interpreter computes ``program``; None where the emulator does."""
    return emulator.missing(program)
