"""``sast-compile gap`` on a data set and a net that train in a blink."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

pytest.importorskip("torch", reason="training needs the torch extra")

from sast_compile import data
from sast_compile.catalog import shipped
from sast_compile.contract import Encoding
from sast_compile.data import Dataset, Split
from sast_compile.data.events import labelled
from sast_compile.errors import BadFile, CompileError
from sast_compile.report.gap import runs
from sast_compile.report.gap.plan import Plan, configurations, radius_of, read_plan
from sast_compile.report.gap.runs import Run
from sast_compile.report.gap.study import study_folder, write_into, write_study
from sast_compile.report.gap.table import HIDDEN, Study, csv_text, markdown, measure
from sast_compile.training.recipe import recipe_from_toml

RECIPE = """
dataset = "tiny"
seed = 3
epochs = 2
batch = 16
learning_rate = 0.02
rho = 0.05
"""
MODEL = """
NEURON = {"kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "RESET",
          "reset_when": "WHEN", "slope": 4.0}

def network():
    return [
        {"name": "fc1", "kind": "linear", "in_features": 6, "out_features": 8},
        {"name": "lif1", **NEURON},
        {"name": "fc2", "kind": "linear", "in_features": 8, "out_features": 2},
        {"name": "lif2", **NEURON},
    ]
"""
SIZES = {"train": 48, "validation": 24, "test": 40}


def tiny(folder: Path | None) -> Dataset:
    """Two classes: events on the first or on the last three inputs."""

    def load(split: Any) -> Split:
        draws = np.random.default_rng(len(split))
        labels = draws.integers(0, 2, SIZES[split])
        share = np.where(np.arange(6) // 3 == labels[:, None], 0.6, 0.25)
        events = draws.random((len(labels), 5, 6)) < share[:, None]
        return Split(events.astype(np.uint8), labels)

    encoding = Encoding(steps=5, axes="X", values="binary", bin="a step")
    return Dataset(lambda split: labelled(load(split)), encoding, 1e-3, simulated=True)


def folder_of(place: Path, reset: str = "zero", when: str = "before_decay") -> Path:
    folder = place / "toy"
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    model = MODEL.replace("RESET", reset).replace("WHEN", when)
    (folder / "model.py").write_text(model, encoding="utf-8")
    (folder / "gap.toml").write_text('targets = ["loihi2"]\nrhos = [0, 0.02, 0.05]\n', "utf-8")
    return folder


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(data._DATASETS, "tiny", tiny)
    return folder_of(tmp_path)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The configuration and seed of every training."""
    true, seen = runs._train, []

    def counted(job: runs.Job) -> None:
        seen.append(f"{job.configuration}-{job.recipe.seed}")
        true(job)

    monkeypatch.setattr(runs, "_train", counted)
    return seen


def test_the_whole_of_it_and_once_more(toy: Path, tmp_path: Path, fits: list[str]) -> None:
    out = tmp_path / "out"
    study = study_folder(toy, out, seeds=2)
    names = ["plain", "compute_matched", "annealed", "straight_through", "sast", "sast_rho_0.02"]
    assert fits == [f"{name}-{seed}" for seed in (3, 4) for name in names]
    text = write_study(study, out)
    again = study_folder(toy, out, seeds=2)
    assert len(fits) == 12  # every run was there
    assert again == study
    assert write_study(again, out) == text == (out / "gap.md").read_text(encoding="utf-8")
    assert (out / "gap.png").read_bytes().startswith(b"\x89PNG")
    assert "Named beforehand: `sast` - `compute_matched`, hard accuracy" in text
    assert "over 2 seeds" in text
    assert text.count("| sast - ") == 2
    assert "| 0.02 |" in text
    rows = list(csv.DictReader(io.StringIO((out / "gap.csv").read_text(encoding="utf-8"))))
    assert [row["configuration"] for row in rows] == names * 2
    assert all(0 <= float(row["INT8 loihi2"]) <= 100 for row in rows)
    assert all(float(row["SynOps hidden"]) >= 0 for row in rows)


def test_a_lost_measurement_needs_no_training(toy: Path, tmp_path: Path, fits: list[str]) -> None:
    study = study_folder(toy, tmp_path / "out", seeds=1, rhos=())
    fits.clear()
    (tmp_path / "out" / "runs" / "sast-3.json").unlink()
    assert study_folder(toy, tmp_path / "out", seeds=1, rhos=()) == study
    more = study_folder(toy, tmp_path / "out", seeds=2, rhos=())
    assert more.of("sast")[0] == study.of("sast")[0]
    assert fits == [f"{name}-4" for name in study.configurations]


def test_runs_of_another_recipe_are_not_taken(toy: Path, tmp_path: Path) -> None:
    study_folder(toy, tmp_path / "out", seeds=1, rhos=())
    with pytest.raises(BadFile, match=r"another recipe or model.*--out"):
        study_folder(toy, tmp_path / "out", seeds=1, rhos=(), epochs=1)


