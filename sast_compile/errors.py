"""Everything that sast-compile refuses, as one small family of exceptions.

A message says where, what with the numbers, and the way out:
``lif2: threshold 9000000 exceeds loihi2's 131071; hint: ...``.
"""

from __future__ import annotations


class CompileError(Exception):
    """A refusal that a user can act on: ``where: what; hint: way out``."""

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}; hint: {hint}" if hint else text)


class TypeMismatch(CompileError):
    """The inputs of an op do not fit it; raised by the op's typing rule."""


class BadFile(CompileError):
    """A file is missing, damaged, foreign, or newer than this version reads."""


class Unsupported(CompileError):
    """A node, neuron or option that is understood but cannot be handled (yet)."""


class TargetLimit(CompileError):
    """A register, grid or resource of the chip cannot hold what the network needs."""


class BackendUnavailable(CompileError):
    """A back end cannot run here (not installed, no interpreter, timed out)."""


class ContractMissing(CompileError):
    """The discretisation is not stated and is never guessed; the message lists the choices."""
