"""``sast-compile drift`` and ``--max-drop``: what is printed, written and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ROOT, Command, assert_refused, document, files

from sast_compile.cli import drift_verb

DIGITS = ROOT / "models" / "digits" / "model.pt"
TABLES = ("v of the integers", "spikes", "neurons", "what costs what", "fine parameters")


def test_a_graph_and_what_it_compiles_to_are_the_same_drift(sast: Command, here: Path) -> None:
    fresh = document(sast("drift", "net.nir", "--bits", 4, "--samples", 5, "--json"))
    assert (fresh["target"], fresh["bits"], fresh["samples"]) == ("loihi2", 4, 5)
    assert sast("net.nir", "--bits", 4, "-o", "four.sast").code == 0
    stored = document(sast("drift", "four.sast", "--samples", 5, "--json"))
    assert {**stored, "model": "net.nir"} == fresh
    assert stored["layers"][0]["spikes"]["union"] > 0
    assert stored["origin"].startswith("5 random samples")


def test_tables_and_pictures(sast: Command, here: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    before = set(files(here))
    ended = sast("drift", "net.sast", "--pictures", "drawn")
    assert (ended.code, ended.err) == (0, "")
    assert all(title in ended.out for title in TABLES)
    assert "no labels: accuracies are not measured" in ended.out
    assert set(files(here)) - before == {"drawn/lif1.png", "drawn/lif2.png"}


def test_events_of_ones_own_in_portions(sast: Command, here: Path) -> None:
    np.save("x.npy", (np.random.default_rng(0).random((30, 20, 6)) < 0.3).astype(np.uint8))
    whole = document(sast("drift", "net.sast", "--input", "x.npy", "--json"))
    some = document(
        sast("drift", "net.sast", "--input", "x.npy", "--max-memory", "100KiB", "--json")
    )
    assert whole["samples"] == some["samples"] == 30
    assert whole["costs"] == some["costs"]
    assert whole["layers"][0]["spikes"] == some["layers"][0]["spikes"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net.sast", "--bits", 4], ["net.sast: is compiled", "name its source model"]),
        (["net.nir", "--model", "net.nir"], ["--model names the source of a .sast"]),
        (["net.nir", "--split", "tets"], ["unknown split 'tets'", "test"]),
        (["net.nir", "--data", "digitz"], ["unknown data set 'digitz'", "digits"]),
        (["net.nir", "--data", "digits", "--input", "x.npy"], ["both name events"]),
        (["net.nir", "--max-memory", "7"], ["one sample takes", "7 bytes are allowed"]),
        (["none.sast"], ["none.sast: "]),
        (["net.nir", "--bits", 9], ["9-bit weights are out of range"]),
    ],
)
def test_what_it_refuses(
    sast: Command, here: Path, arguments: list[object], words: list[str]
) -> None:
    assert_refused(sast, ["drift", *arguments], words)


def test_without_its_source_a_sast_has_no_float_network(sast: Command, here: Path) -> None:
    assert sast("net.nir", "-o", "mine.sast").code == 0
    (here / "net.nir").rename(here / "moved.nir")
    assert "the float network is missing" in sast("drift", "mine.sast").message
    assert sast("drift", "mine.sast", "--model", "moved.nir").code == 0


def test_no_matplotlib_is_said_before_anything_runs(
    sast: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sast_compile.report.drift.picture.find_spec", lambda name: None)
    monkeypatch.setattr(drift_verb, "drift", None)
    assert_refused(sast, ["drift", "net.sast", "--pictures", "drawn"], ["pictures need matplotlib"])


def test_a_guard_without_labels_is_refused(sast: Command, here: Path) -> None:
    assert_refused(sast, ["net.nir", "--max-drop", 1], ["net.nir: --max-drop needs labelled data"])
    stopped = ["net.nir", "--max-drop", 1, "--stop-after", "quantize_weights"]
    assert_refused(sast, stopped, ["--max-drop needs all passes", "without --stop-after"])


def test_a_drop_of_more_than_all_is_a_wrong_command_line(sast: Command, here: Path) -> None:
    assert sast("net.nir", "--max-drop", 101).code == 2


@pytest.mark.slow
def test_the_digits_model(sast: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The levels of drift, guard and compile are the same numbers."""
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    monkeypatch.chdir(tmp_path)
    drift = document(sast("drift", DIGITS, "--bits", 2, "--split", "test", "--json"))
    held = document(sast(DIGITS, "--bits", 2, "--max-drop", 100, "--json"))
    accuracy = held["accuracy"]
    levels: dict[str, Any] = drift["levels"]
    assert {name: level["accuracy"]["right"] for name, level in levels.items()} == {
        name: accuracy[name] for name in levels
    }
    shares = [layer["spikes"] for layer in drift["layers"]]
    assert [(s["matched"], s["union"]) for s in shares] == [
        (a["matched"], a["union"]) for a in accuracy["drift"]
    ]
    validation = document(sast("drift", DIGITS, "--bits", 2, "--json"))
    lost = validation["levels"]["integers"]["against_hard"]
    assert {k: lost[k] for k in held["drop"]["change"]} == held["drop"]["change"]
    assert held["drop"]["points"] > 0
    written = files(tmp_path)
    refused = sast(DIGITS, "--bits", 2, "--max-drop", 0)
    assert refused.code == 1
    assert "costs most" in refused.message
    assert files(tmp_path) == written
