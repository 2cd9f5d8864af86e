"""The float simulators beside ours: each a process in an environment of its own (`make peers`).

A process keeps its network and waits for requests, so that rounds can be interleaved. Of each peer
are measured: one sample at a time, and the batch that was fastest in a short search, with one and
with two threads.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from benchmarks.emulator.rounds import Contestant, Rates, Setting
from benchmarks.emulator.workloads import Workload
from sast_compile.errors import BackendUnavailable
from sast_compile.trace import Trace

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("peer_worker.py")
PEERS = {
    "snntorch": "snnTorch",
    "norse": "Norse",
    "sinabs": "sinabs",
    "spikingjelly": "SpikingJelly",
}
PATIENCE = 300.0  # seconds for one answer
LAST_LINES = 6


@dataclass(frozen=True)
class Agreement:
    """By layer: spikes of a peer, and its share of equal ones: both fired / either fired."""

    spikes: Mapping[str, int]
    with_twin: Mapping[str, float]
    with_ours: Mapping[str, float]


class Peer:
    """A framework that has loaded the network of a file, until the context ends.

    Whatever goes wrong is a BackendUnavailable with the reason.
    """

    def __init__(self, framework: str, network: Path) -> None:
        python = _python(framework)
        self.name, self.folder = PEERS[framework], network.parent
        self.errors = (self.folder / f"{framework}.stderr").open("w+b")
        self.process = subprocess.Popen(
            [str(python), "-I", str(WORKER), framework, str(network)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
        )
        try:
            self.versions = str(self._answer()["versions"])
        except BackendUnavailable:
            self.close()
            raise

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def rate(self, batch: int, threads: int, seconds: float) -> float:
        """Samples a second, measured for ``seconds`` at least."""
        took = self._ask(do="time", batch=batch, threads=threads, seconds=seconds)
        return float(took["samples"] / took["seconds"])

    def best_batch(self, batches: tuple[int, ...], threads: int, seconds: float) -> int:
        """The fastest of 1 and ``batches``."""
        tried = {batch: self.rate(batch, threads, seconds) for batch in (1, *batches)}
        return max(tried, key=lambda batch: tried[batch])

    def agreement(self, samples: int, ours: Trace, twin: Trace) -> Agreement:
        """Its spikes on the first ``samples``, beside ours and those of the float twin."""
        path = self.folder / "spikes.npz"
        self._ask(do="spikes", samples=samples, path=str(path))
        spikes, with_twin, with_ours = {}, {}, {}
        with np.load(path) as packed:
            for name in packed.files:
                wanted = ours[name].spikes[:samples] > 0
                found = np.unpackbits(packed[name], count=wanted.size).reshape(wanted.shape) > 0
                spikes[name] = int(found.sum())
                with_ours[name] = equal_share(found, wanted)
                with_twin[name] = equal_share(found, twin[name].spikes[:samples] > 0)
        return Agreement(spikes, with_twin, with_ours)

    def _ask(self, **request: object) -> dict[str, Any]:
        try:
            _pipe(self.process.stdin).write(json.dumps(request).encode() + b"\n")
            _pipe(self.process.stdin).flush()
        except BrokenPipeError:
            raise self._failure("ended") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        out = _pipe(self.process.stdout)
        ready, _, _ = select.select([out], [], [], PATIENCE)
        if not ready:
            raise self._failure(f"no answer within {PATIENCE:.0f} s")
        line = out.readline()
        if not line:
            raise self._failure("ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BackendUnavailable(answer["error"], where=self.name)
        return answer

    def _failure(self, what: str) -> BackendUnavailable:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").rstrip().splitlines()[-LAST_LINES:]
        return BackendUnavailable("\n  ".join([what, *lines]), where=self.name)


def contest(peer: Peer, work: Workload, threads: int, seconds: float) -> Contestant:
    """``peer`` with one sample at a time, and with the batch that is the fastest in a search."""
    batches = sorted({1, peer.best_batch(work.batches, threads, seconds)})

    def measure() -> Rates:
        return {
            Setting(peer.name, batch, threads): peer.rate(batch, threads, seconds)
            for batch in batches
        }

    return measure


def equal_share(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Where both fired, over where either did; of two silent layers 1."""
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0


def _python(framework: str) -> Path:
    folder = Path(os.environ.get("SAST_PEERS_ENV") or ROOT / ".venv-peers") / framework
    if not (folder / "ready").exists():  # written last
        raise BackendUnavailable(
            f"{folder} is not there", where=PEERS[framework], hint="run `make peers`"
        )
    return folder / "bin/python"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
