"""What rounding to the chip's integers costs, for our pass and for the rules of other tools.

    OMP_NUM_THREADS=1 python benchmarks/quantization.py [--split validation|test] [--bits 8 4 3 2]
        [--models NAME ...] [--seeds 3] [--target loihi2] [--methods NAME ...] [--by-model]

The float hard-spike network (L1) against its integers (L3), on the same samples. Settings are
chosen on `validation`; `test` is for the table in docs/quantization.md. A shipped model is seed 0;
of those in SEEDED more seeds are trained by the folder's recipe, into $SAST_CACHE. Lost: points of
accuracy, L1 - L3, over all decisions, with a 95 % interval whose spread is taken over samples (the
networks of one data set share them), and the exact p of McNemar's test. Kept: hidden spikes of L1
that are spikes of L3, matched over union, on the first AGREEMENT samples of each network.

The rules of other tools are written here from their definitions, for the weights' scale and
rounding alone: thresholds and leaks are then the chip's, by our passes, each to the nearest.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from sast_compile.catalog import shipped
from sast_compile.compare import agreement, decisions
from sast_compile.compile import compile_model, lower
from sast_compile.data import Split, load_dataset
from sast_compile.execute import execute
from sast_compile.files import cache_folder
from sast_compile.frontend.source import Source, read_source
from sast_compile.ir.ops import Projection
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.levels import hard_spikes
from sast_compile.passes import PASSES, Options
from sast_compile.passes.feeders import feeders
from sast_compile.target import Target, load_target
from sast_compile.training.folder import train_folder

Array: TypeAlias = npt.NDArray[Any]
SEEDED = ("digits", "digits_paper", "digits_recurrent", "digits_subtract", "nmnist_sim_mlp")
MODELS = (*SEEDED, "nmnist_mlp_zero", "nmnist_mlp", "nmnist_gap", "nmnist_sim_conv",
          "gesture_sim_conv")  # fmt: skip
AGREEMENT = 500
PORTION = 500


class Net(NamedTuple):
    """One trained network, the samples, and what its float hard-spike model makes of them."""

    name: str
    path: Path
    source: Source
    split: Split
    right: Array  # L1, by sample
    spikes: dict[str, Array]  # L1, of the first samples


class Outcome(NamedTuple):
    """One network at some bits by one method."""

    net: Net
    right: Array  # L3, by sample
    matched: int
    union: int
    seconds: float


# ---- the rules of other tools: a scale for each row (rows, 1), and the least and greatest integer

Rule: TypeAlias = Callable[[Array, int], tuple[Array, int, int]]


def max_abs(rows: Array, bits: int) -> tuple[Array, int, int]:
    """The largest weight of the tensor is the largest integer."""
    most = 2 ** (bits - 1) - 1
    return np.full((len(rows), 1), np.abs(rows).max() / most), -most, most


def power_of_two(rows: Array, bits: int) -> tuple[Array, int, int]:
    """snn-mlir: the least power of two under which no weight is clipped, one for the tensor."""
    most = 2 ** (bits - 1) - 1
    scale = 2.0 ** math.ceil(math.log2(np.abs(rows).max() / most))
    return np.full((len(rows), 1), scale), -most - 1, most


def channel_quantize(rows: Array, bits: int) -> tuple[Array, int, int]:
    """Rockpool: max-abs for each neuron, whose threshold is scaled with its weights."""
    most = 2 ** (bits - 1) - 1
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.where(largest > 0, largest, 1.0) / most, -most, most


def discretize(rows: Array, bits: int) -> tuple[Array, int, int]:
    """sinabs: as far as the weights go on the side, of -2^(b-1) or 2^(b-1) - 1, that ends first."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = max(rows.min() / low, rows.max() / high)
    return np.full((len(rows), 1), scale), low, high


def lava_dl(rows: Array, bits: int) -> tuple[Array, int, int]:
    """lava-dl: one step for every net, 2 / 64 at 8 bits, and twice as much for each bit less."""
    return np.full((len(rows), 1), 2.0 ** (8 - bits) / 32), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


