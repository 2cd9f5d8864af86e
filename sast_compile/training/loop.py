"""The SAST loop: train smooth, choose by hard.

The loss is cross-entropy on the summed output of the last layer; AdamW inside SAM, the learning
rate by cosine toward zero in each stage. After every epoch the *hard* network, which is the one
that will be compiled, is measured on the validation split (the recipe's own, in the pretraining
too); a stage ends with the weights of its best epoch, and the next begins with them. In the
hardware stage all of that is done with the network as the chip computes it. The test split is not
an argument.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sast_compile.data import Split
from sast_compile.errors import CompileError, TargetLimit
from sast_compile.nn.modes import hard, set_mode
from sast_compile.nn.network import Network, build
from sast_compile.target import load_target
from sast_compile.training import progress_file
from sast_compile.training.augment import augmented
from sast_compile.training.hardware import Registers, put, registers, snapped
from sast_compile.training.initial import scale_to_rate
from sast_compile.training.measure import measure
from sast_compile.training.recipe import Recipe
from sast_compile.training.sam import SAM
from sast_compile.training.stages import Stage, learning_rate, rho_at, slopes_at, stages

Report = Callable[["Epoch"], None]
Watch = Callable[["Batch"], None]


class Epoch(NamedTuple):
    """One epoch of a stage: training loss, validation accuracies in [0, 1], hard firing rates.

    In the stage ``hardware`` they are those of the snapped network.
    """

    stage: str
    number: int  # from 1, in its stage
    loss: float
    surrogate: float
    hard: float
    rates: dict[str, float]
    seconds: float


class Batch(NamedTuple):
    """One batch as it is done: the ``number``-th (from 1) of ``batches`` in the epoch that runs."""

    stage: str
    epoch: int  # from 1, in its stage
    number: int
    batches: int
    losses: list[Tensor]  # of the epoch so far, each without axes, wherever the network is

    @property
    def loss(self) -> float:
        """The mean loss of the epoch so far; waits for the device, so ask now and then only."""
        return float(torch.stack(self.losses).mean())


class Fitted(NamedTuple):
    """The network of the last stage's best epoch, in smooth mode, and what every epoch measured.

    Its weights are floats after a hardware stage too: the compiler finds the integers in them.
    """

    network: Network
    best: Epoch
    history: tuple[Epoch, ...]


class TrainingData(NamedTuple):
    """What a fit may see: two splits of the recipe's data set, and what it is pre-trained on."""

    train: Split
    validation: Split
    pretrain: Split | None = None


class _Around(NamedTuple):
    """Where a fit keeps itself, under which key, and who hears of it."""

    checkpoint: Path | None
    key: str
    report: Report
    watch: Watch


@dataclass
class _Run:
    """Everything that changes from epoch to epoch, which is what a progress file holds."""

    network: Network
    draws: torch.Generator
    slopes: dict[str, float]  # of the fresh network's surrogates
    stage: int = 0
    epoch: int = 0  # finished ones of this stage
    optimizer: dict[str, Any] | None = None
    history: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)


def fit(
    description: list[dict[str, Any]],
    recipe: Recipe,
    data: TrainingData,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    report: Report = lambda epoch: None,
    watch: Watch = lambda batch: None,
) -> Fitted:
    """The network trained by ``recipe``; the same arguments give the same weights on one CPU.

    With a ``checkpoint`` every finished epoch is kept there, whole, and a fit that was killed goes
    on from it to the weights that it would have had. Of equally good epochs the last is kept.
    ``report`` hears of every finished epoch, ``watch`` of every batch.
    """
    run = _started(description, recipe, data, device)
    key = progress_file.key(description, recipe, data)
    around = _Around(checkpoint, key, report, watch)
    if checkpoint is not None:
        _take_up(run, progress_file.read(checkpoint, key, device))
    plan = stages(recipe)
    while run.stage < len(plan):
        stage = plan[run.stage]
        _run_stage(run, recipe, stage, data, around)
        run.network.load_state_dict(run.kept)
        if run.stage + 1 < len(plan):
            run.best, run.epoch, run.optimizer = None, 0, None
        run.stage += 1
    assert run.best is not None  # a stage has at least one epoch
    slopes = slopes_at(run.slopes, recipe, plan[-1], run.best.number - 1)
    final = build(_with_slopes(description, slopes), data.train.events.shape[2:])
    final.load_state_dict({name: value.cpu() for name, value in run.kept.items()})
    return Fitted(final, run.best, tuple(run.history))


