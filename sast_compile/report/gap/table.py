"""The runs of a model as tables: markdown for people, CSV with every run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sast_compile.report.gap.plan import SAST, Plan, radius_of
from sast_compile.report.gap.runs import Refused, Run
from sast_compile.report.statistics import Difference, mean_of, paired

INPUT, HIDDEN, GAP = "SynOps input", "SynOps hidden", "gap"
CONTROLS = ("plain", "compute_matched", "annealed", "straight_through", SAST)


@dataclass(frozen=True)
class Study:
    """All runs of one model, and what was named before they began."""

    model: str
    dataset: str
    simulated: bool
    rho: float  # SAST's
    plan: Plan
    runs: tuple[Run, ...]

    def of(self, configuration: str) -> list[Run]:
        """The runs of a configuration by seed."""
        mine = [run for run in self.runs if run.configuration == configuration]
        return sorted(mine, key=lambda run: run.seed)

    @property
    def configurations(self) -> tuple[str, ...]:
        """The controls that ran, in their order."""
        return tuple(name for name in CONTROLS if self.of(name))

    @property
    def sweep(self) -> tuple[tuple[float, str], ...]:
        """The radii that ran, ascending, with their configurations."""
        names = dict.fromkeys(run.configuration for run in self.runs)
        radii = [(rho, n) for n in names if (rho := radius_of(n, self.rho)) is not None]
        return tuple(sorted(radii))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the measurements, accuracies first."""
        return ("surrogate", "hard", GAP, *self.runs[0].integers, INPUT, HIDDEN)

    def difference(self, first: str, second: str, column: str) -> Difference | None:
        """first - second in ``column`` over the seeds that both have; None if there are none."""
        one, other = (
            {
                run.seed: value
                for run in self.of(name)
                if (value := measure(run, column)) is not None
            }
            for name in (first, second)
        )
        seeds = sorted(set(one) & set(other))
        return paired([one[s] for s in seeds], [other[s] for s in seeds]) if seeds else None

    def _by_seed(self, configuration: str, column: str) -> dict[int, float]:
        found = {run.seed: measure(run, column) for run in self.of(configuration)}
        return {seed: value for seed, value in found.items() if value is not None}


def measure(run: Run, column: str) -> float | None:
    """A measurement by its column's name: accuracies in percent, operations in thousands."""
    match column:
        case "surrogate" | "hard":
            return 100 * float(getattr(run, column))
        case "gap":
            return 100 * (run.surrogate - run.hard)
        case "SynOps input" | "SynOps hidden":
            program = run.program
            kind = column.removeprefix("SynOps ")
            return None if program is None else float(getattr(program, kind)) / 1000
    found = run.integers[column]
    return None if isinstance(found, Refused) else 100 * found.accuracy


def markdown(study: Study, picture: str | None) -> str:
    """The whole report on ``study``; ``picture`` is the path of its picture, from the report."""
    parts = [*_head(study), *_accuracies(study), *_differences(study), *_sweep(study)]
    if picture is not None:
        parts += [f"![accuracies, radii and hidden operations of {study.model}]({picture})", ""]
    return "\n".join([*parts, *_notes(study)]).rstrip() + "\n"


