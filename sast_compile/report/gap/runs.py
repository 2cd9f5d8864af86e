"""One run: a configuration and a seed, trained, then measured once on the test split.

Every run leaves two files, whole or not there: the trained network, and what was measured. A run
that is there is not repeated; one whose network is there is only measured.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import lru_cache
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import torch

from sast_compile.compile import lower
from sast_compile.data import Split, dataset
from sast_compile.errors import BadFile, CompileError
from sast_compile.files import read_whole, write_whole
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.torch_to_nir import to_nir
from sast_compile.ir.program import Program
from sast_compile.nn import Checkpoint, hard, read_checkpoint, write_checkpoint
from sast_compile.passes import Options
from sast_compile.report.totals import totals
from sast_compile.samples import samples_of
from sast_compile.target import load_target, read_target_text
from sast_compile.training.folder import training_data
from sast_compile.training.loop import Fitted, TrainingData, fit
from sast_compile.training.measure import measure
from sast_compile.training.recipe import Pretrain, Recipe
from sast_compile.version import __version__

Told: TypeAlias = Callable[["Run"], None]


class Operations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One integer or float program on the test split; operations are a sample's mean."""

    accuracy: float
    input: float
    hidden: float


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="refused"):
    """The words in which a target refused the network."""

    why: str


class Compiled(Operations, frozen=True, tag="compiled"):
    """The network in the integers of a target."""


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was measured of one configuration and seed; accuracies lie in [0, 1].

    ``program`` is the float hard network's operations, None if it is no program. ``integers`` are
    by target and bits.
    """

    key: str
    configuration: str
    seed: int
    epoch: int
    seconds: float
    device: str
    validation_surrogate: float
    validation_hard: float
    n: int
    surrogate: float
    hard: float
    rates: dict[str, float]
    program: Operations | None
    integers: dict[str, Compiled | Refused]


class Job(NamedTuple):
    """One run to be made; everything in it can be sent to another process."""

    configuration: str
    recipe: Recipe  # with this run's seed
    description: list[dict[str, Any]]
    targets: tuple[str, ...]
    bits: tuple[int, ...]
    out: Path
    data: Path | None
    device: str

    @property
    def path(self) -> Path:
        """Where the run's measurements lie."""
        return self.out / f"{self.configuration}-{self.recipe.seed}.json"

    @property
    def network(self) -> Path:
        """Where its trained network lies."""
        return self.path.with_suffix(".pt")

    def training_key(self) -> str:
        """What determines the weights."""
        return _hash([self.description, self.recipe])

    def key(self) -> str:
        """What determines the measurements."""
        texts = [read_target_text(name) for name in self.targets]
        return _hash([self.training_key(), texts, self.bits, __version__])


def run_all(jobs: list[Job], processes: int, told: Told = lambda run: None) -> list[Run]:
    """The runs of ``jobs``, those that are there first; ``told`` hears of each as it is done."""
    made = {job.path: found for job in jobs if (found := finished(job)) is not None}
    for run in made.values():
        told(run)
    missing = [job for job in jobs if job.path not in made]
    if missing:
        missing[0].out.mkdir(parents=True, exist_ok=True)
    for job, run in _in_processes(missing, processes) if processes > 1 else _here(missing):
        made[job.path] = run
        told(run)
    return [made[job.path] for job in jobs]


def _here(jobs: list[Job]) -> Iterator[tuple[Job, Run]]:
    for job in jobs:
        yield job, run_one(job)


def _in_processes(jobs: list[Job], processes: int) -> Iterator[tuple[Job, Run]]:
    """The runs as they come; if one fails, or the user interrupts, the others end at once."""
    others = active_children()
    # spawned: a forked torch may hang in the locks of its thread pool
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        waiting = {pool.submit(run_one, job): job for job in jobs}
        try:
            while waiting:
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(done), done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                if child not in others:
                    child.terminate()
            raise


def finished(job: Job) -> Run | None:
    """The run of ``job`` that is there already; raises BadFile if the file is not readable."""
    if not job.path.exists():
        return None
    try:
        run = msgspec.json.decode(read_whole(job.path), type=Run)
    except msgspec.MsgspecError as error:
        raise BadFile(
            f"is not a run: {error}", where=str(job.path), hint="delete it: it is made again"
        ) from None
    return run if run.key == job.key() else None


