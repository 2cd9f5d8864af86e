"""The loop: the same seed gives the same weights, and the hard validation accuracy chooses."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is torch's: the torch extra")

import torch
from msgspec.structs import replace

from sast_compile.data import Split
from sast_compile.errors import BadFile, CompileError
from sast_compile.nn import build, hard
from sast_compile.training import progress_file
from sast_compile.training.loop import Batch, Fitted, TrainingData, _loss, fit
from sast_compile.training.measure import accuracy, decisions, measure
from sast_compile.training.recipe import Augment, Pretrain, Recipe, controls

NEURON = {"kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "zero"}
NEURON |= {"reset_when": "before_decay"}
LAYERS: list[dict[str, Any]] = [
    {"name": "fc", "kind": "linear", "in_features": 6, "out_features": 3},
    {"name": "lif", **NEURON},
]
DEEP: list[dict[str, Any]] = [
    {"name": "fc0", "kind": "linear", "in_features": 6, "out_features": 8},
    {"name": "lif0", **NEURON},
    {"name": "fc", "kind": "linear", "in_features": 8, "out_features": 3},
    {"name": "lif", **NEURON},
]
RECIPE = Recipe(dataset="digits", seed=5, epochs=8, batch=16, learning_rate=0.05, rho=0.05)


def toy(seed: int) -> Split:
    """Three classes: class k has its events at inputs 2k and 2k + 1, and some noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=64)
    wanted = np.arange(6)[None, None] // 2 == labels[:, None, None]
    events = random.random((64, 6, 6)) < np.where(wanted, 0.7, 0.1)
    return Split(events.astype(np.uint8), labels)


DATA = TrainingData(toy(0), toy(1), toy(2))


def fitted(recipe: Recipe = RECIPE, layers: list[dict[str, Any]] = LAYERS) -> Fitted:
    return fit(layers, recipe, DATA)


def unclocked(result: Fitted) -> list[Any]:
    return [epoch._replace(seconds=0.0) for epoch in result.history]


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    first, again = fitted(), fitted()
    assert torch.equal(first.network.fc.weight, again.network.fc.weight)
    assert unclocked(first) == unclocked(again)
    other = fitted(Recipe(dataset="", seed=6, epochs=8, batch=16, learning_rate=0.05, rho=0.05))
    assert not torch.equal(first.network.fc.weight, other.network.fc.weight)


def test_the_weights_are_those_of_the_last_of_the_best_epochs() -> None:
    seen = []
    result = fit(LAYERS, RECIPE, DATA, report=seen.append)
    assert tuple(seen) == result.history
    assert [epoch.number for epoch in seen] == list(range(1, 9))
    top = max(epoch.hard for epoch in seen)
    assert result.best == [epoch for epoch in seen if epoch.hard == top][-1]
    assert accuracy(hard(result.network).double(), toy(1)) == top
    assert accuracy(result.network, toy(1)) == result.best.surrogate
    assert top > 0.8  # chance is a third
    assert seen[-1].loss < seen[0].loss


def test_equal_counts_are_decided_for_the_lowest_index() -> None:
    net = hard(build([{"name": "lif", **NEURON}], (4,)))
    events = np.zeros((2, 3, 4), dtype=np.uint8)
    events[1, :, 2:] = 1
    assert decisions(net, events).tolist() == [0, 2]


FULL = replace(
    RECIPE,
    slope_end=9.0,
    rho_warmup=0.3,
    second_batch=True,
    adaptive=True,
    clip_norm=1.0,
    activity_weight=0.1,
    activity_rate=0.2,
    initial_rate=0.2,
    augment=Augment(drop=0.1),
    pretrain=Pretrain(dataset="digits", epochs=3, learning_rate=0.05, batch=32),
)


def test_every_part_of_a_recipe_runs_and_the_kept_slope_is_the_measured_one() -> None:
    result = fitted(FULL, DEEP)
    assert [(e.stage, e.number) for e in result.history] == [
        *(("pretrain", n) for n in (1, 2, 3)),
        *(("train", n) for n in range(1, 9)),
    ]
    assert accuracy(result.network, toy(1)) == result.best.surrogate
    slope = result.network.neurons()["lif"].slope
    assert slope == pytest.approx(5 * (9 / 5) ** ((3 + result.best.number - 1) / 10))
    assert result.network.description()[-1]["slope"] == slope
    assert measure(hard(result.network).double(), toy(1)).rates == result.best.rates


def test_patience_ends_a_stage() -> None:
    stuck = fitted(replace(RECIPE, learning_rate=1e-9, epochs=50, patience=3))
    assert len(stuck.history) == 1 + 3  # equal is no better; but of equals the last is kept
    assert stuck.best.number == 4


