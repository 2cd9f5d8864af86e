"""The main job: the shipped model to Loihi 2, the same in torch, interpreter and Lava."""

from __future__ import annotations

from pathlib import Path

import pytest

from sast_compile.backends.lava import lava_python
from sast_compile.compile import compile_model
from sast_compile.errors import BackendUnavailable
from sast_compile.report import accuracy
from sast_compile.report.accuracy import accuracy_levels
from sast_compile.samples import samples_for
from sast_compile.verification import Verdict, verify

pytest.importorskip("torch", reason="the main job begins with a torch checkpoint")
pytest.importorskip("sklearn", reason="the digits events need scikit-learn")

ROOT = Path(__file__).parent.parent
SAMPLES = 100


@pytest.mark.lava
@pytest.mark.parametrize("bits", [8, 6, 4, 2])
def test_digits_are_proven_on_every_back_end(bits: int) -> None:
    try:
        lava_python()
    except BackendUnavailable as absent:
        pytest.skip(f"LAVA DID NOT RUN: {absent}")
    compiled = compile_model(ROOT / "models/digits/model.pt", "loihi2", bits)
    assert compiled.artifact is not None
    result = verify(compiled.artifact, samples=SAMPLES)
    assert [c.backend for c in result.checked if c.absent] == []
    assert result.verdict is Verdict.PROVEN
    assert result.silent == []
    for checked in result.checked[1:]:
        assert {layer.layer for layer in checked.layers} == {"lif1", "lif2"}
        for layer in checked.layers:
            neurons = result.program.types[layer.layer].size
            assert dict(layer.values) == dict.fromkeys(("spikes", "u", "v"), SAMPLES * 16 * neurons)


def test_digits_keep_their_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile_model(ROOT / "models/digits/model.pt", "loihi2", 8)
    assert compiled.artifact is not None
    program = compiled.artifact.program
    samples = samples_for(program, compiled.source.contract, compiled.source.dataset, None)
    levels = accuracy_levels(compiled.source, program, samples)
    assert levels is not None
    assert levels.n == 360
    assert levels.hard >= 0.95 * levels.n
    assert levels.integers >= 0.95 * levels.n
    monkeypatch.setattr(accuracy, "chunk_size", lambda *_: 77)
    assert accuracy_levels(compiled.source, program, samples) == levels
