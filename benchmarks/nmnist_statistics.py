"""Statistics of simulated and real N-MNIST recordings of the same digits, as a table.

    .venv/bin/python benchmarks/nmnist_statistics.py DIR

DIR holds Train/<digit>/00001.bin to 01000.bin. 100 recordings of nmnist-1k's training split.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sast_compile.data import nmnist_sim, recordings
from sast_compile.data.event_files import as_sparse, read_nmnist
from sast_compile.data.mnist import training_images

Events = npt.NDArray[np.uint8]
COUNT = 100


def main(folder: Path) -> None:
    """Prints one row a statistic."""
    paths = sorted(folder.glob("Train/[0-9]/*.bin"), key=lambda path: path.name)
    chosen = np.random.RandomState(0).permutation(1000)[100 : 100 + COUNT]
    real = np.concatenate(
        [
            as_sparse(read_nmnist(str(paths[i])), recordings.ENCODING, (2, 34, 34), "").to_dense()
            for i in chosen
        ]
    )
    images = training_images().pixels
    ours = np.concatenate([nmnist_sim.simulate(images[i : i + 1], int(i)) for i in chosen])
    print("| | recorded | simulated |\n|---|---|---|")
    for name, statistic in (
        ("binary events a recording", lambda e: f"{totals(e).mean():.0f}"),
        ("their standard deviation", lambda e: f"{totals(e).std():.0f}"),
        ("share of polarity 1", lambda e: f"{e[:, :, 1].sum() / e.sum():.3f}"),
        ("active pixels", lambda e: f"{(e.sum(axis=(1, 2)) > 0).sum(axis=(1, 2)).mean():.0f}"),
        ("events by bin", lambda e: " ".join(f"{b:.0f}" for b in e.sum(axis=(2, 3, 4)).mean(0))),
        ("Dice with the recording of the same digit", lambda e: f"{dice(real, e):.3f}"),
        ("Dice with another recording", lambda e: f"{dice(real, np.roll(e, 1, axis=0)):.3f}"),
    ):
        print(f"| {name} | {statistic(real)} | {statistic(ours)} |")


def totals(events: Events) -> npt.NDArray[np.int64]:
    """Events of each recording."""
    return np.asarray(events.sum(axis=(1, 2, 3, 4), dtype=np.int64))


def dice(a: Events, b: Events) -> float:
    """Twice the events that two recordings share, over all of both; the mean over recordings."""
    return float(np.mean(2 * totals(a & b) / (totals(a) + totals(b))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
