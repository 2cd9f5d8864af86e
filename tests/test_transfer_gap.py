"""The gap table: its statistics, and a whole small run that is taken up where it stopped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training is torch's: the torch extra")
pytest.importorskip("sklearn", reason="the digits come with scikit-learn: the data extra")

from sast_compile.catalog import shipped
from sast_compile.errors import CompileError
from sast_compile.report.transfer_gap import Run, csv, measure_gap, paired, table


def test_the_interval_is_students() -> None:
    found = paired([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.n) == (3.0, 5)
    # t(0.975, 4) sd / sqrt(5) with sd = sqrt(2.5)
    assert found.half == pytest.approx(2.776 * 2.5**0.5 / 5**0.5)
    assert paired([1.0] * 25).half == 0
    assert paired([1.0]).half == float("inf")


def test_a_small_table(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(shipped("models") / "digits", folder)
    recipe = (
        (folder / "recipe.toml").read_text(encoding="utf-8").replace("epochs = 40", "epochs = 1")
    )
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    seen: list[Run] = []
    arguments = {"seeds": 2, "rhos": [0.1], "target": "loihi2", "data": None}
    runs = measure_gap(folder, tmp_path / "out", report=seen.append, **arguments)
    assert runs == seen
    names = ["plain", "compute_matched", "annealed", "straight_through", "sast", "sast rho=0.1"]
    assert [run.name for run in runs] == names * 2
    assert [run.seed for run in runs] == [0] * 6 + [1] * 6
    assert all(run.n == 360 and run.int8 is not None for run in runs)
    again = measure_gap(folder, tmp_path / "out", report=lambda run: None, **arguments)
    assert again == runs  # seconds and all: nothing was trained anew
    text = table(runs, "loihi2")
    assert "| compute_matched |" in text
    assert "mean ± sd of 2 seeds" in text
    assert len(csv(runs).splitlines()) == 13
    plain = recipe.replace("rho = 0.05", "rho = 0.0")
    (folder / "recipe.toml").write_text(plain, encoding="utf-8")
    with pytest.raises(CompileError, match="nothing to be compared with"):
        measure_gap(folder, tmp_path / "out", report=seen.append, **arguments)