def _started(
    description: list[dict[str, Any]], recipe: Recipe, data: TrainingData, device: str
) -> _Run:
    torch.manual_seed(recipe.seed)
    network = build(description, data.train.events.shape[2:])
    draws = torch.Generator().manual_seed(recipe.seed)
    if recipe.initial_rate is not None:
        first = data.pretrain or data.train
        scale_to_rate(network, torch.from_numpy(first.events[:64]), recipe.initial_rate)
    _check_chip(network, recipe, data.train)
    _check_activity(network, recipe)
    network.to(device)
    set_mode(network, "straight_through" if recipe.method == "straight_through" else "surrogate")
    slopes = {name: neuron.slope for name, neuron in network.neurons().items()}
    return _Run(network, draws, slopes)


def _check_chip(network: Network, recipe: Recipe, split: Split) -> None:
    """A chip that has no such neuron refuses it before hours of training, not after."""
    try:
        _chip(network, recipe, stages(recipe)[-1], split)
    except TargetLimit:  # of these weights; others will come
        return


def _check_activity(network: Network, recipe: Recipe) -> None:
    if recipe.activity_rate is not None and not _hidden(network):
        raise CompileError(
            "activity_weight pulls the rates of hidden layers, and this network has none",
            where="recipe",
            hint="leave activity_weight and activity_rate out",
        )


def _take_up(run: _Run, saved: dict[str, Any] | None) -> None:
    if saved is None:
        return
    run.network.load_state_dict(saved["network"])
    run.draws.set_state(saved["draws"].cpu())
    run.stage, run.epoch, run.optimizer = saved["stage"], saved["epoch"], saved["optimizer"]
    run.history = [Epoch(*plain) for plain in saved["history"]]
    run.best = Epoch(*saved["best"]) if saved["best"] else None
    run.kept = saved["kept"]


def _saved(run: _Run) -> dict[str, Any]:
    return {
        "network": run.network.state_dict(),
        "draws": run.draws.get_state(),
        "stage": run.stage,
        "epoch": run.epoch,
        "optimizer": run.optimizer,
        "history": [list(epoch) for epoch in run.history],
        "best": list(run.best) if run.best else None,
        "kept": run.kept,
    }


def _run_stage(
    run: _Run, recipe: Recipe, stage: Stage, data: TrainingData, around: _Around
) -> None:
    split = data.pretrain if stage.name == "pretrain" else data.train
    if split is None:
        raise CompileError("the recipe pre-trains, but no data for it was given", where=stage.name)
    adam = torch.optim.AdamW(
        run.network.parameters(), lr=stage.learning_rate, weight_decay=recipe.weight_decay
    )
    optimizer = SAM(adam, 0.0, adaptive=recipe.adaptive, clip_norm=recipe.clip_norm)
    if run.optimizer is not None:
        optimizer.load_state_dict(run.optimizer)
    while run.epoch < stage.epochs and not _patience_ended(run, recipe):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, run.epoch)
            group["rho"] = rho_at(recipe, stage, run.epoch)
        _set_slopes(run.network, slopes_at(run.slopes, recipe, stage, run.epoch))
        chip = _chip(run.network, recipe, stage, split)
        loss = _epoch(run, recipe, stage, split, optimizer, chip, around.watch)
        run.epoch += 1
        chip = _chip(run.network, recipe, stage, split)
        epoch = _measured(run, stage, data.validation, loss, started, chip)
        run.history.append(epoch)
        if run.best is None or epoch.hard >= run.best.hard:
            run.best, run.kept = epoch, copy.deepcopy(run.network.state_dict())
        run.optimizer = optimizer.state_dict()
        if around.checkpoint is not None:
            progress_file.write(around.checkpoint, around.key, _saved(run))
        around.report(epoch)