def run_one(job: Job) -> Run:
    """The run of ``job``, trained unless its network is there, and measured; both files written."""
    torch.set_num_threads(1)
    if not job.network.exists():
        _train(job)
    checkpoint = read_checkpoint(job.network)
    if checkpoint.provenance.get("key") != job.training_key():
        raise BadFile(
            "was trained by another recipe or model",
            where=str(job.network),
            hint="name another folder with --out",
        )
    run = _measured(job, checkpoint)
    write_whole(job.path, msgspec.json.format(msgspec.json.encode(run)))
    return run


def _train(job: Job) -> None:
    progress, before = job.path.with_suffix(".progress"), job.recipe.pretrain
    started = time.perf_counter()
    fitted = fit(
        job.description,
        job.recipe,
        _data(job.recipe.dataset, before and before.dataset, job.data),
        device=job.device,
        checkpoint=progress,
    )
    facts = _facts(job, fitted, time.perf_counter() - started)
    source = dataset(job.recipe.dataset, job.data)
    contract = fitted.network.contract(source.dt, source.encoding)
    write_checkpoint(job.network, fitted.network, contract, facts)
    progress.unlink(missing_ok=True)


def _facts(job: Job, fitted: Fitted, seconds: float) -> dict[str, Any]:
    # of a fit that was interrupted only the epochs' own seconds are known
    spent = max(seconds, sum(epoch.seconds for epoch in fitted.history))
    return {
        "key": job.training_key(),
        "configuration": job.configuration,
        "recipe": msgspec.to_builtins(job.recipe),
        "dataset": job.recipe.dataset,
        "seed": job.recipe.seed,
        "epoch": fitted.best.number,
        "device": job.device,
        "seconds": round(spent, 1),
        "validation": {"surrogate": fitted.best.surrogate, "hard": fitted.best.hard},
    }


@lru_cache(maxsize=1)
def _data(main: str, before: str | None, folder: Path | None) -> TrainingData:
    """The data of every recipe with these sets: a process loads them once for all its runs."""
    once: dict[str, Any] = {"epochs": 1, "batch": 1, "learning_rate": 1.0}
    stage = None if before is None else Pretrain(dataset=before, **once)
    return training_data(Recipe(dataset=main, seed=0, pretrain=stage, **once), folder)


def _measured(job: Job, checkpoint: Checkpoint) -> Run:
    split = dataset(job.recipe.dataset, job.data).load("test")
    fired = measure(hard(checkpoint.network).double(), split)
    facts = checkpoint.provenance
    floats = _program(checkpoint, job.configuration)
    return Run(
        key=job.key(),
        configuration=job.configuration,
        seed=job.recipe.seed,
        epoch=facts["epoch"],
        seconds=facts["seconds"],
        device=facts["device"],
        validation_surrogate=facts["validation"]["surrogate"],
        validation_hard=facts["validation"]["hard"],
        n=len(split.labels),
        surrogate=measure(checkpoint.network, split).accuracy,
        hard=fired.accuracy,
        rates=fired.rates,
        program=None if isinstance(floats, Refused) else Operations(*_numbers(floats, split)),
        integers={
            column(target, bits): floats
            if isinstance(floats, Refused)
            else _compiled(floats, target, bits, split)
            for target in job.targets
            for bits in job.bits
        },
    )


def column(target: str, bits: int) -> str:
    """The name of what was measured of integers with ``bits``-bit weights on ``target``."""
    return f"INT{bits} {target}"


def _program(checkpoint: Checkpoint, name: str) -> Program | Refused:
    try:
        graph = to_nir(checkpoint.network, checkpoint.contract)
        return to_program(graph, checkpoint.contract, name)
    except CompileError as error:
        return Refused(str(error))


def _compiled(floats: Program, target: str, bits: int, split: Split) -> Compiled | Refused:
    # of a training, not of how well its weights can be rounded
    options = Options(bits, split.events.shape[1], rounding="nearest")
    try:
        program = lower(floats, load_target(target), options)[-1].program
        return Compiled(*_numbers(program, split))
    except CompileError as error:
        return Refused(str(error))


def _numbers(program: Program, split: Split) -> tuple[float, float, float]:
    found = totals(program, samples_of(program, split.events, "test split", split.labels))
    return found.accuracy, found.input_operations, found.hidden_operations


def _hash(plain: object) -> str:
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()
