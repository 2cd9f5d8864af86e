"""One training step of a 2312-200-10 network: ours (plain, SAST), snnTorch and SpikingJelly.

Every library runs one network: the same weights, LIF neurons (alpha 0.9, theta 1, zero reset),
atan surrogate with k = 2, cross-entropy on the summed output spikes, Adam; it is checked that all
that fire hard start from the same loss. Ours trains smooth in its plain and SAST step;
`straight_through` is the gradient that the other two take. Ours gets the events as uint8, as a data
loader holds them; the others get floats, converted beforehand. Both foreign networks apply a linear
layer to all steps in one call, which is faster than their tutorials' loop over steps ("step by
step" is that loop). Rounds are interleaved, so that a busy machine slows everybody alike.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py [--rounds 15] [--density 0.03]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sast_compile.nn import build, set_mode
from sast_compile.training.sam import SAM

INPUTS, HIDDEN, CLASSES = 2312, 200, 10
ALPHA, THETA, SLOPE, RATE, RHO = 0.9, 1.0, 2.0, 1e-3, 0.05
Forward = Callable[[Tensor], Tensor]
Step = Callable[[], float]


def main() -> None:
    """Prints the table."""
    options = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = (options.batch, options.steps, INPUTS)
    events = (torch.rand(shape) < options.density).to(torch.uint8)
    labels = torch.randint(CLASSES, (options.batch,))
    steps = contestants(events, labels)
    first = {name: step() for name, step in steps.items()}  # also the warm-up
    check_same_network(first)
    show(interleaved(steps, options.rounds), options)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="times of one training step")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--density", type=float, default=0.03, help="share of inputs that fire")
    return parser.parse_args()


def contestants(events: Tensor, labels: Tensor) -> dict[str, Step]:
    """One closure a contestant: it takes a whole training step and returns the loss before it."""
    floats = events.float()
    steps = {
        "ours, plain": plain(ours("surrogate"), events, labels),
        "ours, SAST": sast(ours("surrogate"), events, labels),
        "ours, plain, dense input": plain(ours("surrogate"), floats, labels),
        "ours, straight_through": plain(ours("straight_through"), events, labels),
    }
    foreign = {
        "snnTorch": ("snntorch", lambda: SnnTorch(over_time=True)),
        "snnTorch, step by step": ("snntorch", lambda: SnnTorch(over_time=False)),
        "SpikingJelly": ("spikingjelly", SpikingJelly),
    }
    for name, (package, make) in foreign.items():
        try:
            network = make()
        except ImportError as error:
            print(f"SKIPPED {name}: {error} (pip install {package})", file=sys.stderr)
            continue
        steps[name] = plain(network, floats, labels)
    return steps


def plain(network: nn.Module, events: Tensor, labels: Tensor) -> Step:
    """A step of Adam."""
    adam = torch.optim.Adam(network.parameters(), RATE)

    def step() -> float:
        adam.zero_grad()
        loss = cross_entropy(network(events).sum(dim=1), labels)
        loss.backward()
        adam.step()
        return loss.item()

    return step


def sast(network: nn.Module, events: Tensor, labels: Tensor) -> Step:
    """A step of Adam inside SAM."""
    sam = SAM(torch.optim.Adam(network.parameters(), RATE), RHO)

    def closure() -> Tensor:
        sam.zero_grad()
        loss = cross_entropy(network(events).sum(dim=1), labels)
        loss.backward()
        return loss

    return lambda: float(sam.step(closure).item())


def linears() -> tuple[nn.Linear, nn.Linear]:
    """The two layers of weights, the same for everybody."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = nn.Linear(INPUTS, HIDDEN, bias=False)
        second = nn.Linear(HIDDEN, CLASSES, bias=False)
    with torch.no_grad():  # as much drive as a trained network has: 1 % to 10 % of neurons fire
        first.weight.mul_(6)
        second.weight.mul_(6)
    return first, second


