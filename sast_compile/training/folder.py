"""A model folder: ``model.py`` and ``recipe.toml`` in, a checkpoint, a graph and a curve out.

``model.py`` is run: train only folders that you trust.
"""

from __future__ import annotations

import platform
import runpy
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from msgspec import UnsetType
from msgspec.structs import asdict, replace

from sast_compile.catalog import DEFAULT_TARGET
from sast_compile.data import Dataset, Split, dataset
from sast_compile.errors import BadFile, CompileError
from sast_compile.frontend.torch_to_nir import to_nir, write_nir
from sast_compile.nn import Network, hard, write_checkpoint
from sast_compile.target import load_target
from sast_compile.training.curve import write_curve
from sast_compile.training.hardware import put, registers
from sast_compile.training.loop import Fitted, Report, TrainingData, Watch, fit
from sast_compile.training.measure import measure
from sast_compile.training.recipe import Hardware, Recipe, read_recipe

PROGRESS = ".training.pt"


def train_folder(
    folder: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    seed: int | None = None,
    bits: int | None = None,
    target: str | None = None,
    device: str = "auto",
    fresh: bool = False,
    report: Report = lambda epoch: None,
    watch: Watch = lambda batch: None,
) -> dict[str, Any]:
    """The provenance of the model just written to ``out`` (``folder`` itself, if None).

    ``data`` is the folder of real recordings; ``seed``, ``bits`` and ``target`` overrule the
    recipe's (`overruled`). An interrupted training in ``out`` is taken up unless ``fresh``.
    ``report`` hears of every epoch, ``watch`` of every batch. Everything is chosen on the
    validation split; the test split is measured once, at the end.
    """
    out = out or folder
    recipe, text = read_recipe(folder / "recipe.toml")
    recipe = overruled(recipe, seed, bits, target)
    description = read_description(folder)
    device = device_named(device)
    torch.set_num_threads(1)  # sums split over threads would round differently from run to run
    source = dataset(recipe.dataset, data)
    _make(out)
    interrupted = out / PROGRESS
    if fresh:
        interrupted.unlink(missing_ok=True)
    started = time.perf_counter()
    fitted = fit(
        description,
        recipe,
        training_data(recipe, data),
        device=device,
        checkpoint=interrupted,
        report=report,
        watch=watch,
    )
    provenance = {
        "command": f"sast-compile train {_shown(folder)}",
        "recipe": text,
        "device": device,
        "seconds": round(time.perf_counter() - started, 1),
        "versions": _versions(),
        **_measured(fitted, recipe, source),
    }
    _write(out, fitted, source, provenance)
    interrupted.unlink(missing_ok=True)
    return provenance


def overruled(
    recipe: Recipe, seed: int | None = None, bits: int | None = None, target: str | None = None
) -> Recipe:
    """``recipe`` with another seed, or with a hardware stage for ``bits`` and ``target``."""
    if seed is not None:
        recipe = replace(recipe, seed=seed)
    if bits is None and target is None:
        return recipe
    hardware = recipe.hardware or Hardware(target=DEFAULT_TARGET, bits=bits or 8)
    hardware = replace(hardware, bits=bits or hardware.bits, target=target or hardware.target)
    return replace(recipe, hardware=hardware)


def training_data(recipe: Recipe, folder: Path | None = None) -> TrainingData:
    """What the recipe may see; CompileError if its two data sets differ in shape."""
    main = dataset(recipe.dataset, folder)
    train, validation = main.load("train"), main.load("validation")
    if recipe.pretrain is None:
        return TrainingData(train, validation)
    before = dataset(recipe.pretrain.dataset, folder).load("train")
    if before.events.shape[1:] != train.events.shape[1:]:
        raise CompileError(
            f"events of {recipe.pretrain.dataset} have shape {before.events.shape[1:]}, those of "
            f"{recipe.dataset} {train.events.shape[1:]}",
            where="recipe, pretrain",
        )
    return TrainingData(train, validation, before)


def read_description(folder: Path) -> list[dict[str, Any]]:
    """What ``network()`` in the folder's model.py returns; runs the file."""
    path = folder / "model.py"
    if not path.is_file():
        raise BadFile("there is no such file", where=str(path))
    try:
        network = runpy.run_path(str(path)).get("network")
        description: Any = network() if callable(network) else None
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise BadFile(f"raised {type(error).__name__}: {error}", where=str(path)) from error
    if not isinstance(description, list):
        raise BadFile(
            "defines no function network() that returns a list",
            where=str(path),
            hint="it returns the layers, a list of dicts",
        )
    return description


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFile(f"cannot be made: {error.strerror}", where=str(folder)) from None


def device_named(name: str) -> str:
    """torch's name of the device; ``auto`` is CUDA where there is one, else the CPU."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise CompileError("no CUDA device is visible to torch", hint="--device cpu")
    return name


def _measured(fitted: Fitted, recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """Accuracies with n; the test split is touched here, once, when everything is chosen."""
    parts = {"validation": data.load("validation"), "test": data.load("test")}
    hardware = recipe.hardware
    return {
        "dataset": recipe.dataset,
        "simulated": data.simulated,
        "seed": recipe.seed,
        "epoch": fitted.best.number,
        **({"hardware": asdict(hardware)} if hardware else {}),
        **{name: _levels(fitted.network, part, hardware) for name, part in parts.items()},
    }


def _levels(network: Network, split: Split, hardware: Hardware | UnsetType) -> dict[str, Any]:
    """L0 and L1, and behind a hardware stage what the hard network decides with snapped numbers."""
    swapped = hard(network).double()
    fired = measure(swapped, split)
    levels = {
        "n": len(split.labels),
        "surrogate": measure(network, split).accuracy,
        "hard": fired.accuracy,
        "rates": fired.rates,
    }
    if hardware:
        chip = load_target(hardware.target)
        put(swapped, registers(network, chip, hardware.bits, split.events.shape[1]))
        levels["snapped"] = measure(swapped, split).accuracy
    return levels


def _write(out: Path, fitted: Fitted, source: Dataset, provenance: dict[str, Any]) -> None:
    contract = fitted.network.contract(source.dt, source.encoding)
    write_nir(to_nir(fitted.network, contract), out / "model.nir")
    write_curve(out / "curve.png", fitted.history)
    write_checkpoint(out / "model.pt", fitted.network, contract, provenance)


def _shown(folder: Path) -> str:
    """The folder as given; of an absolute path the name only: no machine's paths in a model."""
    return folder.name if folder.is_absolute() else folder.as_posix()


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{n: version(n) for n in ("torch", "numpy")}}
