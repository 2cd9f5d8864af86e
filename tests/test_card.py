"""A model's card: the figures of its file and of the compiler, below what a person wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the models are torch checkpoints: the torch extra")
pytest.importorskip("sklearn", reason="the digits come with scikit-learn: the data extra")

from sast_compile.catalog import shipped
from sast_compile.errors import CompileError
from sast_compile.nn import read_checkpoint, write_checkpoint
from sast_compile.report.card import MARKER, write_card


def copied(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped("models") / name, tmp_path / name))


def test_the_figures_stand_below_the_words(tmp_path: Path) -> None:
    folder = copied("digits", tmp_path)
    (folder / "card.md").write_text("# Mine\n\nwords\n", encoding="utf-8")
    measured = write_card(folder, "loihi2")
    again = write_card(folder, "loihi2")
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert measured == again
    assert text == f"# Mine\n\nwords\n\n{MARKER}\n{measured}"
    assert "| hard (L1, float64) | 97.41% | 95.83% |" in measured
    assert "| INT8 on loihi2 (L2 = L3) | | 95.28% |" in measured
    assert "simulated events, not recorded" in measured


def test_a_refusal_is_written_as_one(tmp_path: Path) -> None:
    measured = write_card(copied("digits_subtract", tmp_path), "loihi2-netx")
    assert "| INT8 on loihi2-netx | | refused |" in measured
    assert "INT8: lif1: reset 'subtract'" in measured


def test_a_model_that_was_not_trained_here_is_refused(tmp_path: Path) -> None:
    folder = copied("digits", tmp_path)
    found = read_checkpoint(folder / "model.pt")
    write_checkpoint(folder / "model.pt", found.network, found.contract, {"dataset": "digits"})
    with pytest.raises(CompileError, match="provenance lacks"):
        write_card(folder, "loihi2")


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in shipped("models").glob("*/*.pt")))
def test_every_shipped_model_is_what_its_folder_says(folder: str) -> None:
    path = shipped("models") / folder
    found = read_checkpoint(path / "model.pt")
    assert found.provenance["recipe"] == (path / "recipe.toml").read_text(encoding="utf-8")
    assert MARKER in (path / "card.md").read_text(encoding="utf-8")
    assert (path / "model.nir").is_file()


def test_the_shipped_models_are_under_20_megabytes() -> None:
    assert sum(p.stat().st_size for p in shipped("models").rglob("*")) < 20e6
