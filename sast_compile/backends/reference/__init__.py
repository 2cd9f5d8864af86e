"""The reference interpreter: numpy, readable, and the definition of the IR."""

from sast_compile.backends.reference.interpreter import run

__all__ = ["Record", "run"]
