"""``sast-compile train``: a folder in, a model out; killed and taken up; wrong folders refused."""

from __future__ import annotations

import io
import signal
import time
from pathlib import Path

import pytest
from command_line import Command, started

pytest.importorskip("torch", reason="training is torch's: the torch extra")
pytest.importorskip("sklearn", reason="the digits come with scikit-learn: the data extra")

import torch
from rich.console import Console

from sast_compile.cli import train_verb
from sast_compile.nn import read_checkpoint
from sast_compile.training.loop import Batch, Epoch
from sast_compile.training.recipe import Hardware, Recipe

MODEL = """
NEURON = {"kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "zero",
          "reset_when": "before_decay"}

def network():
    return [
        {"name": "flatten", "kind": "flatten"},
        {"name": "fc", "kind": "linear", "in_features": 200, "out_features": 10},
        {"name": "lif", **NEURON},
    ]
"""
RECIPE = """
dataset = "digits"
seed = 0
epochs = {epochs}
batch = 128
learning_rate = 1e-2
rho = 0.02
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    made.mkdir()
    (made / "model.py").write_text(MODEL, encoding="utf-8")
    (made / "recipe.toml").write_text(RECIPE.format(epochs=2), encoding="utf-8")
    return made


def test_a_users_folder_becomes_a_model(sast: Command, folder: Path, tmp_path: Path) -> None:
    ended = sast("train", str(folder), "--out", str(tmp_path / "out"), "--seed", "7")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("validation: surrogate") == 2
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"model.pt", "model.nir"}
    assert {p.name for p in folder.iterdir()} == {"model.py", "recipe.toml"}
    facts = read_checkpoint(tmp_path / "out" / "model.pt").provenance
    assert (facts["seed"], facts["device"], facts["test"]["n"]) == (7, "cpu", 360)
    assert facts["recipe"] == (folder / "recipe.toml").read_text(encoding="utf-8")
    assert set(facts["test"]["rates"]) == {"lif"}
    assert facts["seconds"] > 0
    assert "hardware" not in facts


def test_bits_add_a_stage_on_the_chip(sast: Command, folder: Path) -> None:
    ended = sast("train", str(folder), "--bits", "3")
    assert ended.code == 0
    assert ended.out.count("hardware ") == 10
    assert "snapped" in ended.out
    facts = read_checkpoint(folder / "model.pt").provenance
    assert facts["hardware"]["target"] == "loihi2"
    assert facts["hardware"]["bits"] == 3
    assert 0.3 < facts["validation"]["snapped"] <= 1


def test_a_shipped_model_is_written_where_the_user_is(
    sast: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_verb, "shipped", lambda kind: tmp_path)
    monkeypatch.setattr(train_verb, "model_names", lambda: ["mine"])
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert sast("train", "mine").code == 0
    assert (tmp_path / "work" / "mine" / "model.pt").is_file()
    assert not (folder / "model.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    sast: Command, folder: Path, tmp_path: Path, how: signal.Signals
) -> None:
    (folder / "recipe.toml").write_text(RECIPE.format(epochs=12), encoding="utf-8")
    process = started("train", str(folder), cwd=tmp_path)
    progress = folder / ".training.pt"
    deadline = time.monotonic() + 60
    while not progress.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    assert progress.exists()
    assert not (folder / "model.pt").exists()
    resumed = sast("train", str(folder))
    assert 0 < resumed.out.count("validation: surrogate") < 12
    assert not progress.exists()
    assert sast("train", str(folder), "--fresh", "--out", str(tmp_path / "whole")).code == 0
    mine, whole = (read_checkpoint(p / "model.pt").network for p in (folder, tmp_path / "whole"))
    assert torch.equal(mine.fc.weight, whole.fc.weight)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.py", None, "there is no such file"),
        ("model.py", "def network(:", "raised SyntaxError"),
        ("model.py", "def network():\n    return 1 / 0", "raised ZeroDivisionError"),
        ("model.py", "raise SystemExit(3)", "raised SystemExit"),
        ("model.py", "x = 1", "defines no function network"),
        ("model.py", "def network():\n    return [{}]", "layer 0"),
        ("recipe.toml", None, "there is no such file"),
        ("recipe.toml", "epochs = ", "is not TOML"),
        ("recipe.toml", RECIPE.format(epochs=0), "epochs"),
        ("recipe.toml", RECIPE.format(epochs=1).replace("digits", "digit"), "did you mean"),
    ],
)
def test_a_wrong_folder_is_one_message(
    sast: Command, folder: Path, file: str, content: str | None, message: str
) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content, encoding="utf-8")
    ended = sast("train", str(folder))
    assert ended.code == 1
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_wrong_options_are_refused(sast: Command, folder: Path) -> None:
    assert "there is no such folder" in sast("train", "nowhere").err
    assert "unknown target" in sast("train", str(folder), "--target", "loihi9").err
    assert sast("train", str(folder), "--bits", "9").code == 2
    taken = sast("train", str(folder), "--out", str(folder / "model.py"))
    assert "cannot be made: File exists" in taken.err
    assert sast("train", str(folder), "--seed", "-1").code == 2
    if not torch.cuda.is_available():
        assert "no CUDA device" in sast("train", str(folder), "--device", "cuda").err


RUNS = Recipe(dataset="digits", seed=0, epochs=4, batch=1, learning_rate=0.1,
              hardware=Hardware(target="loihi2", bits=4, epochs=6))  # fmt: skip


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to a terminal of 80 columns."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
    monkeypatch.setattr(train_verb, "errors", console)
    monkeypatch.setattr(train_verb, "PLAIN", False)
    return console.file


def batch(stage: str, epoch: int, number: int) -> Batch:
    return Batch(stage, epoch, number, 4, [torch.tensor(0.25), torch.tensor(0.75)])


def test_a_terminal_gets_a_bar_that_every_batch_moves(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_verb, "REDRAWN", 0.0)
    with train_verb._watched(RUNS) as watcher:
        bar = watcher.watch.__self__
        (task,) = bar._progress.tasks
        done = []
        for number in (1, 2, 3, 4):
            watcher.watch(batch("train", 2, number))
            done.append(task.completed)
        assert task.description == "train 2/4  loss 0.5000"
        watcher.report(Epoch("train", 2, 0.5, 0.9, 0.8, {"lif": 0.1}, 1.0))
        watcher.watch(batch("hardware", 3, 2))
        assert task.description == "hardware 3/6  loss 0.5000  surrogate 90.00%  hard 80.00%"
        assert (task.completed, task.total) == (4 + 2 + 2 / 5, 10)
    assert done == pytest.approx([1.2, 1.4, 1.6, 1.8])  # the last fifth is the measuring
    written = terminal.getvalue()
    assert "hardware 3/6  loss 0.5000  surrogate 90.00%  hard 80.00%" in written
    assert "surrogate 90.00%  hard 80.00%  rates lif 0.100" in written  # the epoch's own line


def test_the_loss_is_not_asked_for_at_every_batch(terminal: io.StringIO) -> None:
    # each question waits for a GPU
    asked = []

    class Asked(Batch):
        @property
        def loss(self) -> float:
            asked.append(self.number)
            return 1.0

    with train_verb._watched(RUNS) as watcher:
        for number in range(1, 1000):
            watcher.watch(Asked("train", 1, number, 1000, []))
    assert "loss 1.0000" in terminal.getvalue()
    assert 0 < len(asked) < 100


def test_a_pipe_gets_a_line_an_epoch_and_nothing_of_batches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with train_verb._watched(RUNS) as watcher:
        watcher.watch(batch("train", 1, 1))
        watcher.report(Epoch("train", 1, 0.5, 0.9, 0.8, {"lif": 0.1}, 1.0))
    assert capsys.readouterr() == (
        "train   1  loss 0.5000  validation: surrogate 90.00%  hard 80.00%  "
        "rates lif 0.100  1.0 s\n",
        "",
    )