RULES: dict[str, Rule] = {
    "max-abs": max_abs,
    "power of two": power_of_two,
    "Rockpool": channel_quantize,
    "sinabs": discretize,
    "lava-dl": lava_dl,
}
OURS: dict[str, dict[str, Any]] = {
    "ours, nearest": {"rounding": "nearest"},
    "ours": {},
    "ours, calibrated": {"calibrate": "train"},
}


def main() -> None:
    """Measures and prints: a line a network, method and width, then the table."""
    options = arguments()
    torch.set_num_threads(1)
    target = load_target(options.target)
    found: dict[tuple[int, str], list[Outcome]] = {}
    for net in nets(options.models, options.seeds, options.split):
        for bits in options.bits:
            for method in options.methods:
                outcome = measured(net, method, bits, target)
                found.setdefault((bits, method), []).append(outcome)
                if options.by_model:
                    print(f"| {net.name} | {bits} | {method} | {cells([outcome])} |", flush=True)
    print(f"\n{options.target}, {options.split} split\n")
    print("| bits | method | n | L1 % | L3 % | lost, points [95 %] | McNemar p | mean over nets "
          "| hidden kept % | compile s, most |\n|" + "---|" * 10)  # fmt: skip
    for (bits, method), outcomes in found.items():
        print(f"| {bits} | {method} | {cells(outcomes)} |")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="what rounding to the chip's integers costs")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--bits", type=int, nargs="+", default=(8, 4, 3, 2))
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seeds", type=int, default=3, help="of the models that are trained here")
    parser.add_argument("--target", default="loihi2")
    parser.add_argument("--methods", nargs="+", default=(*RULES, *OURS))
    parser.add_argument("--by-model", action="store_true")
    return parser.parse_args()


def nets(models: list[str], seeds: int, part: str) -> Iterator[Net]:
    """Every network, trained if it is not there yet."""
    for name in models:
        for seed in range(seeds if name in SEEDED else 1):
            path = checkpoint(name, seed)
            source = read_source(path)
            assert source.dataset is not None
            split = load_dataset(source.dataset, part)
            yield Net(f"{name} {seed}", path, source, split, *floats(source, split))


def checkpoint(name: str, seed: int) -> Path:
    """The shipped checkpoint, or that of another seed in the cache."""
    if seed == 0:
        return shipped("models") / name / "model.pt"
    folder = cache_folder() / "nets" / f"{name}-{seed}"
    if not (folder / "model.pt").exists():
        print(f"training {name}, seed {seed}", flush=True)
        train_folder(shipped("models") / name, out=folder, seed=seed, device="cpu")
    return folder / "model.pt"


def floats(source: Source, split: Split) -> tuple[Array, dict[str, Array]]:
    """L1: which decisions are right, and the spikes of the first samples; kept in the cache."""
    key = hashlib.sha256(f"{source.sha256} {split.events.shape}".encode()).hexdigest()[:16]
    path = cache_folder() / f"l1-{key}.npz"
    (output,) = source.program.outputs
    if not path.exists():
        right, kept = [], {}
        for at in range(0, len(split.labels), PORTION):
            spikes = hard_spikes(source, split.events[at : at + PORTION])
            assert spikes is not None
            right.append(decisions(spikes[output]) == split.labels[at : at + PORTION])
            kept = kept or dict(spikes)
        np.savez_compressed(path, right=np.concatenate(right), **kept)
    with np.load(path) as stored:
        spikes = {k: stored[k][:AGREEMENT] for k in stored.files if k != "right"}
        return stored["right"], spikes


