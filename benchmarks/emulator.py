"""The emulator beside the interpreter and Lava on two networks: samples a second, ratios.

(a) 2312-512-256-10, 100 steps, 2 % of the inputs active; (b) 2x64x64, three convolutions with sum
pools between them, 256, 11, 50 steps, 1.5 %. Weights, events and thresholds are random, the latter
such that some percent of the hidden neurons fire. Rounds are interleaved; medians, single-thread
unless the line says 2. Lava's figure is one sample at a time, a graph for each, its making and
stopping included: that is how `verify` runs it.

    OMP_NUM_THREADS=1 python benchmarks/emulator.py [--rounds 5] [--no-lava]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator
from sast_compile.backends.lava import run as run_lava
from sast_compile.errors import BackendUnavailable
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Dense, Flatten, Input, Op
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.report.synops import synops

RATE = 0.05  # of the hidden neurons, about, in a step
SPIKE = Int(1, signed=False)


@dataclass(frozen=True)
class Workload:
    """A program, and events (samples, steps, *input shape)."""

    name: str
    program: Program
    events: np.ndarray


class _Chain:
    """A feed-forward program in the making, every layer in the step of its projection."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes, self.consts = [Node("x", Input(shape=shape))], dict[str, Const]()
        self.shape, self.layers = shape, 0

    def then(self, name: str, op: Op) -> None:
        element = Int(3, signed=False) if isinstance(self.nodes[-1].op, SumPool2d) else SPIKE
        self.shape = op.result(self.consts, TensorType(self.shape, element)).shape
        self.nodes.append(
            Node(name, op, (Edge(self.nodes[-1].name, int(isinstance(op, Dense | Conv2d))),))
        )

    def weight(self, *shape: int) -> Ref:
        name = f"w{self.layers}"
        data = np.clip(self.rng.normal(2, 30, shape).round(), -128, 127)
        self.consts[name] = Const(TensorType(shape, Int(8)), data)
        return Ref(name)

    def neurons(self) -> None:
        self.layers += 1
        op = loihi_neuron(self.shape, du=1024, dv=256, threshold=131071, start=self.layers)
        self.nodes.append(Node(f"n{self.layers}", op, (Edge(self.nodes[-1].name),)))

    def program(self, name: str, events: np.ndarray) -> Program:
        """With thresholds that let about `RATE` of each layer fire."""
        program = check(Program(name, tuple(self.nodes), (self.nodes[-1].name,), self.consts))
        for layer in program.neurons:
            low, high = 1, 131071
            while high > low * 1.05 + 1:  # the rate falls with the threshold
                middle = int((low * high) ** 0.5)
                tried = _with_threshold(program, layer, middle)
                often = reference.run(tried, events[:1])[layer].spikes.mean() > RATE
                low, high = (middle, high) if often else (low, middle)
            program = _with_threshold(program, layer, high)
        return program


def _with_threshold(program: Program, layer: str, threshold: int) -> Program:
    op = program.neurons[layer]
    fire = replace(op.fire, threshold=threshold)
    return program.with_ops({layer: replace(op, fire=fire)})


def dense_workload(samples: int) -> Workload:
    chain = _Chain((2312,))
    events = (chain.rng.random((samples, 100, 2312)) < 0.02).astype(np.uint8)
    for size in (512, 256, 10):
        chain.then(f"fc{chain.layers}", Dense(weight=chain.weight(size, chain.shape[0])))
        chain.neurons()
    return Workload("(a) dense", chain.program("a", events), events)


def conv_workload(samples: int) -> Workload:
    chain = _Chain((2, 64, 64))
    events = (chain.rng.random((samples, 50, 2, 64, 64)) < 0.015).astype(np.uint8)
    pads = ((1, 1), (1, 1))
    for channels in (16, 32, 64):
        if chain.layers:
            chain.then(f"pool{chain.layers}", SumPool2d(kernel=(2, 2), stride=(2, 2)))
        weight = chain.weight(channels, chain.shape[0], 3, 3)
        chain.then(f"conv{chain.layers}", Conv2d(weight=weight, padding=pads))
        chain.neurons()
    chain.then("pool", SumPool2d(kernel=(2, 2), stride=(2, 2)))
    chain.then("flat", Flatten())
    for size in (256, 11):
        chain.then(f"fc{chain.layers}", Dense(weight=chain.weight(size, chain.shape[0])))
        chain.neurons()
    return Workload("(b) convolutions", chain.program("b", events), events)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(work: Workload, rounds: int, with_lava: bool) -> None:
    """Prints the figures of one workload."""
    n, program = len(work.events), work.program
    built = seconds(lambda: Emulator(program, "outputs", 1))
    emulator, two = Emulator(program, "outputs", 1), Emulator(program, "outputs", 2)
    whole = reference.run(program, work.events)
    same = emulator.run(work.events)[program.outputs[0]].spikes
    assert np.array_equal(same, whole[program.outputs[0]].spikes)
    operations = sum(o.input + o.hidden for o in synops(program, work.events, whole)) / n
    peers: dict[str, Callable[[], float]] = {
        "emulator": lambda: n / seconds(lambda: emulator.run(work.events)),
        "emulator, 2 threads": lambda: n / seconds(lambda: two.run(work.events)),
        "interpreter": lambda: n / seconds(lambda: reference.run(program, work.events, "outputs")),
    }
    if with_lava:
        peers["Lava, a graph a sample"] = lambda: (
            1 / seconds(lambda: run_lava(program, work.events[:1], record="outputs"))
        )
    found: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            found[name].append(peer())
    rates = ", ".join(f"{k} {whole[k].spikes.mean():.3f}" for k in program.neurons)
    print(f"\n{work.name}: {n} samples, {operations / 1e6:.2f} M operations a sample; {rates}")
    print(f"emitted and compiled (or read from the cache) in {built:.2f} s; arena "
          f"{emulator.emitted.memory / 1e6:.1f} MB")  # fmt: skip
    base = statistics.median(found["emulator"])
    for name, values in found.items():
        middle = statistics.median(values)
        spread = f"{min(values):,.1f}..{max(values):,.1f}"
        print(f"{name:24} {middle:10,.1f} samples/s ({spread})  emulator / it: "
              f"{base / middle:,.1f}")  # fmt: skip
    print(f"emulator: {base * operations / 1e9:.1f} G operations a second")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description="the emulator beside its peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-lava", action="store_true")
    options = parser.parse_args()
    for work in (dense_workload(128), conv_workload(8)):
        try:
            measure(work, options.rounds, not options.no_lava)
        except BackendUnavailable as absent:
            print(f"Lava did not run: {absent}")
            measure(work, options.rounds, with_lava=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"peak memory of this process: {peak:.0f} MB")


if __name__ == "__main__":
    main()
