"""The first linear layer, forward and backward, event by event and dense, over the share of events.

Prints where the two cross: the constant `sast_compile.nn.event_linear.DENSEST`. The dense product is
charged for turning uint8 into floats, as a step of training does. Rounds are interleaved.

    OMP_NUM_THREADS=1 python benchmarks/event_linear.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor

from sast_compile.nn import event_linear as module

BATCH, STEPS, INPUTS, OUTPUTS = 128, 20, 2312, 200
DENSITIES = (0.01, 0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.3)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="event by event against dense")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    weight = torch.randn(OUTPUTS, INPUTS, requires_grad=True)
    toward = torch.randn(BATCH, STEPS, OUTPUTS)
    print(f"{INPUTS} to {OUTPUTS}, {BATCH} x {STEPS} rows, 1 thread, {rounds} rounds, medians")
    print(f"{'share':>6}{'events ms':>11}{'dense ms':>10}{'ratio':>7}")
    for density in DENSITIES:
        events = (torch.rand(BATCH, STEPS, INPUTS) < density).to(torch.uint8)
        sparse, dense = compared(events, weight, toward, rounds)
        print(f"{density:6.2f}{1e3 * sparse:11.1f}{1e3 * dense:10.1f}{sparse / dense:7.2f}")
    print(f"event by event runs below {module.DENSEST}")


def compared(events: Tensor, weight: Tensor, toward: Tensor, rounds: int) -> tuple[float, float]:
    """Median seconds event by event and dense."""
    times: dict[float, list[float]] = {1.1: [], 0.0: []}  # DENSEST that forces one or the other
    chosen = module.DENSEST
    try:
        for lap in range(rounds + 1):
            for densest, seconds in times.items():
                module.DENSEST = densest
                started = time.perf_counter()
                out = module.event_linear(events, weight, None)
                torch.autograd.grad(out, weight, toward)
                if lap:  # the first is the warm-up
                    seconds.append(time.perf_counter() - started)
    finally:
        module.DENSEST = chosen
    sparse, dense = (statistics.median(seconds) for seconds in times.values())
    return sparse, dense


if __name__ == "__main__":
    main()
