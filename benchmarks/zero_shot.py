"""Networks that only ever saw simulated digits, on the 1,000 real recordings of N-MNIST.

    OMP_NUM_THREADS=1 python benchmarks/zero_shot.py [--data DIR] [--seeds 3] [--models NAME ...]

The network is the folder's, its recipe the folder's `pretrain` stage run as the only stage:
`nmnist-sim` alone, the epoch kept by its validation split. `shift 2` is that recipe; its control
`shift 0` leaves out the moving of the events and nothing else. Both are measured on all recordings
1 to 1000, none of which was trained on or chosen by, and whose images the simulation leaves out;
`polarity swapped` is the hard network on the same recordings with their polarities exchanged, as a
second control. INT8 is the network in the integers of loihi2, or the words in which it is refused.

Accuracies in %, mean and standard deviation (n - 1) over seeds; the gain of moving with the 95 %
interval of Student's t. About 2 minutes a run on one core.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from msgspec.structs import replace

from sast_compile.catalog import shipped
from sast_compile.compile import lower
from sast_compile.data import Dataset, Split, dataset
from sast_compile.errors import CompileError
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.torch_to_nir import to_nir
from sast_compile.nn import Network, hard
from sast_compile.passes import Options
from sast_compile.report.statistics import paired
from sast_compile.report.totals import totals
from sast_compile.samples import samples_of
from sast_compile.target import load_target
from sast_compile.training.folder import read_description, training_data
from sast_compile.training.loop import TrainingData, fit
from sast_compile.training.measure import accuracy
from sast_compile.training.recipe import Augment, Recipe, read_recipe

MODELS = ("nmnist_mlp", "nmnist_mlp_zero")
TARGET, BITS = "loihi2", 8
COLUMNS = ("simulated validation, hard", "surrogate", "hard", "INT8 loihi2", "polarity swapped")


class Row(NamedTuple):
    """What one trained network made: accuracies in [0, 1] by the names in COLUMNS, and refusals."""

    accuracies: dict[str, float]
    refusals: set[str]


def main() -> None:
    """Trains, measures and prints: a line a run, then the table."""
    options = arguments()
    torch.set_num_threads(1)
    recorded = dataset("nmnist-1k", options.data)
    real = whole(recorded)
    first = recipe_of(options.models[0])
    data = training_data(first)
    print(f"{len(data.train.labels)} simulated to train, {len(data.validation.labels)} to choose; "
          f"{len(real.labels)} recorded to measure; seeds 0 to {options.seeds - 1}")  # fmt: skip
    found: dict[tuple[str, str], list[Row]] = {}
    for name in options.models:
        for variant, recipe in variants(recipe_of(name)).items():
            for seed in range(options.seeds):
                row = one(name, replace(recipe, seed=seed), data, real, recorded)
                found.setdefault((name, variant), []).append(row)
                numbers = "  ".join(f"{k} {100 * v:.2f}" for k, v in row.accuracies.items())
                print(f"{name}, {variant}, seed {seed}: {numbers}", flush=True)
    show(found, options.seeds)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="trained on simulated, measured on recorded")
    parser.add_argument("--data", type=Path, help="where nmnist-1k lies (or $SAST_DATA)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=MODELS)
    return parser.parse_args()


def whole(recorded: Dataset) -> Split:
    """All recordings of a set, the splits put together."""
    parts = [recorded.load(name) for name in ("train", "validation", "test")]
    return Split(*(np.concatenate([part[i] for part in parts]) for i in range(2)))


def recipe_of(name: str) -> Recipe:
    """The `pretrain` stage of a shipped model's recipe as the only stage, seed 0."""
    recipe, _ = read_recipe(shipped("models") / name / "recipe.toml")
    before = recipe.pretrain
    if before is None:
        raise SystemExit(f"{name} does not pre-train")
    return replace(recipe, dataset=before.dataset, epochs=before.epochs, batch=before.batch,
                   learning_rate=before.learning_rate, augment=before.augment,
                   pretrain=None)  # fmt: skip


def variants(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe and its control without the moving of the events, by name."""
    still = Augment(drop=recipe.augment.drop)
    return {f"shift {recipe.augment.shift}": recipe, "shift 0": replace(recipe, augment=still)}


def one(name: str, recipe: Recipe, data: TrainingData, real: Split, recorded: Dataset) -> Row:
    """One network, trained on simulated events and measured on recorded ones."""
    fitted = fit(read_description(shipped("models") / name), recipe, data)
    swapped = Split(np.ascontiguousarray(real.events[:, :, ::-1]), real.labels)
    fires = hard(fitted.network).double()
    row = Row({}, set())
    row.accuracies[COLUMNS[0]] = fitted.best.hard
    row.accuracies["surrogate"] = accuracy(fitted.network, real)
    row.accuracies["hard"] = accuracy(fires, real)
    try:
        row.accuracies["INT8 loihi2"] = integers(fitted.network, real, recorded)
    except CompileError as error:
        row.refusals.add(str(error))
    row.accuracies["polarity swapped"] = accuracy(fires, swapped)
    return row


def integers(network: Network, real: Split, recorded: Dataset) -> float:
    """The accuracy of the compiled network; CompileError where the target refuses it."""
    contract = network.contract(recorded.dt, recorded.encoding)
    floats = to_program(to_nir(network, contract), contract, "zero_shot")
    options = Options(BITS, real.events.shape[1], rounding="nearest")
    program = lower(floats, load_target(TARGET), options)[-1].program
    return totals(program, samples_of(program, real.events, "recorded", real.labels)).accuracy


def show(found: dict[tuple[str, str], list[Row]], seeds: int) -> None:
    """The table, and below it what the moving gained, and why a network was refused."""
    print(f"\n| {seeds} seeds | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (1 + len(COLUMNS)))
    for (name, variant), rows in found.items():
        cells = [cell([r.accuracies[c] for r in rows if c in r.accuracies]) for c in COLUMNS]
        print(f"| `{name}`, {variant} | " + " | ".join(cells) + " |")
    for name in {name: None for name, _ in found}:
        moved, still = ([row.accuracies["hard"] for row in rows] for (of, _), rows in found.items()
                        if of == name)  # fmt: skip
        gain = paired(moved, still)
        print(f"\n{name}, hard, moved - still, seed by seed: {100 * gain.mean:+.1f} "
              f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] points (95 %)")  # fmt: skip
    for why in sorted({why for rows in found.values() for row in rows for why in row.refusals}):
        print(f"\nrefused: {why}")


def cell(values: list[float]) -> str:
    """Mean and standard deviation in %; the latter only of several."""
    if not values:
        return "refused"
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
