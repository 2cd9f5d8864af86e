"""The runs of a model as a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from sast_compile.report.gap.table import HIDDEN, Study, measure
from sast_compile.report.statistics import mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def picture(study: Study) -> bytes | None:
    """A PNG: accuracy by configuration, by radius, hidden operations; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    accuracy, radii, operations = figure.subplots(1, 3)
    columns = ("surrogate", "hard", *study.runs[0].integers)
    for at, column in enumerate(columns):
        _points(accuracy, study, column, (at - (len(columns) - 1) / 2) / (len(columns) + 1))
    accuracy.set_title("test accuracy, %")
    accuracy.legend(fontsize="small")
    _points(operations, study, HIDDEN, 0.0)
    operations.set_title("hidden operations a sample, thousands")
    for axes in (accuracy, operations):
        axes.set_xticks(
            range(len(study.configurations)), study.configurations, rotation=20, ha="right"
        )
    for column in ("surrogate", "hard"):
        _curve(radii, study, column)
    radii.set_title("test accuracy by radius of SAM, %")
    radii.set_xlabel("rho")
    radii.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()


def _points(axes: Axes, study: Study, column: str, aside: float) -> None:
    """Every run a small point, every mean a dash."""
    spots, means = [], []
    for at, name in enumerate(study.configurations):
        values = [v for run in study.of(name) if (v := measure(run, column)) is not None]
        spots += [(at + aside, value) for value in values]
        means += [(at + aside, mean_of(values).mean)] if values else []
    if means:
        (drawn,) = axes.plot(*zip(*means, strict=True), "_", markersize=13, label=column)
        axes.plot(*zip(*spots, strict=True), ".", markersize=5, color=drawn.get_color())


def _curve(axes: Axes, study: Study, column: str) -> None:
    found = [
        (rho, mean_of([v for run in study.of(name) if (v := measure(run, column)) is not None]))
        for rho, name in study.sweep
    ]
    spread = [0.0 if mean.n == 1 else mean.deviation for _, mean in found]
    axes.errorbar(
        [rho for rho, _ in found],
        [mean.mean for _, mean in found],
        yerr=spread,
        marker="o",
        capsize=3,
        label=column,
    )
