"""``python -m sast_compile.training models/digits``: trains the model of a folder.

Reads ``model.py`` and ``recipe.toml``, writes ``model.pt`` and ``model.nir`` beside them and prints
the numbers of the card. ``model.py`` is run: train only folders that you trust.
"""

from __future__ import annotations

import platform
import runpy
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sast_compile.data import Dataset, Split, dataset
from sast_compile.errors import BadFile, CompileError
from sast_compile.frontend.torch_to_nir import to_nir, write_nir
from sast_compile.nn import Network, hard, write_checkpoint
from sast_compile.training.loop import Epoch, Fitted, accuracy, fit
from sast_compile.training.recipe import Recipe, read_recipe


def train(folder: Path, progress: Callable[[Epoch], None]) -> dict[str, Any]:
    """The provenance of the model just written to ``folder``: settings, versions, accuracies."""
    recipe, text = read_recipe(folder / "recipe.toml")
    data = dataset(recipe.dataset)
    fitted = fit(
        _description(folder), recipe, data.load("train"), data.load("validation"), progress
    )
    provenance = {
        "command": f"python -m sast_compile.training {_shown(folder)}",
        "recipe": text,
        "versions": _versions(),
        **_measured(fitted, recipe, data),
    }
    contract = fitted.network.contract(data.dt, data.encoding)
    write_checkpoint(folder / "model.pt", fitted.network, contract, provenance)
    write_nir(to_nir(fitted.network, contract), folder / "model.nir")
    return provenance


def _measured(fitted: Fitted, recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """Accuracies with n; the test split is touched here, once, when everything is chosen."""
    parts = {"validation": data.load("validation"), "test": data.load("test")}
    return {
        "dataset": recipe.dataset,
        "seed": recipe.seed,
        "epoch": fitted.best.number,
        **{name: _levels(fitted.network, part) for name, part in parts.items()},
    }


def _levels(network: Network, split: Split) -> dict[str, float]:
    return {
        "n": len(split.labels),
        "surrogate": accuracy(network, split),
        "hard": accuracy(hard(network).double(), split),
    }


def _description(folder: Path) -> list[dict[str, Any]]:
    path = folder / "model.py"
    if not path.is_file():
        raise BadFile("there is no such file", where=str(path))
    network = runpy.run_path(str(path)).get("network")
    if not callable(network):
        raise BadFile(
            "defines no function network()",
            where=str(path),
            hint="it returns the layers, a list of dicts",
        )
    description: list[dict[str, Any]] = network()
    return description


def _shown(folder: Path) -> str:
    """The folder as given; of an absolute path the name only: no machine's paths in a model."""
    return folder.name if folder.is_absolute() else folder.as_posix()


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("torch", "numpy", "scikit-learn")}
    return {"python": platform.python_version(), **packages}


def _print_epoch(epoch: Epoch) -> None:
    print(
        f"epoch {epoch.number:3}  loss {epoch.loss:.4f}  validation: "
        f"surrogate {epoch.surrogate:.2%}  hard {epoch.hard:.2%}"
    )


def main(arguments: list[str]) -> int:
    """The exit status: 0 when the model is written, 1 for a refusal, 2 for a wrong call."""
    if len(arguments) != 1:
        print("usage: python -m sast_compile.training FOLDER", file=sys.stderr)
        return 2
    torch.set_num_threads(1)  # sums split over threads would round differently from run to run
    start = time.perf_counter()
    try:
        provenance = train(Path(arguments[0]), _print_epoch)
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"epoch {provenance['epoch']} is kept; {time.perf_counter() - start:.1f} s")
    for name in ("validation", "test"):
        level = provenance[name]
        print(f"{name:10}  surrogate {level['surrogate']:.2%}  hard {level['hard']:.2%}", end="  ")
        print(f"n = {level['n']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
