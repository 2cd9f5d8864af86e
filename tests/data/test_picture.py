"""The picture of a data set: which samples and bins, which colours, and what it says."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from sast_compile.contract import Encoding
from sast_compile.data import Dataset
from sast_compile.data.events import Split, labelled
from sast_compile.data.picture import COLOURS, chosen, coloured, picture
from sast_compile.errors import BackendUnavailable, CompileError


def split(size: int = 32, steps: int = 20, classes: int = 11) -> Split:
    """A 32x32 set of two samples a class, the higher classes first."""
    labels = np.repeat(np.arange(classes)[::-1], 2)
    events = np.random.default_rng(0).random((len(labels), steps, 2, size, size)) < 0.05
    return Split(events.astype(np.uint8), labels)


def described(axes: str = "PYX", simulated: bool = True, credit: str | None = None) -> Dataset:
    encoding = Encoding(steps=20, axes=axes, values="binary", bin="recording / 20")
    return Dataset(lambda name: labelled(split()), encoding, 1e-3, simulated, credit)


def test_samples_are_of_classes_and_bins_over_the_whole_recording() -> None:
    shown = chosen(split())
    assert [int(split().labels[at]) for at in shown.samples] == [0, 3, 7, 10]
    assert all(at % 2 == 0 for at in shown.samples)  # the first of its class
    assert (shown.bins[0], shown.bins[-1], len(shown.bins)) == (0, 19, 8)
    few = chosen(split(steps=3, classes=2))
    assert (few.samples, few.bins) == ((2, 0), (0, 1, 2))


def test_a_polarity_is_a_colour_and_silence_is_white() -> None:
    events = np.zeros((2, 1, 4))
    events[0, 0, 1] = events[1, 0, 2] = 1
    events[:, 0, 3] = 1
    drawn = coloured(events)
    assert drawn.shape == (1, 4, 3)
    assert drawn[0, 0].tolist() == [1, 1, 1]
    assert np.allclose(drawn[0, 1:3], COLOURS)
    assert drawn[0, 3].max() < 0.05


@pytest.mark.parametrize("simulated", [True, False])
def test_the_picture_says_what_the_events_are(
    simulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure", reason="pictures: the train extra").Figure
    said: list[str] = []

    def keep(self: object, text: str, **options: object) -> None:
        said.append(text)

    monkeypatch.setattr(figure, "suptitle", keep)
    monkeypatch.setattr(figure, "supxlabel", keep)
    made = picture("any-set", described(simulated=simulated, credit="Someone 2020"), split())
    kind = "simulated" if simulated else "recorded"
    assert said == [f"any-set: {kind} events", "Someone 2020"]
    assert made == picture("any-set", described(simulated=simulated), split())
    assert len(made) < 60_000


def test_the_pixels_are_there() -> None:
    pytest.importorskip("matplotlib", reason="pictures: the train extra")
    from matplotlib.image import imread

    dark = Split(np.ones((1, 1, 2, 4, 4), np.uint8), np.array([3]))
    light = Split(np.zeros((1, 1, 2, 4, 4), np.uint8), np.array([3]))
    ink = [imread(io.BytesIO(picture("x", described(), s)))[..., :3].mean() for s in (dark, light)]
    assert ink[0] < ink[1] - 0.2


def test_other_axes_and_a_missing_matplotlib_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CompileError, match=r"x: a picture needs axes PYX and two pol.*are XYP"):
        picture("x", described(axes="XYP"), split())
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BackendUnavailable, match=r"matplotlib.*sast-compile\[train\]"):
        picture("x", described(), split())
