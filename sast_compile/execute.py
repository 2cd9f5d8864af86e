"""A program on events, as fast as this machine can.

On the cpu by the emulator, else by the interpreter; on a GPU, where one is wanted, by torch.
"""

from __future__ import annotations

from sast_compile.backends import emulator, reference, torch_program
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.trace import Record, Trace


def execute(
    program: Program, events: Events, record: Record = "spikes", device: str = "cpu"
) -> Trace:
    """The trace of ``program``, (samples, steps, *input shape) for each input.

    All give the same values; `slow_because` says when it is the interpreter. ``device`` is cpu,
    cuda or cuda:N; another, or one that is not here, is refused.
    """
    if device != "cpu":
        return torch_program.run(program, events, record, device)
    if emulator.missing(program) is None:
        return emulator.run(program, events, record)
    return reference.run(program, events, record)


def slow_because(program: Program) -> str | None:
    """Why the interpreter computes ``program``; None where the emulator does."""
    return emulator.missing(program)
