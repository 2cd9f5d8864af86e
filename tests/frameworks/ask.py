"""Nets handed to a framework's own environment, and what it answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frameworks.nets import Array, Net

ROOT = Path(__file__).parents[2]
WORKERS = Path(__file__).parent / "workers"
FRAMEWORKS = ("snntorch", "norse", "sinabs", "spikingjelly", "rockpool")
SECONDS = 600


@dataclass(frozen=True)
class Answer:
    """What a framework made of one net.

    ``spikes`` are by population, (samples, steps, *shape): of all populations of a net that was
    built, of the last of one that was loaded. ``refused`` is what was raised where it ran, was
    exported or was loaded.
    """

    versions: dict[str, str]
    spikes: list[Array]
    file: bytes | None
    refused: str | None
    inferred: str | None  # what nir raised at the exported graph before it was completed


def environment(framework: str) -> Path | None:
    """The Python of a framework's environment, or None where `make frameworks` has not run."""
    folder = Path(os.environ.get("SAST_FRAMEWORKS_ENV") or ROOT / ".venv-frameworks") / framework
    return folder / "bin/python" if (folder / "ready").exists() else None


def ask(framework: str, nets: Sequence[tuple[Net, bytes | None]], folder: Path) -> list[Answer]:
    """The answers to nets that are built, or read from the bytes beside them."""
    python = environment(framework)
    assert python is not None, f"{framework} has no environment: `make frameworks`"
    places = [folder / f"{number:04}" for number in range(len(nets))]
    for place, (net, given) in zip(places, nets, strict=True):
        net.write(place)
        if given is not None:
            (place / "given.nir").write_bytes(given)
    done = subprocess.run(
        [str(python), str(WORKERS / f"{framework}_worker.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=_plain_environment(),
    )
    if done.returncode:
        raise RuntimeError(f"{framework}: {done.stderr[-2000:]}")
    return [_answer(place) for place in places]


def _plain_environment() -> dict[str, str]:
    """Without what would put this project's modules on the worker's path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**kept, "OMP_NUM_THREADS": "1"}


def _answer(place: Path) -> Answer:
    said: dict[str, Any] = json.loads((place / "answer.json").read_text())
    spikes: list[Array] = []
    if (place / "spikes.npz").exists():
        with np.load(place / "spikes.npz") as found:
            spikes = [found[f"p{i}"] for i in range(len(found.files))]
    file = place / "net.nir"
    return Answer(
        said["versions"],
        spikes,
        file.read_bytes() if file.exists() else None,
        next((said[stage] for stage in ("run", "export", "load") if stage in said), None),
        said.get("inferred"),
    )
