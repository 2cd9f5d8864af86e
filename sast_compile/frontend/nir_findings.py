"""What is found in a model file: problems, each at its node, and repairs, each said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sast_compile.errors import BadFile, CompileError


class BadNode:
    """Stands in a graph for a node that could not be made; ``kind`` is what it was to be."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


@dataclass
class Findings:
    """Problems and repairs in the order in which they are met, none of them twice."""

    problems: list[CompileError] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)

    def add(self, error: CompileError) -> None:
        if str(error) not in {str(known) for known in self.problems}:
            self.problems.append(error)

    def bad(self, where: str, what: str, hint: str | None = None) -> None:
        self.add(BadFile(what, where=where, hint=hint))

    def repaired(self, where: str, what: str) -> None:
        if (said := f"{where}: {what}") not in self.repairs:
            self.repairs.append(said)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Takes a CompileError raised inside as one of the problems."""
        try:
            yield
        except CompileError as error:
            self.add(error)


def first(problems: list[CompileError], where: str) -> CompileError:
    """The first of several problems, with a hint where all are listed."""
    error = problems[0]
    if len(problems) == 1:
        return error
    more = f"`sast-compile check {where}` lists {len(problems) - 1} more"
    hint = f"{error.hint}; {more}" if error.hint else more
    return type(error)(error.what, where=error.where, hint=hint)