def measured(net: Net, method: str, bits: int, target: Target) -> Outcome:
    """``net`` in the integers that ``method`` makes of it."""
    started = time.perf_counter()
    if method in RULES:
        program = by_rule(net, RULES[method], bits, target)
    else:
        artifact = compile_model(net.path, target.name, bits, **OURS[method]).artifact
        assert artifact is not None
        program = artifact.program
    seconds = time.perf_counter() - started
    (output,) = program.outputs
    right, matched, union = [], 0, 0
    for at in range(0, len(net.split.labels), PORTION):
        trace = execute(program, net.split.events[at : at + PORTION])
        right.append(decisions(trace[output].spikes) == net.split.labels[at : at + PORTION])
        if at < AGREEMENT:
            spikes = {name: layer.spikes for name, layer in trace.layers.items()}
            layers = [a for a in agreement(net.spikes, spikes) if a.layer != output]
            matched, union = (sum(getattr(a, k) for a in layers) for k in ("matched", "union"))
    return Outcome(net, np.concatenate(right), matched, union, seconds)


def by_rule(net: Net, rule: Rule, bits: int, target: Target) -> Program:
    """The network with another tool's weights, and the rest by our passes, to the nearest."""
    options = Options(bits, net.split.events.shape[1], rounding="nearest")
    program = net.source.program
    before = target.passes[: target.passes.index("quantize_weights")]
    for name in before:
        program = PASSES[name](program, target, options).program
    for name in program.neurons:
        program = program.with_ops({}, weights(program, name, rule, bits))
    return lower(program, target, options)[-1].program


def weights(program: Program, name: str, rule: Rule, bits: int) -> dict[str, Const]:
    """The integers of the projections that drive ``name``, scaled together."""
    names = [op.weight.name for f in feeders(program, name)
             if isinstance(op := program.by_name[f].op, Projection)]  # fmt: skip
    data = {key: program.consts[key].data for key in names}
    flat = {key: d.reshape(len(d), -1) for key, d in data.items()}
    scale, low, high = rule(np.concatenate(list(flat.values()), axis=1), bits)
    worth = float(scale[0, 0]) if (scale == scale[0]).all() else tuple(scale.ravel().tolist())
    return {
        key: Const(
            TensorType(data[key].shape, Int(bits), worth),
            np.clip(np.rint(flat[key] / scale), low, high).reshape(data[key].shape),
        )
        for key in names
    }


def cells(outcomes: list[Outcome]) -> str:
    """The numbers of a row: over all decisions, and the mean over networks."""
    n = sum(len(o.right) for o in outcomes)
    first, last = (sum(int(r.sum()) for r in rights) for rights in
                   ([o.net.right for o in outcomes], [o.right for o in outcomes]))  # fmt: skip
    half = 1.96 * spread(outcomes) / n
    worse = sum(int((o.net.right & ~o.right).sum()) for o in outcomes)
    better = sum(int((~o.net.right & o.right).sum()) for o in outcomes)
    by_net = np.mean([o.net.right.mean() - o.right.mean() for o in outcomes])
    lost = (first - last) / n
    kept = sum(o.matched for o in outcomes) / max(sum(o.union for o in outcomes), 1)
    points = f"{100 * lost:+.2f} [{100 * (lost - half):+.2f}, {100 * (lost + half):+.2f}]"
    levels = f"{n:,} | {100 * first / n:.2f} | {100 * last / n:.2f} | {points}"
    tests = f"{mcnemar(worse, better):.2g} | {100 * by_net:+.2f}"
    return f"{levels} | {tests} | {100 * kept:.1f} | {max(o.seconds for o in outcomes):.1f}"


def spread(outcomes: list[Outcome]) -> float:
    """The standard error of the sum of all differences; those of one sample are added first."""
    by_data: dict[str | None, Array] = {}
    for o in outcomes:
        difference = o.net.right.astype(int) - o.right
        key = o.net.source.dataset
        by_data[key] = by_data.get(key, 0) + difference
    return math.sqrt(sum(float(d.var() * len(d)) for d in by_data.values()))


def mcnemar(worse: int, better: int) -> float:
    """The exact two-sided p of McNemar's test: the discordant decisions under a fair coin."""
    n, k = worse + better, min(worse, better)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return min(1.0, 2 * tail)


if __name__ == "__main__":
    main()
