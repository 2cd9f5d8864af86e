"""From which density on a product of all int8 weights would be faster than adding rows by spikes.

A layer 2312 to 512: the emulator's step, neurons and all, at several densities, beside torch's
product of int8 matrices (`torch._int_mm`), which takes the same at every density and leaves out the
neurons. One thread; medians of the processor's time.

    OMP_NUM_THREADS=1 python -m benchmarks.dense_product [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.emulator.emulated import emulator
from benchmarks.emulator.handover import emulate, ready, warmed
from benchmarks.emulator.workloads import bernoulli, dense_program

INPUTS, OUTPUTS, SAMPLES, STEPS = 2312, 512, 16, 100
DENSITIES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """The median time of a step."""
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return statistics.median(taken) / (SAMPLES * STEPS) * 1e6


def main() -> None:
    """Prints a line for each density."""
    parser = argparse.ArgumentParser(description="adding rows beside a product of matrices")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    weight = torch.as_tensor(rng.integers(-128, 128, (INPUTS, OUTPUTS)), dtype=torch.int8)
    program = dense_program((INPUTS, OUTPUTS), "layer")
    for density in DENSITIES:
        events = bernoulli((SAMPLES, STEPS, INPUTS), density)
        lists, rows = ready(events), torch.as_tensor(events.reshape(-1, INPUTS)).to(torch.int8)
        one = warmed(emulator(program), lists)
        by_spikes = microseconds(lambda one=one, lists=lists: emulate(one, lists), rounds)  # type: ignore[misc]
        product = microseconds(lambda rows=rows: torch._int_mm(rows, weight), rounds)  # type: ignore[misc]
        print(f"{density:4.0%} active: emulator {by_spikes:.2f} us a step, "
              f"torch._int_mm {product:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
