"""The rates of the contests and the scaling curves as one picture."""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.emulator import scaling
from benchmarks.emulator.tables import Contest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def picture(contests: Sequence[Contest], points: Sequence[scaling.Point]) -> bytes | None:
    """A PNG, or None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    rates, density, width, batch, steps, depth = figure.subplots(2, 3).ravel()
    _rates(rates, contests)
    for axes, curve in ((density, "density"), (width, "width"), (depth, "depth")):
        _curve(axes, points, curve, operations=True)
    for axes, curve in ((batch, "batch"), (steps, "steps")):
        _curve(axes, points, curve, operations=False)
    for axes in (width, batch, steps):
        axes.set_xscale("log", base=2 if axes is not steps else 10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()


def _rates(axes: Axes, contests: Sequence[Contest]) -> None:
    """The best of everybody on one thread, one row each."""
    names: list[str] = []
    for one in contests:
        best: dict[str, float] = {}
        for setting, values in one.rates.items():
            if setting.threads == 1:
                found = statistics.median(values)
                best[setting.who] = max(found, best.get(setting.who, 0.0))
        names += [name for name in best if name not in names]
        axes.plot(list(best.values()), [names.index(n) for n in best], "o",
                  label=f"({one.work.letter})")  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("samples/s, 1 thread, best batch")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small")


def _curve(axes: Axes, points: Sequence[scaling.Point], curve: str, *, operations: bool) -> None:
    for line in (scaling.HOST, scaling.NARROW):
        drawn = scaling.of_curve(points, curve, line)
        found = [p.operations if operations else p.microseconds for p in drawn]
        if drawn:
            middle = [one.median for one in found]
            below = [one.median - one.least for one in found]
            above = [one.most - one.median for one in found]
            axes.errorbar([p.x for p in drawn], middle, yerr=[below, above], marker="o",
                          markersize=4, capsize=2, label=line)  # fmt: skip
    axes.set_xlabel(scaling.CURVES[curve][0])
    axes.set_ylabel("10⁹ operations/s" if operations else "µs a step")
    axes.set_ylim(bottom=0)
    if curve in scaling.NARROWED:
        axes.legend(fontsize="small")
