"""The first linear layer, forward and backward, event by event and dense, by the share of events.

Shows where the two cross: the constant `sast_compile.nn.event_linear.DENSEST`. The dense product
is charged for turning uint8 into floats, as a step of training does. Rounds are interleaved, and
the ratio is the median over the rounds of each round's own, so that a busy machine slows both.

    OMP_NUM_THREADS=1 python benchmarks/event_linear.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import pairwise

import torch
from torch import Tensor

from sast_compile.nn import event_linear as module

# (batch, steps, inputs, outputs) of the first layers of nmnist_mlp and of digits
LAYERS = ((128, 20, 2312, 200), (64, 16, 200, 128))
SHARES = (0.01, 0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3)


def main() -> None:
    """Prints a table a layer, and where its ratio passes 1."""
    parser = argparse.ArgumentParser(description="event by event against dense")
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for batch, steps, inputs, outputs in LAYERS:
        print(f"{inputs} to {outputs}, {batch} x {steps} rows, 1 thread, {rounds} rounds, medians")
        print(f"{'share':>6}{'events ms':>11}{'dense ms':>10}{'ratio':>7}")
        weight = torch.randn(outputs, inputs, requires_grad=True)
        toward = torch.randn(batch, steps, outputs)
        ratios = []
        for share in SHARES:
            events = (torch.rand(batch, steps, inputs) < share).to(torch.uint8)
            sparse, dense = compared(events, weight, toward, rounds)
            ratios.append(statistics.median(a / b for a, b in zip(sparse, dense, strict=True)))
            times = (1e3 * statistics.median(seconds) for seconds in (sparse, dense))
            print("{:6.2f}{:11.2f}{:10.2f}{:7.2f}".format(share, *times, ratios[-1]))
        print(f"equally fast at a share of {crossing(ratios)}")
    print(f"event by event runs below DENSEST = {module.DENSEST}")


def compared(
    events: Tensor, weight: Tensor, toward: Tensor, rounds: int
) -> tuple[list[float], list[float]]:
    """The seconds of every round, event by event and dense."""
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
    return times[1.1], times[0.0]


def crossing(ratios: list[float]) -> str:
    """Where the ratio first passes 1, on straight lines between the shares."""
    for (x, a), (y, b) in pairwise(zip(SHARES, ratios, strict=True)):
        if a < 1 <= b:
            return f"{x + (1 - a) / (b - a) * (y - x):.2f}"
    return "none of these"


if __name__ == "__main__":
    main()