def _patience_ended(run: _Run, recipe: Recipe) -> bool:
    if recipe.patience is None or run.best is None:
        return False
    here = [epoch for epoch in run.history if epoch.stage == run.best.stage]
    first_best = next(epoch for epoch in here if epoch.hard == run.best.hard)
    return run.epoch - first_best.number >= recipe.patience


def _chip(network: Network, recipe: Recipe, stage: Stage, split: Split) -> Registers | None:
    """The chip's numbers for the weights of now in the hardware stage, None in the others."""
    if stage.name != "hardware" or not recipe.hardware:
        return None
    target = load_target(recipe.hardware.target)
    return registers(network, target, recipe.hardware.bits, split.events.shape[1])


def _measured(
    run: _Run, stage: Stage, split: Split, loss: float, started: float, chip: Registers | None
) -> Epoch:
    smooth, swapped = copy.deepcopy(run.network), hard(run.network).double()
    set_mode(smooth, "surrogate")
    if chip is not None:
        put(smooth, chip)
        put(swapped, chip)
    fired = measure(swapped, split)
    level0 = measure(smooth, split).accuracy
    seconds = time.perf_counter() - started
    return Epoch(stage.name, run.epoch, loss, level0, fired.accuracy, fired.rates, seconds)


def _epoch(
    run: _Run,
    recipe: Recipe,
    stage: Stage,
    split: Split,
    optimizer: SAM,
    chip: Registers | None,
    watch: Watch,
) -> float:
    """The mean loss of one pass over ``split``."""
    device = next(run.network.parameters()).device
    batches = _batches(split, stage, run.draws, device)
    others = _batches(split, stage, run.draws, device) if recipe.second_batch else None
    losses: list[Tensor] = []
    of = math.ceil(len(split.labels) / stage.batch)
    for batch in batches:
        first = _closure(run.network, recipe, optimizer, chip, *batch)
        again = None
        if others is not None:
            again = _closure(run.network, recipe, optimizer, chip, *next(others))
        losses.append(optimizer.step(first, again).detach())
        watch(Batch(stage.name, run.epoch + 1, len(losses), of, losses))
    return float(torch.stack(losses).mean())


def _closure(
    network: Network,
    recipe: Recipe,
    optimizer: SAM,
    chip: Registers | None,
    events: Tensor,
    labels: Tensor,
) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        with snapped(network, chip):
            loss = _loss(network, recipe, events, labels)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return closure


def _loss(network: Network, recipe: Recipe, events: Tensor, labels: Tensor) -> Tensor:
    if recipe.activity_rate is None:
        return cross_entropy(network(events).sum(dim=1), labels)
    output, states = network.trace(events)
    rates = torch.stack([states[name].spikes.mean() for name in _hidden(network)])
    excess = (rates - recipe.activity_rate).square().sum()
    return cross_entropy(output.sum(dim=1), labels) + recipe.activity_weight * excess


def _hidden(network: Network) -> list[str]:
    """The spiking layers that are not the output, whose spikes are the decision and no energy."""
    return [name for name in network.neurons() if name != network.specification[-1].name]


def _batches(
    split: Split, stage: Stage, draws: torch.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    events, labels = torch.from_numpy(split.events), torch.from_numpy(split.labels)
    for chosen in torch.split(torch.randperm(len(labels), generator=draws), stage.batch):
        seen = augmented(events[chosen], stage.augment, draws)
        yield seen.to(device), labels[chosen].to(device)


def _set_slopes(network: Network, slopes: dict[str, float]) -> None:
    for name, neuron in network.neurons().items():
        neuron.slope = slopes[name]


def _with_slopes(
    description: list[dict[str, Any]], slopes: dict[str, float]
) -> list[dict[str, Any]]:
    """The description with the slopes that the kept epoch was measured with."""
    return [
        {**layer, "slope": slopes[layer["name"]]} if layer["name"] in slopes else layer
        for layer in description
    ]
