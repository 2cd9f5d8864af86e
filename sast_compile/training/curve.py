"""The learning curve as a picture: loss, accuracy of L0 and L1, firing rates."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from sast_compile.files import write_whole
from sast_compile.training.loop import Epoch


def write_curve(path: Path, history: Sequence[Epoch]) -> bool:
    """The picture lies at ``path``; False, and no file, where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    loss, right, rates = figure.subplots(1, 3)
    epochs = range(1, len(history) + 1)
    loss.semilogy(epochs, [e.loss for e in history], color="black")
    loss.set_title("training loss")
    right.plot(epochs, [100 * e.surrogate for e in history], label="surrogate (L0)")
    right.plot(epochs, [100 * e.hard for e in history], label="hard (L1)")
    right.set_title("validation accuracy, %")
    right.legend(loc="lower right")
    for name in history[0].rates:
        rates.plot(epochs, [e.rates[name] for e in history], label=name)
    rates.set_title("hard spikes per neuron and step")
    rates.legend()
    for axes in (loss, right, rates):
        axes.set_xlabel("epoch")
        for at in range(1, len(history)):
            if history[at].stage != history[at - 1].stage:
                axes.axvline(at + 0.5, color="grey", linestyle=":")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    write_whole(path, buffer.getvalue())
    return True
