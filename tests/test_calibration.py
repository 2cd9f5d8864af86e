"""compile --calibrate: which events are used, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, events, float_chain

from sast_compile.artifact import artifact_bytes, load_artifact, save_artifact
from sast_compile.backends.reference import run
from sast_compile.compile import compile_model, lower
from sast_compile.data import load_dataset
from sast_compile.errors import CompileError
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array, Int
from sast_compile.passes import Calibration, Options
from sast_compile.verification import Verdict, verify

pytest.importorskip("torch", reason="the digits checkpoint needs torch")

MODEL = Path(__file__).parent.parent / "models/digits/model.pt"


def test_the_train_split_is_named_and_the_same_bytes_come_out(tmp_path: Path) -> None:
    first, again = (compile_model(MODEL, bits=3, calibrate="train").artifact for _ in range(2))
    assert first is not None
    assert again is not None
    assert artifact_bytes(first) == artifact_bytes(again)
    save_artifact(first, tmp_path / "net.sast")
    said = load_artifact(tmp_path / "net.sast").provenance
    assert said.rounding == "membrane"
    assert said.calibration.data == "digits, train split, first 1000"
    assert said.calibration.samples == 1000
    assert verify(first, samples=10, backends=["emulator", "torch"]).verdict is Verdict.UNPROVEN


def test_events_of_ones_own_give_the_integers_of_the_same_events(tmp_path: Path) -> None:
    own = tmp_path / "own.npy"
    np.save(own, load_dataset("digits", "train").events[:1000])
    artifacts = [compile_model(MODEL, bits=4, calibrate=c).artifact for c in ("train", own)]
    assert artifacts[0].program == artifacts[1].program
    assert artifacts[0].provenance.calibration.sha256 == artifacts[1].provenance.calibration.sha256
    plain = compile_model(MODEL, bits=4).artifact
    assert plain is not None
    assert plain.program != artifacts[0].program


def test_what_cannot_be_calibrated_is_said(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"looks at no events; hint: --calibrate alone"):
        compile_model(MODEL, rounding="nearest", calibrate="train")
    with pytest.raises(CompileError, match=r"names no data set .*--calibrate-on FILE"):
        compile_model(MODEL.with_suffix(".nir"), calibrate="train")


def test_layers_behind_see_the_integers_in_front() -> None:
    rng = np.random.default_rng(0)
    program = float_chain(*(FloatLayer(rng.normal(0.2, 0.5, (6, 6)), 0.9) for _ in range(3)))
    x, seen = events((20, 12, 6)), list[list[bool]]()

    def spikes(half: Program) -> dict[str, Array]:
        whole = [isinstance(half.consts[f"fc{i}.weight"].type.element, Int) for i in (1, 2, 3)]
        seen.append(whole)
        rest = lower(half, LOIHI2, Options(4, 12))[-1].program
        return {name: layer.spikes for name, layer in run(rest, x).layers.items()}

    options = Options(4, 12, calibration=Calibration(x, "twenty samples", spikes))
    steps = lower(program, LOIHI2, options)
    assert seen == [[False] * 3, [True, False, False], [True, True, False]]
    notes = next(step for step in steps if step.name == "quantize_weights").notes
    assert all(note.text.endswith("(twenty samples)") for note in notes)


def test_calibration_keeps_more_spikes_of_samples_that_it_has_not_seen() -> None:
    """Inputs that fire together: what no independence knows of."""
    rng = np.random.default_rng(1)
    program = float_chain(FloatLayer(rng.normal(0.05, 0.3, (8, 40)), 0.9))

    def drawn(seed: int) -> Array:
        return np.repeat(events((60, 20, 10), 0.15, seed), 4, axis=2)  # four copies of each input

    def kept(calibration: Calibration | None) -> float:
        options = Options(3, 20, calibration=calibration)
        chip = lower(program, LOIHI2, options)[-1].program
        floats, integers = (run(p, drawn(7))["lif1"].spikes for p in (program, chip))
        return float(np.minimum(floats, integers).sum() / np.maximum(floats, integers).sum())

    known = Calibration(drawn(3), "drawn", lambda half: {})
    assert kept(known) > kept(None) + 0.1