@pytest.mark.parametrize("name", ["plain", "compute_matched", "annealed", "straight_through"])
def test_the_controls_train(name: str) -> None:
    recipe = controls(RECIPE)[name]
    result = fitted(recipe)
    assert result.best.hard > 0.6
    assert len(result.history) == (16 if name == "compute_matched" else 8)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    import test_loop as t
    from sast_compile.training.loop import fit

    def die(epoch):
        if len(Path({file!r}).read_bytes()) and (epoch.stage, epoch.number) == {at!r}:
            os.kill(os.getpid(), signal.SIGKILL)

    fit(t.DEEP, t.FULL, t.DATA, checkpoint=Path({file!r}), report=die)
"""


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(("pretrain", 2), marks=pytest.mark.slow),
        ("pretrain", 3),
        pytest.param(("train", 5), marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, at: Any) -> None:
    file = tmp_path / "progress.pt"
    script = textwrap.dedent(KILLED).format(here=str(Path(__file__).parent), file=str(file), at=at)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    resumed = fit(DEEP, FULL, DATA, checkpoint=file)
    whole = fitted(FULL, DEEP)
    assert torch.equal(resumed.network.fc.weight, whole.network.fc.weight)
    assert unclocked(resumed) == unclocked(whole)


def test_the_progress_of_another_recipe_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "progress.pt"
    fit(LAYERS, RECIPE, DATA, checkpoint=file)
    with pytest.raises(BadFile, match=r"another recipe, model, seed or data.*--fresh"):
        fit(LAYERS, replace(RECIPE, seed=9), DATA, checkpoint=file)
    file.write_bytes(b"junk")
    with pytest.raises(BadFile, match=r"no interrupted training.*--fresh"):
        fit(LAYERS, RECIPE, DATA, checkpoint=file)


@pytest.mark.parametrize("part", ["train", "validation", "pretrain"])
def test_a_training_is_not_taken_up_on_other_data(tmp_path: Path, part: str) -> None:
    file = tmp_path / "progress.pt"
    fit(LAYERS, RECIPE, DATA, checkpoint=file)
    split = getattr(DATA, part)
    relabelled = split._replace(labels=np.roll(split.labels, 1))
    darker = split._replace(events=split.events * (np.arange(6) > 0).astype(np.uint8))
    fewer = Split(split.events[:-1], split.labels[:-1])
    for other in (relabelled, darker, fewer):
        with pytest.raises(BadFile, match="another recipe, model, seed or data"):
            fit(LAYERS, RECIPE, DATA._replace(**{part: other}), checkpoint=file)
    same = TrainingData(*(Split(s.events.copy(), s.labels.copy()) for s in DATA if s))
    assert progress_file.key(LAYERS, RECIPE, same) == progress_file.key(LAYERS, RECIPE, DATA)
    assert fit(LAYERS, RECIPE, same, checkpoint=file).history


def test_every_batch_is_heard_with_the_loss_so_far() -> None:
    heard: list[tuple[Batch, float]] = []
    recipe = replace(RECIPE, epochs=2, batch=24, pretrain=FULL.pretrain)
    result = fit(LAYERS, recipe, DATA, watch=lambda batch: heard.append((batch, batch.loss)))
    at = [(batch.stage, batch.epoch, batch.number, batch.batches) for batch, _ in heard]
    pretrain = [("pretrain", epoch, number, 2) for epoch in (1, 2, 3) for number in (1, 2)]
    assert at == pretrain + [("train", epoch, n, 3) for epoch in (1, 2) for n in (1, 2, 3)]
    ends = [loss for batch, loss in heard if batch.number == batch.batches]
    assert ends == [epoch.loss for epoch in result.history]
    assert torch.equal(result.network.fc.weight, fitted(recipe).network.fc.weight)


def test_the_activity_of_the_output_layer_is_left_alone() -> None:
    events, labels = (torch.from_numpy(part) for part in toy(0))
    torch.manual_seed(0)
    net = build(DEEP, (6,))
    recipe = replace(RECIPE, activity_weight=10.0, activity_rate=0.9)
    rate = net.states(events)["lif0"].spikes.mean()
    penalty = _loss(net, recipe, events, labels) - _loss(net, RECIPE, events, labels)
    assert penalty.item() == pytest.approx(10 * (rate.item() - 0.9) ** 2, rel=1e-4)
    with pytest.raises(CompileError, match=r"recipe: activity_weight pulls.*hidden.*leave"):
        fit(LAYERS, recipe, DATA)


def test_weight_decay_shrinks_weights_apart_from_the_gradient() -> None:
    # the gradient's share is 1e-3 a step, whatever its size: L2 inside Adam would vanish in it
    def end(decay: float) -> torch.Tensor:
        recipe = replace(RECIPE, epochs=1, batch=64, rho=0.0, learning_rate=1e-3)
        return fitted(replace(recipe, weight_decay=decay)).network.fc.weight

    torch.manual_seed(RECIPE.seed)
    start = build(LAYERS, (6,)).fc.weight
    assert torch.allclose(end(0.0) - end(1.0), 1e-3 * start, atol=1e-7)
