"""The reference interpreter: numpy, readable, and the definition of the IR."""

from sast_compile.backends.reference.interpreter import Events, Record, input_batch, run

__all__ = ["Events", "Record", "input_batch", "run"]
