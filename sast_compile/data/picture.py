"""A data set as a picture: a few samples of different classes, a few of their time bins."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sast_compile.data.events import Split
from sast_compile.errors import BackendUnavailable, CompileError

if TYPE_CHECKING:
    from sast_compile.data import Dataset

Floats = npt.NDArray[np.float64]

AXES = "PYX"
SAMPLES, BINS = 4, 8
# of polarity 0 and 1, RGB; told apart by every kind of colour vision, and both dark on white
COLOURS = np.array([[0.0, 0.45, 0.70], [0.84, 0.37, 0.0]])
DOTS_PER_INCH = 80


class Shown(NamedTuple):
    """What is drawn: indices of ``samples`` in the split and of ``bins`` in a recording."""

    samples: tuple[int, ...]
    bins: tuple[int, ...]


def picture(name: str, found: Dataset, split: Split) -> bytes:
    """A PNG of samples of ``split`` of the data set ``found``, called ``name``; says what they are.

    A row is a sample, a column a time bin, the last all bins together, darkest where the most
    events are. Raises BackendUnavailable without matplotlib, CompileError for events that
    are not of axes PYX with two polarities.
    """
    if found.encoding.axes != AXES or split.events.shape[2] != len(COLOURS):
        raise CompileError(
            f"a picture needs axes {AXES} and two polarities, these are {found.encoding.axes} "
            f"{split.events.shape[2:]}",
            where=name,
        )
    shown = chosen(split)
    figure = _figure(len(shown.samples), len(shown.bins) + 1)
    grid = figure.subplots(len(shown.samples), len(shown.bins) + 1, squeeze=False)
    for axes, sample in zip(grid, shown.samples, strict=True):
        _row(axes, split.events[sample], int(split.labels[sample]), shown.bins)
    for axis, at in zip(grid[0], shown.bins, strict=False):
        axis.set_title(f"bin {at}", fontsize=8)
    grid[0, -1].set_title("all bins", fontsize=8)
    _say(figure, name, found)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def chosen(split: Split) -> Shown:
    """The first samples of classes from the lowest to the highest, and bins from first to last."""
    classes = np.unique(split.labels)
    some = classes[_spread(len(classes), SAMPLES)]
    samples = (int(np.argmax(split.labels == label)) for label in some)
    return Shown(tuple(samples), tuple(_spread(split.events.shape[1], BINS)))


def coloured(events: Floats) -> Floats:
    """Events (2, Y, X) in [0, 1] as RGB (Y, X, 3): white where there is none, dark where both."""
    ink: Floats = np.einsum("pyx,pc->yxc", events, 1 - COLOURS)
    return np.clip(1 - ink, 0.0, 1.0)


def _spread(n: int, most: int) -> list[int]:
    """Up to ``most`` indices below ``n``, evenly from the first to the last."""
    return [int(at) for at in np.linspace(0, n - 1, min(n, most)).round()]


def _figure(rows: int, columns: int) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BackendUnavailable(
            "a picture needs matplotlib, which is not installed here",
            hint="pip install sast-compile[train]",
        ) from None
    return Figure(figsize=(1.08 * columns + 0.3, 1.08 * rows + 0.75), layout="constrained")


def _row(axes: Any, events: npt.NDArray[np.uint8], label: int, bins: tuple[int, ...]) -> None:
    """One sample (T, 2, Y, X); counts are drawn relative to the sample's most."""
    each = events / max(1, int(events.max()))
    together = events.sum(axis=0, dtype=np.float64)
    pictures = [each[at] for at in bins] + [together / max(1.0, float(together.max()))]
    for axis, frame in zip(axes, pictures, strict=True):
        axis.imshow(coloured(frame), interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        for edge in axis.spines.values():
            edge.set_color("0.8")
    axes[0].set_ylabel(f"class {label}", fontsize=8)


def _say(figure: Any, name: str, found: Dataset) -> None:
    from matplotlib.patches import Patch

    kind = "simulated" if found.simulated else "recorded"
    figure.suptitle(f"{name}: {kind} events", fontsize=11)
    marks = [Patch(color=tuple(c), label=f"polarity {p}") for p, c in enumerate(COLOURS)]
    marks.append(Patch(color="black", label="both"))
    figure.legend(handles=marks, loc="outside upper right", ncols=3, fontsize=8, frameon=False)
    if found.credit is not None:
        figure.supxlabel(found.credit, fontsize=8, color="0.3")