def ours(mode: str) -> nn.Module:
    """The network as sast_compile.nn builds it."""
    lif = {"kind": "lif", "alpha": ALPHA, "threshold": THETA, "reset": "zero"}
    lif |= {"reset_when": "before_decay", "surrogate": "atan", "slope": SLOPE}
    network = build(
        [
            {"name": "fc1", "kind": "linear", "in_features": INPUTS, "out_features": HIDDEN},
            {"name": "lif1", **lif},
            {"name": "fc2", "kind": "linear", "in_features": HIDDEN, "out_features": CLASSES},
            {"name": "lif2", **lif},
        ],
        (INPUTS,),
    )
    for name, layer in zip(("fc1", "fc2"), linears(), strict=True):
        network.get_submodule(name).load_state_dict(layer.state_dict())
    set_mode(network, mode)
    return network


class SnnTorch(nn.Module):
    """The network in snnTorch: a Python loop over steps calls `Leaky`."""

    def __init__(self, *, over_time: bool) -> None:
        super().__init__()
        import snntorch

        neuron = {"beta": ALPHA, "threshold": THETA, "reset_mechanism": "zero"}
        neuron["spike_grad"] = snntorch.surrogate.atan(alpha=SLOPE)
        self.over_time = over_time
        self.fc1, self.fc2 = linears()
        self.lif1, self.lif2 = snntorch.Leaky(**neuron), snntorch.Leaky(**neuron)

    def forward(self, events: Tensor) -> Tensor:
        """The output spikes (batch, T, n)."""
        if self.over_time:
            return looped(self.lif2, self.fc2(looped(self.lif1, self.fc1(events))))
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        out = []
        for now in events.unbind(dim=1):
            hidden, mem1 = self.lif1(self.fc1(now), mem1)
            spikes, mem2 = self.lif2(self.fc2(hidden), mem2)
            out.append(spikes)
        return torch.stack(out, dim=1)


def looped(neuron: nn.Module, current: Tensor) -> Tensor:
    """The spikes of a `Leaky` over all steps of ``current`` (batch, T, n)."""
    membrane, out = neuron.init_leaky(), []
    for now in current.unbind(dim=1):
        spikes, membrane = neuron(now, membrane)
        out.append(spikes)
    return torch.stack(out, dim=1)


class SpikingJelly(nn.Module):
    """The network in SpikingJelly, in its multi-step mode (T, batch, n)."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from spikingjelly.activation_based import functional, neuron, surrogate

        lif = {"tau": 1 / (1 - ALPHA), "decay_input": False, "v_threshold": THETA, "v_reset": 0.0}
        lif |= {"surrogate_function": surrogate.ATan(alpha=SLOPE), "step_mode": "m"}
        self.fc1, self.fc2 = linears()
        self.lif1, self.lif2 = neuron.LIFNode(**lif), neuron.LIFNode(**lif)
        self.forget = functional.reset_net

    def forward(self, events: Tensor) -> Tensor:
        """The output spikes (batch, T, n)."""
        self.forget(self)
        hidden = self.lif1(self.fc1(events.transpose(0, 1)))
        return self.lif2(self.fc2(hidden)).transpose(0, 1)


def check_same_network(losses: dict[str, float]) -> None:
    """Stops unless all that fire hard have the same loss: else the times compare nothing."""
    fires_hard = [name for name in losses if "plain" not in name and "SAST" not in name]
    for name in fires_hard:
        if abs(losses[name] - losses[fires_hard[0]]) > 1e-3:
            sys.exit(f"not the same network: losses {losses}")


def interleaved(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds of every step, in rounds that let each take one."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def show(seconds: dict[str, list[float]], options: argparse.Namespace) -> None:
    """Medians, and the median over the rounds of the ratio to our plain step."""
    versions = ", ".join(f"{name} {found(name)}" for name in ("torch", "snntorch", "spikingjelly"))
    print(
        f"{INPUTS}-{HIDDEN}-{CLASSES}, batch {options.batch}, T = {options.steps}, "
        f"{options.density:.0%} of the inputs fire, 1 thread, {options.rounds} rounds; {versions}"
    )
    print(f"{'':26}{'median ms':>10}{'ratio':>8}   of rounds: least, most")
    base = seconds["ours, plain"]
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, base, strict=True)]
        print(
            f"{name:26}{1e3 * statistics.median(times):10.1f}{statistics.median(ratios):8.2f}"
            f"   {min(ratios):.2f}, {max(ratios):.2f}"
        )


def found(package: str) -> str:
    """The installed version, or "absent"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    main()