def csv_text(study: Study) -> str:
    """One line a run: configuration, seed, epoch, time, validation, test, operations, rates."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    layers = list(study.runs[0].rates)
    writer.writerow(
        ["configuration", "seed", "epoch", "seconds", "device", "validation surrogate",
         "validation hard", "n", *study.columns, *(f"rate {layer}" for layer in layers)]
    )  # fmt: skip
    for run in study.runs:
        values = [measure(run, column) for column in study.columns]
        writer.writerow(
            [run.configuration, run.seed, run.epoch, run.seconds, run.device,
             _exact(100 * run.validation_surrogate), _exact(100 * run.validation_hard), run.n,
             *map(_exact, values), *(_exact(run.rates[layer]) for layer in layers)]
        )  # fmt: skip
    return buffer.getvalue()


def _head(study: Study) -> Iterator[str]:
    plan, runs = study.plan, study.runs
    kind = "simulated events" if study.simulated else "recorded events"
    seeds = sorted({run.seed for run in runs})
    yield f"## {study.model}"
    yield ""
    yield (
        f"Data: `{study.dataset}` ({kind}), n = {runs[0].n} test samples. "
        f"Seeds {', '.join(map(str, seeds))}; SAST's radius is {study.rho:g}."
    )
    yield ""
    found = study.difference(SAST, plan.against, plan.metric)
    if found is not None:
        yield (
            f"**Named beforehand: `{SAST}` - `{plan.against}`, {plan.metric} accuracy: "
            f"{_interval(found)} points.** {_reading(found)}"
        )
        yield ""


def _reading(found: Difference) -> str:
    if found.n == 1:
        return "One seed: there is no interval."
    if found.excludes_zero:
        return f"The 95 % interval over {found.n} seeds excludes 0."
    return f"The 95 % interval over {found.n} seeds contains 0: no difference is shown."


def _accuracies(study: Study) -> Iterator[str]:
    columns = ["n seeds", *(_heading(c) for c in study.columns), "training s"]
    yield from _rule("", columns)
    for name in study.configurations:
        runs = study.of(name)
        cells = [_cell(runs, column) for column in study.columns]
        seconds = mean_of([run.seconds for run in runs]).mean
        yield f"| {name} | {len(runs)} | {' | '.join(cells)} | {seconds:.0f} |"
    yield ""


def _differences(study: Study) -> Iterator[str]:
    others = [n for n in ("compute_matched", "plain", study.plan.against) if study.of(n)]
    columns = [c for c in study.columns if c != INPUT]
    if not others or not study.of(SAST):
        return
    yield "Differences, seed by seed, with the 95 % interval of Student's t:"
    yield ""
    yield from _rule("", [_heading(column) for column in columns])
    for other in dict.fromkeys(others):
        found = [study.difference(SAST, other, column) for column in columns]
        cells = ["" if f is None else _interval(f) for f in found]
        yield f"| {SAST} - {other} | {' | '.join(cells)} |"
    yield ""


def _sweep(study: Study) -> Iterator[str]:
    if len(study.sweep) <= 2:
        return
    columns = [c for c in study.columns if c != INPUT]
    yield "SAM's radius, the epochs alike (0 is `plain`):"
    yield ""
    yield from _rule("rho", [_heading(column) for column in columns])
    for rho, name in study.sweep:
        cells = [_cell(study.of(name), column) for column in columns]
        yield f"| {rho:g} | {' | '.join(cells)} |"
    yield ""


def _notes(study: Study) -> Iterator[str]:
    hard = mean_of([run.hard for run in study.of(study.plan.against) or study.runs]).mean
    error = 100 * math.sqrt(hard * (1 - hard) / study.runs[0].n)
    yield (
        "Mean ± standard deviation over seeds; accuracies in %, synaptic operations in thousands a "
        "sample, of the float hard network. *gap* is surrogate - hard. The kept epoch is the one "
        "with the best hard accuracy on validation; the test split is measured once a run. All "
        f"runs share its {study.runs[0].n} samples: one accuracy has a standard error of "
        f"{error:.1f} points from them, which the seeds do not show."
    )
    yield ""
    refusals = {
        column: found.why
        for run in study.runs
        for column, found in run.integers.items()
        if isinstance(found, Refused)
    }
    for column, why in refusals.items():
        yield f"- {column}: {why}"


def _rule(corner: str, columns: Sequence[str]) -> Iterator[str]:
    yield f"| {corner} | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"


def _heading(column: str) -> str:
    return f"{column}, k" if column in (INPUT, HIDDEN) else column


def _cell(runs: Sequence[Run], column: str) -> str:
    values = [value for run in runs if (value := measure(run, column)) is not None]
    if not values:
        return "refused" if column in runs[0].integers else "-"
    digits = 1 if column != INPUT else 0
    mean, deviation, n = mean_of(values)
    spread = "" if n == 1 else f" ± {deviation:.{digits}f}"
    some = f" ({n} of {len(runs)})" if n < len(runs) else ""
    return f"{mean:.{digits}f}{spread}{some}"


def _interval(found: Difference) -> str:
    if found.n == 1:
        return f"{found.mean:+.2f}"
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
