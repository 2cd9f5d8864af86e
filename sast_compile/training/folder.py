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
from msgspec.structs import replace

from sast_compile.data import Dataset, Split, dataset
from sast_compile.errors import BadFile, CompileError
from sast_compile.frontend.torch_to_nir import to_nir, write_nir
from sast_compile.nn import Network, hard, write_checkpoint
from sast_compile.training.curve import write_curve
from sast_compile.training.loop import Fitted, Report, TrainingData, fit
from sast_compile.training.measure import measure
from sast_compile.training.recipe import Recipe, read_recipe

PROGRESS = ".training.pt"


def train_folder(
    folder: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    seed: int | None = None,
    device: str = "auto",
    fresh: bool = False,
    report: Report = lambda epoch: None,
) -> dict[str, Any]:
    """The provenance of the model just written to ``out`` (``folder`` itself, if None).

    ``data`` is the folder of real recordings; ``seed`` overrules the recipe's. An interrupted
    training in ``out`` is taken up unless ``fresh``. Everything is chosen on the validation split;
    the test split is measured once, at the end.
    """
    out = out or folder
    recipe, text = read_recipe(folder / "recipe.toml")
    recipe = recipe if seed is None else replace(recipe, seed=seed)
    description = read_description(folder)
    device = device_named(device)
    torch.set_num_threads(1)  # sums split over threads would round differently from run to run
    source = dataset(recipe.dataset, data)
    out.mkdir(parents=True, exist_ok=True)
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
    except Exception as error:  # whatever the user's code raises
        raise BadFile(f"raised {type(error).__name__}: {error}", where=str(path)) from error
    if not isinstance(description, list):
        raise BadFile(
            "defines no function network() that returns a list",
            where=str(path),
            hint="it returns the layers, a list of dicts",
        )
    return description


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
    return {
        "dataset": recipe.dataset,
        "simulated": data.simulated,
        "seed": recipe.seed,
        "epoch": fitted.best.number,
        **{name: _levels(fitted.network, part) for name, part in parts.items()},
    }


def _levels(network: Network, split: Split) -> dict[str, Any]:
    fired = measure(hard(network).double(), split)
    return {
        "n": len(split.labels),
        "surrogate": measure(network, split).accuracy,
        "hard": fired.accuracy,
        "rates": fired.rates,
    }


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