def test_a_damaged_run_is_named(toy: Path, tmp_path: Path) -> None:
    study_folder(toy, tmp_path / "out", seeds=1, rhos=())
    (tmp_path / "out" / "runs" / "plain-3.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadFile, match=r"plain-3\.json: is not a run"):
        study_folder(toy, tmp_path / "out", seeds=1, rhos=())


def test_a_target_that_refuses_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data._DATASETS, "tiny", tiny)
    folder = folder_of(tmp_path, "subtract", "after_fire")
    study = study_folder(folder, tmp_path / "out", seeds=1, rhos=(), targets=("loihi2-netx",))
    text = markdown(study, None)
    assert "| refused | refused |" in text
    assert "- INT8 loihi2-netx: lif1: reset 'subtract'" in text
    assert "One seed: there is no interval." in text


@pytest.mark.slow
def test_processes_make_the_same_runs(tmp_path: Path) -> None:
    (tmp_path / "gap.toml").write_text('targets = ["loihi2"]', encoding="utf-8")
    for name in ("model.py", "recipe.toml"):
        text = (shipped("models") / "digits" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text, encoding="utf-8")
    made = [
        study_folder(tmp_path, tmp_path / str(n), seeds=1, epochs=1, processes=n) for n in (1, 2)
    ]
    one, two = ([replace(r, seconds=0.0) for r in study.runs] for study in made)
    assert one == two


def run(configuration: str, seed: int, hard: float, hidden: float = 1000.0) -> Run:
    return Run(
        key="", configuration=configuration, seed=seed, epoch=1, seconds=1.0, device="cpu",
        validation_surrogate=0.9, validation_hard=0.9, n=100, surrogate=0.95, hard=hard,
        rates={"lif": 0.1}, program=runs.Operations(hard, 5000.0, hidden), integers={},
    )  # fmt: skip


def study_of(*made: Run) -> Study:
    return Study("toy", "tiny", True, 0.05, Plan(), made)


def test_differences_are_paired_by_seed() -> None:
    made = [run("compute_matched", s, hard) for s, hard in ((0, 0.5), (1, 0.7), (2, 0.9))]
    made += [run("sast", s, hard, 400) for s, hard in ((2, 0.92), (0, 0.52), (1, 0.72), (7, 0.1))]
    found = study_of(*made).difference("sast", "compute_matched", "hard")
    assert found is not None
    assert found.mean == pytest.approx(2)
    assert found.low == pytest.approx(2)  # every pair differs by 2: the seeds' spread is gone
    assert found.n == 3
    text = markdown(study_of(*made), None)
    assert (
        "hard accuracy: +2.00 [+2.00, +2.00] points.** The 95 % interval over 3 seeds exc" in text
    )
    assert "-0.60 [-0.60, -0.60]" in text


def test_a_difference_within_the_noise_is_called_that() -> None:
    made = [run("compute_matched", s, hard) for s, hard in ((0, 0.5), (1, 0.7), (2, 0.6))]
    made += [run("sast", s, hard) for s, hard in ((0, 0.6), (1, 0.6), (2, 0.63))]
    assert "contains 0: no difference is shown" in markdown(study_of(*made), None)


def test_measures_in_their_units() -> None:
    one = run("sast", 0, 0.5)
    assert measure(one, "gap") == pytest.approx(45)
    assert measure(one, HIDDEN) == 1.0
    assert "45" in csv_text(study_of(one))


def test_configurations_train_nothing_twice() -> None:
    recipe = recipe_from_toml(RECIPE, "recipe.toml")
    named = configurations(recipe, Plan(), [0, 0.05, 0.1], epochs=1)
    assert list(named)[-2:] == ["sast", "sast_rho_0.1"]
    assert named["sast_rho_0.1"].rho == 0.1
    assert {named[n].epochs for n in ("plain", "sast")} == {1}
    assert named["compute_matched"].epochs == 2
    assert [radius_of(n, 0.05) for n in ("plain", "sast", "sast_rho_0.1")] == [0, 0.05, 0.1]
    assert radius_of("annealed", 0.05) is None


def test_a_plain_recipe_needs_a_radius() -> None:
    recipe = replace(recipe_from_toml(RECIPE, "r"), rho=0.0)
    with pytest.raises(CompileError, match="rho"):
        configurations(recipe, Plan())
    assert configurations(recipe, Plan(rho=0.1))["sast"].rho == 0.1


def test_a_plan_is_read_strictly(tmp_path: Path) -> None:
    assert read_plan(tmp_path).against == "compute_matched"
    (tmp_path / "gap.toml").write_text('headline = "x"', encoding="utf-8")
    with pytest.raises(BadFile, match=r"headline.*the keys are against"):
        read_plan(tmp_path)
    (tmp_path / "gap.toml").write_text("=", encoding="utf-8")
    with pytest.raises(BadFile, match=r"gap\.toml"):
        read_plan(tmp_path)


def test_the_picture_lies_beside_the_document(tmp_path: Path) -> None:
    write_into(study_of(run("plain", 0, 0.5), run("sast", 0, 0.6)), tmp_path / "results.md")
    assert "](pictures/gap_toy.png)" in (tmp_path / "results.md").read_text(encoding="utf-8")
    assert (tmp_path / "pictures" / "gap_toy.png").is_file()
