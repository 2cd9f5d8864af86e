"""The straight line: a float program and a target in, the chip's program out.

Read top to bottom: every pass of the target's list in order, the program checked after each.
"""

from __future__ import annotations

from dataclasses import dataclass

from sast_compile.backends.reference import Events
from sast_compile.errors import CompileError
from sast_compile.ir.program import Program, check
from sast_compile.passes import PASSES, Note, Options
from sast_compile.catalog import suggestion
from sast_compile.target import Target


@dataclass(frozen=True)
class Step:
    """One pass as it ran: the program after it, and what it changed."""

    name: str
    program: Program
    notes: tuple[Note, ...]


def lower(
    program: Program, target: Target, options: Options, stop_after: str | None = None
) -> tuple[Step, ...]:
    """Every pass of ``target`` on ``program`` (up to ``stop_after``), each with a legal program."""
    _check_names(target, stop_after)
    steps: list[Step] = []
    for name in target.passes:
        lowered = PASSES[name](program, target, options)
        program = check(lowered.program)
        steps.append(Step(name, program, lowered.notes))
        if name == stop_after:
            break
    return tuple(steps)


def _check_names(target: Target, stop_after: str | None) -> None:
    for name in (*target.passes, *([stop_after] if stop_after else [])):
        if name not in PASSES:
            raise CompileError(
                f"no pass is called {name!r}", hint=suggestion(name, PASSES).rstrip("; ")
            )
