"""A program on a device of torch, many samples at a time, equal to the interpreter.

A layer outside of loops is computed over all steps at once, a loop step by step; the integers stay
exact on every device (`exact.py`). Floats are the interpreter's. Importing this needs no torch.
"""

from __future__ import annotations

from importlib.util import find_spec

from sast_compile.backends.torch_program.limits import check_integers, check_name
from sast_compile.errors import BackendUnavailable
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.trace import Record, Trace

__all__ = ["run"]


def run(
    program: Program,
    events: Events,
    record: Record = "spikes",
    device: str = "cpu",
    max_memory: int | None = None,
) -> Trace:
    """The trace of ``program`` on ``events``, as the interpreter's, computed on ``device``.

    ``device`` is cpu, cuda or cuda:N. ``max_memory``: the bytes that it may take there; by default
    what is free on a GPU, and 1 GiB of the host's. Raises Unsupported for floats,
    BackendUnavailable without torch or the device, CompileError if the events do not fit the inputs
    or one sample the device.
    """
    check_name(device)
    check_integers(program)
    if find_spec("torch") is None:
        raise BackendUnavailable(
            f"device {device} needs torch, which is not installed here",
            hint="pip install sast-compile[torch]",
        )
    from sast_compile.backends.torch_program.batches import run_batches
    from sast_compile.backends.torch_program.device import device_called

    return run_batches(program, events, record, device_called(device), max_memory)
