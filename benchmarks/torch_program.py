"""Programs on torch beside the interpreter and the emulator: samples a second on each device.

On workloads (a) and (b) of `benchmarks.emulator`, outputs recorded. All answers are compared before
anything is timed; rounds are interleaved, medians with their spread. The cpu is always measured,
CUDA where torch sees a GPU; the time includes the events' way to the device and the spikes' way
back.

    OMP_NUM_THREADS=1 python -m benchmarks.torch_program [--rounds 5] [--samples 64]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.emulator.workloads import Workload, workloads
from sast_compile.backends import emulator, reference, torch_program
from sast_compile.trace import Trace


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def devices() -> list[str]:
    """The devices that torch has here."""
    return ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


def throughput(work: Workload, rounds: int) -> dict[str, list[float]]:
    """Samples a second of every peer, round by round; AssertionError if one answers otherwise."""
    program, events = work.program, work.events
    peers: dict[str, Callable[[], Trace]] = {
        "interpreter": lambda: reference.run(program, events, "outputs"),
    }
    if emulator.missing(program) is None:
        peers["emulator, 1 thread"] = lambda: emulator.run(program, events, "outputs", 1)
    for device in devices():
        peers[f"torch, {device}"] = lambda device=device: torch_program.run(  # type: ignore[misc]
            program, events, "outputs", device
        )
    (output,) = program.outputs
    wanted = peers["interpreter"]()[output].spikes
    assert wanted.any()
    for name, peer in peers.items():
        assert np.array_equal(peer()[output].spikes, wanted), name
    found: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            found[name].append(len(events) / seconds(peer))
    return found


def main() -> None:
    """Prints a table for each network."""
    parser = argparse.ArgumentParser(description="programs on torch beside their peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=64)
    options = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: CUDA not measured"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {gpu}")
    few = max(1, options.samples // 8)  # of the convolutions
    for work in (*workloads("a", options.samples), *workloads("b", few)):
        found = throughput(work, options.rounds)
        base = statistics.median(found["interpreter"])
        print(f"\n({work.letter}): {len(work.events)} samples")
        for name, values in found.items():
            middle = statistics.median(values)
            spread = f"{min(values):,.1f}..{max(values):,.1f}"
            print(f"{name:20} {middle:10,.1f} samples/s ({spread})  {middle / base:6.1f} x")


if __name__ == "__main__":
    main()
