"""``export``: a model in the numbers of another framework's importer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import Command

from sast_compile.backends import reference
from sast_compile.frontend.nir_readers import READERS
from sast_compile.frontend.source import read_source


def test_what_is_written_fires_as_the_model(sast: Command, here: Path) -> None:
    done = sast("export", "net.nir", "--for", "spikingjelly")
    assert (done.code, done.out) == (0, "wrote net.spikingjelly.nir for spikingjelly\n")
    model, written = read_source("net.nir"), read_source("net.spikingjelly.nir")
    assert written.contract.dt == READERS["spikingjelly"].contract.dt != model.contract.dt
    events = (np.random.default_rng(0).random((4, 50, 6)) < 0.5).astype(np.uint8)
    ours, theirs = (reference.run(source.program, events) for source in (model, written))
    for name in model.program.neurons:
        assert ours[name].spikes.any()
        assert np.array_equal(ours[name].spikes, theirs[name].spikes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.nir", "--for", "norse"), "lif1: its comparison: >=; what norse reads from NIR: >"),
        (
            ("net.nir", "--for", "nrose"),
            "--for: unknown framework 'nrose'; hint: did you mean `norse`?",
        ),
        (("net.nir", "--for", "spikingjelly", "-o", "net.nir"), "net.nir: would replace the model"),
    ],
)
def test_what_cannot_be_written_is_said(
    sast: Command, here: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = sorted(here.iterdir())
    assert sast("export", *arguments).message.startswith(message)
    assert sorted(here.iterdir()) == before
