"""One training step, side by side: ours plain, ours SAST, snnTorch, SpikingJelly.

    .venv/bin/python benchmarks/training_step.py [ROUNDS]

The network is 2312-200-10 with subtract reset (alpha 0.9), 20 steps, batch 128, events of density
5 %, Adam, one CPU thread. Everybody computes loss, gradient and update on the same events. Rounds
are interleaved; the ratio is the median of the rounds' ratios to our plain step.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sast_compile.nn import build
from sast_compile.training.sam import SAM

BATCH, STEPS, DENSITY = 128, 20, 0.05
NEURON = {"kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "subtract"}
NEURON |= {"reset_when": "after_decay", "surrogate": "atan", "slope": 2.0}
LAYERS = [
    {"name": "flatten", "kind": "flatten"},
    {"name": "fc1", "kind": "linear", "in_features": 2312, "out_features": 200},
    {"name": "lif1", **NEURON},
    {"name": "fc2", "kind": "linear", "in_features": 200, "out_features": 10},
    {"name": "lif2", **NEURON},
]
Step = Callable[[], object]


def ours(events: Tensor, labels: Tensor, rho: float) -> Step:
    """A step of our network, plain at rho = 0."""
    network = build(LAYERS, (2, 34, 34))
    optimizer = SAM(torch.optim.Adam(network.parameters(), lr=1e-3), rho)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(network(events).sum(dim=1), labels)
        loss.backward()
        return loss

    return lambda: optimizer.step(closure)


def snntorch_step(events: Tensor, labels: Tensor) -> Step:
    """A step of the same network in snnTorch, written as its tutorials do."""
    import snntorch
    from snntorch import surrogate

    layers = nn.ModuleList([nn.Linear(2312, 200, bias=False), nn.Linear(200, 10, bias=False)])
    gradient = surrogate.atan(alpha=2.0)
    leaky = [snntorch.Leaky(beta=0.9, spike_grad=gradient) for _ in layers]

    def forward() -> Tensor:
        x, counts = events.flatten(2).float(), torch.zeros(len(labels), 10)
        membranes = [neuron.init_leaky() for neuron in leaky]
        for t in range(STEPS):
            spikes = x[:, t]
            for at, layer in enumerate(layers):
                spikes, membranes[at] = leaky[at](layer(spikes), membranes[at])
            counts = counts + spikes
        return counts

    return _adam_step(layers, forward, labels)


def spikingjelly_step(events: Tensor, labels: Tensor) -> Step:
    """A step of the same network in SpikingJelly, multi-step mode, its torch back end."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def lif() -> nn.Module:
        return neuron.LIFNode(
            tau=10.0,
            decay_input=False,
            v_reset=None,
            surrogate_function=surrogate.ATan(2.0),
            step_mode="m",
        )

    network = nn.Sequential(
        layer.Linear(2312, 200, bias=False, step_mode="m"),
        lif(),
        layer.Linear(200, 10, bias=False, step_mode="m"),
        lif(),
    )

    def forward() -> Tensor:
        functional.reset_net(network)
        return network(events.flatten(2).float().transpose(0, 1)).sum(dim=0)

    return _adam_step(network, forward, labels)


def _adam_step(module: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Step:
    adam = torch.optim.Adam(module.parameters(), lr=1e-3)

    def step() -> None:
        adam.zero_grad()
        cross_entropy(forward(), labels).backward()
        adam.step()

    return step


def main(rounds: int) -> None:
    """Prints a table: milliseconds a step (median) and the ratio to our plain step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    events = (torch.rand(BATCH, STEPS, 2, 34, 34) < DENSITY).to(torch.uint8)
    labels = torch.randint(0, 10, (BATCH,))
    steps = {"ours, plain": ours(events, labels, 0.0), "ours, SAST": ours(events, labels, 0.05)}
    for name, make in (("snnTorch", snntorch_step), ("SpikingJelly", spikingjelly_step)):
        try:
            steps[name] = make(events, labels)
        except ImportError as error:
            print(f"{name} DID NOT RUN: {error}")
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if number:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    plain = seconds["ours, plain"]
    for name, times in seconds.items():
        ratio = statistics.median(t / p for t, p in zip(times, plain, strict=True))
        print(f"{name:14} {1e3 * statistics.median(times):7.1f} ms  {ratio:5.2f} x ours, plain")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
