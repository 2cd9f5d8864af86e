"""A layer's drift as a picture: errors of v, rates before and after, flips over the steps."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sast_compile.errors import BackendUnavailable, CompileError
from sast_compile.files import write_whole
from sast_compile.report.drift.layers import EDGES, Flips, LayerDrift

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_pictures(layers: tuple[LayerDrift, ...], folder: Path) -> list[str]:
    """The paths of a PNG for each layer, ``folder``/LAYER.png; the folder is made.

    Raises CompileError if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompileError(f"cannot be made: {error.strerror}", where=str(folder)) from None
    paths = [folder / f"{layer.layer}.png" for layer in layers]
    for path, layer in zip(paths, layers, strict=True):
        write_whole(path, picture(layer))
    return [str(path) for path in paths]


def check_pictures() -> None:
    """Raises BackendUnavailable where pictures cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise BackendUnavailable(
            "pictures need matplotlib, which is not installed here",
            hint="pip install sast-compile[train]",
        )


def picture(layer: LayerDrift) -> bytes:
    """The PNG of one layer; its description, in words, is in the file's metadata."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    figure.suptitle(f"{layer.layer}: float network (L1) and integers (L3)")
    errors, rates, steps = figure.subplots(1, 3)
    _errors(errors, layer)
    if layer.flips is None:
        rates.set_axis_off()
        steps.set_axis_off()
    else:
        _rates(rates, layer, layer.flips)
        _steps(steps, layer.flips)
    buffer = io.BytesIO()
    metadata = {
        "Software": None,
        "Title": f"drift of {layer.layer}",
        "Description": in_words(layer),
    }
    figure.savefig(buffer, format="png", dpi=90, metadata=metadata)
    return buffer.getvalue()


def in_words(layer: LayerDrift) -> str:
    """What the picture shows, for those who do not see it."""
    v, flips = layer.membrane.all, layer.flips
    unit = "model units" if flips is None else "thresholds"
    said = f"v errs by {v.mean:.3g} on average, {v.deviation:.3g} standard deviation, in {unit}"
    if flips is None:
        return said
    return (
        f"{said}; spikes a neuron and step {layer.rate(flips.before):.4g} before, "
        f"{layer.rate(flips.after):.4g} after; {flips.lost} spikes lost and {flips.added} added"
    )


def _errors(axes: Axes, layer: LayerDrift) -> None:
    counts, n = layer.membrane.bins, layer.membrane.all.n
    axes.stairs(counts / n, EDGES, fill=True, alpha=0.6)
    axes.axvline(0, color="black", linewidth=0.8)
    outside = n - int(counts.sum())
    axes.set_title(f"error of v; {outside / n:.1%} lie outside")
    axes.set_xlabel("model units" if layer.flips is None else "thresholds")
    axes.set_ylabel("share of all values")


def _rates(axes: Axes, layer: LayerDrift, flips: Flips) -> None:
    before, after = (counts.ravel() / layer.slots for counts in (flips.before, flips.after))
    highest = max(float(before.max()), float(after.max())) or 1.0
    axes.plot([0, highest], [0, highest], color="black", linewidth=0.8, label="the same")
    axes.plot(before, after, ".", markersize=4, alpha=0.5, label="a neuron")
    axes.set_title("spikes a step")
    axes.set_xlabel("float network (L1)")
    axes.set_ylabel("integers (L3)")
    axes.legend(fontsize="small")


def _steps(axes: Axes, flips: Flips) -> None:
    steps = np.arange(len(flips.by_step) + 1) - 0.5
    axes.stairs(flips.by_step, steps, fill=True, alpha=0.6)
    axes.set_title(f"flips: {flips.lost:,} spikes lost, {flips.added:,} added")
    axes.set_xlabel("step")
    axes.set_ylabel("flips, all samples and neurons")
