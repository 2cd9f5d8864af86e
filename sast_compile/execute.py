"""A program on events: by the fastest back end that gives the interpreter's values.

On the cpu by the emulator, else by the interpreter; on another device by torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from sast_compile.backends import emulator, reference, torch_program
from sast_compile.errors import CompileError
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.trace import Record, Trace

Runner: TypeAlias = Callable[[Events], Trace]


def runner(
    program: Program,
    record: Record = "spikes",
    threads: int | None = None,
    device: str = "cpu",
    checked: bool = False,
) -> Runner:
    """What runs ``program`` on events (samples, steps, *input shape), as often as it is called.

    All give the same values; `slow_because` says when it is the interpreter. ``threads`` is the
    emulator's number, by default one for each processor. ``device`` is cpu, cuda or cuda:N; another
    is refused, and so is one that is not here when it is called. ``checked`` code of the emulator
    asks before every access to memory whether it is its own; nothing else has such code.
    """
    if checked and (device != "cpu" or emulator.missing(program) is not None):
        why = emulator.missing(program) or f"the device is {device}"
        raise CompileError(f"only the emulator has checked code: {why}")
    if device != "cpu":
        return partial(torch_program.run, program, record=record, device=device)
    if emulator.missing(program) is None:
        return emulator.Emulator(program, record, threads, checked=checked).run
    return partial(reference.run, program, record=record)


def execute(
    program: Program,
    events: Events,
    record: Record = "spikes",
    device: str = "cpu",
    checked: bool = False,
) -> Trace:
    """The trace of ``program``, (samples, steps, *input shape) for each input."""
    return runner(program, record, device=device, checked=checked)(events)


def slow_because(program: Program) -> str | None:
    """Why the interpreter computes ``program``; None where the emulator does."""
    return emulator.missing(program)
