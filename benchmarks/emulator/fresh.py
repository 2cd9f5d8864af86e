"""What a fresh process needs: seconds until its first result, and memory.

    python -m benchmarks.emulator.fresh WORKLOAD.npz STARTED

is that process: STARTED is its parent's clock (CLOCK_MONOTONIC) just before. It reads a program
and its events, runs the first sample, then all 64. Memory is what the process had at its peak
above what it had once numpy, the program and the events were there: llvmlite, LLVM, machine code,
arena and records. One line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.emulator.handover import Events, emulate
from sast_compile.ir.program import Program
from sast_compile.ir.text import parse_program, print_program

STATUS = Path("/proc/self/status")
MEMORY_BATCH = 64


@dataclass(frozen=True)
class Fresh:
    """Seconds from the start of the process, and bytes; None where there is no /proc."""

    first: float
    first_memory: float | None
    memory: float | None
    torch: bool


def write_workload(path: Path, program: Program, events: Events) -> None:
    """The program as text, its constants, and `MEMORY_BATCH` samples, the first ones again."""
    arrays: dict[str, Any] = {f"const/{n}": const.data for n, const in program.consts.items()}
    arrays["text"] = np.array(print_program(program))
    arrays["events"] = np.resize(events, (MEMORY_BATCH, *events.shape[1:]))
    np.savez(path, **arrays)


def read_workload(path: Path) -> tuple[Program, Events]:
    """What `write_workload` wrote."""
    with np.load(path) as arrays:
        consts = {k.removeprefix("const/"): arrays[k] for k in arrays.files if "/" in k}
        return parse_program(str(arrays["text"]), consts), arrays["events"]


def measured(workload: Path, times: int) -> dict[str, list[Fresh]]:
    """``times`` fresh processes without and with cached object code."""
    found: dict[str, list[Fresh]] = {"compiled": [], "cached": []}
    for _ in range(times):
        with tempfile.TemporaryDirectory() as cache:
            for runs in found.values():
                runs.append(_process(workload, cache))
    return found


def _process(workload: Path, cache: str) -> Fresh:
    command = [sys.executable, "-m", "benchmarks.emulator.fresh", str(workload)]
    root = Path(__file__).parents[2]
    environment = os.environ | {"SAST_CACHE": cache}
    began = time.monotonic()
    done = subprocess.run(
        [*command, repr(began)], capture_output=True, check=True, cwd=root, env=environment
    )
    return Fresh(**json.loads(done.stdout))


def main(workload: Path, started: float) -> None:
    """The fresh process."""
    program, events = read_workload(workload)
    before = _memory("VmRSS")
    from sast_compile.backends.emulator import Emulator

    made = Emulator(program, "outputs", 1)
    emulate(made, events[:1])
    first = time.monotonic() - started
    at_first = _memory("VmHWM")
    emulate(made, events)
    peak = _memory("VmHWM")
    found = Fresh(first, _above(at_first, before), _above(peak, before), "torch" in sys.modules)
    print(json.dumps(found.__dict__))


def _above(peak: float | None, before: float | None) -> float | None:
    return None if peak is None or before is None else peak - before


def _memory(what: str) -> float | None:
    """Bytes, of a line of Linux's /proc: what getrusage says, a child inherits."""
    if not STATUS.exists():
        return None
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return float(lines[what].split()[0]) * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
