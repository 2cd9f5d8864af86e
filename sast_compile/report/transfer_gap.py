"""What SAST does to a model, against its controls: the table of the SAST papers, for any folder.

Every control of the folder's recipe (`training.recipe.controls`) and every radius of SAM is trained
with every seed; what is chosen is chosen on validation, what is reported is the test split.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from msgspec.structs import replace

from sast_compile.compile import compile_model
from sast_compile.data import dataset
from sast_compile.errors import BadFile, CompileError
from sast_compile.files import write_whole
from sast_compile.nn import hard, write_checkpoint
from sast_compile.report.card import BITS, integers
from sast_compile.training.folder import read_description, training_data
from sast_compile.training.loop import fit
from sast_compile.training.measure import measure
from sast_compile.training.recipe import Recipe, controls, read_recipe

# two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom (any table of it)
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
       2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093)  # fmt: skip


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One trained network on the test split: shares in [0, 1], operations a sample.

    None where the target refuses the network.
    """

    name: str
    seed: int
    n: int
    surrogate: float
    hard: float
    int8: float | None
    int4: float | None
    input_operations: float | None  # INT8
    hidden_operations: float | None
    seconds: float


class Paired(msgspec.Struct, frozen=True):
    """The mean difference of paired runs and the half width of its 95 % confidence interval."""

    mean: float
    half: float
    n: int


def configurations(recipe: Recipe, rhos: Sequence[float]) -> dict[str, Recipe]:
    """The controls by name, and SAST with each radius of ``rhos``."""
    found = controls(recipe)
    return found | {f"sast rho={rho:g}": replace(recipe, rho=rho) for rho in rhos if rho > 0}


def measure_gap(
    folder: Path,
    out: Path,
    *,
    seeds: int,
    rhos: Sequence[float],
    target: str,
    data: Path | None,
    report: Callable[[Run], None],
) -> list[Run]:
    """Every configuration with every seed; a run that lies finished in ``out``/runs is taken up."""
    recipe, _ = read_recipe(folder / "recipe.toml")
    description = read_description(folder)
    wanted = configurations(recipe, rhos)
    torch.set_num_threads(1)
    (out / "runs").mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in range(seeds):
        for name, configured in wanted.items():
            one = replace(configured, seed=seed)
            key = msgspec.json.encode([description, one, target])
            path = out / "runs" / f"{name.replace(' ', '-')}-{seed}.json"
            run = _finished(path, key) or _run(name, description, one, target, data, path, key)
            runs.append(run)
            report(run)
    return runs


def _finished(path: Path, key: bytes) -> Run | None:
    """The run in ``path``; None if there is none, or one of another recipe."""
    if not path.exists():
        return None
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=tuple[str, Run])
    except msgspec.MsgspecError as error:
        raise BadFile(f"is no finished run: {error}", where=str(path), hint="remove it") from None
    return stored[1] if stored[0] == key.decode() else None


def _run(
    name: str,
    description: list[dict[str, object]],
    recipe: Recipe,
    target: str,
    data: Path | None,
    path: Path,
    key: bytes,
) -> Run:
    fitted = fit(description, recipe, training_data(recipe, data))
    source = dataset(recipe.dataset, data)
    test = source.load("test")
    model = path.with_suffix(".pt")
    contract = fitted.network.contract(source.dt, source.encoding)
    write_checkpoint(model, fitted.network, contract, {"dataset": recipe.dataset})
    found = {}
    for bits in BITS:
        try:
            found[bits] = integers(compile_model(model, target, bits))
        except CompileError:
            continue
    model.unlink()
    eight, four = (found.get(bits) for bits in BITS)
    run = Run(
        name=name,
        seed=recipe.seed,
        n=len(test.labels),
        surrogate=measure(fitted.network, test).accuracy,
        hard=measure(hard(fitted.network).double(), test).accuracy,
        int8=eight.right / eight.n if eight else None,
        int4=four.right / four.n if four else None,
        input_operations=eight.input_operations if eight else None,
        hidden_operations=eight.hidden_operations if eight else None,
        seconds=sum(epoch.seconds for epoch in fitted.history),
    )
    write_whole(path, msgspec.json.encode((key.decode(), run)))
    return run


def table(runs: Sequence[Run], target: str) -> str:
    """Markdown: mean and sample sd over seeds, then the paired differences to SAST."""
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    seeds, n = len(next(iter(by_name.values()))), runs[0].n
    return "\n".join(
        [
            f"Test split, n = {n}; mean ± sd of {seeds} seeds; accuracies in %, synaptic",
            f"operations a sample and integers on {target}.\n",
            *_rows(by_name),
            "",
            *_differences(by_name),
        ]
    )


COLUMNS: dict[str, tuple[str, float]] = {
    "surrogate": ("surrogate", 100),
    "hard": ("hard", 100),
    "int8": ("INT8", 100),
    "int4": ("INT4", 100),
    "hidden_operations": ("hidden SynOps", 1),
    "input_operations": ("input SynOps", 1),
    "seconds": ("training s", 1),
}


def _rows(by_name: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    heads = [head for head, _ in COLUMNS.values()]
    yield f"| | {' | '.join([*heads[:2], 'gap', *heads[2:]])} |"
    yield "|---" * (len(heads) + 2) + "|"
    for name, runs in by_name.items():
        cells = [_cell([getattr(r, key) for r in runs], f) for key, (_, f) in COLUMNS.items()]
        gap = _cell([r.surrogate - r.hard for r in runs], 100)
        yield f"| {name} | {' | '.join([*cells[:2], gap, *cells[2:]])} |"


def _cell(values: Sequence[float | None], factor: float) -> str:
    numbers = [factor * v for v in values if v is not None]
    if len(numbers) < len(values):
        return "refused"
    digits = 1 if factor == 100 else 0
    spread = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return f"{statistics.mean(numbers):,.{digits}f} ± {spread:,.{digits}f}"


def _differences(by_name: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    yield "Paired differences, SAST minus control (95 % confidence interval):\n"
    yield "| | hard, points | INT8, points | hidden SynOps |"
    yield "|---|---|---|---|"
    for name in ("plain", "compute_matched", "annealed", "straight_through"):
        pairs = list(zip(by_name["sast"], by_name[name], strict=True))
        cells = []
        for key, factor in (("hard", 100.0), ("int8", 100.0), ("hidden_operations", 1.0)):
            values = [(getattr(a, key), getattr(b, key)) for a, b in pairs]
            if any(v is None for pair in values for v in pair):
                cells.append("refused")
                continue
            found = paired([factor * (a - b) for a, b in values])
            cells.append(f"{found.mean:+,.1f} ± {found.half:,.1f}")
        yield f"| {name} | {' | '.join(cells)} |"


def paired(differences: Sequence[float]) -> Paired:
    """Mean and 95 % half width by Student's t; the half width of one difference is infinite."""
    n, mean = len(differences), statistics.mean(differences)
    if n < 2:
        return Paired(mean, math.inf, n)
    quantile = T95[n - 2] if n - 2 < len(T95) else 1.96 + 2.4 / (n - 1)
    return Paired(mean, quantile * statistics.stdev(differences) / math.sqrt(n), n)


def csv(runs: Sequence[Run]) -> str:
    """One line a run."""
    names = Run.__struct_fields__
    lines = [",".join("" if (v := getattr(r, k)) is None else str(v) for k in names) for r in runs]
    return "\n".join([",".join(names), *lines]) + "\n"
