"""``sast-compile data``: the list, one set in numbers, and its picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Command, document

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: the data extra")

from sast_compile.data import dataset_names


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SAST_DATA", "SAST_SHARED"):
        monkeypatch.delenv(name, raising=False)


def test_every_set_is_listed_as_what_it_is_without_being_read(sast: Command) -> None:
    ended = sast("data")
    assert (ended.code, ended.err) == (0, "")
    rows = {line.split()[0]: line for line in ended.out.splitlines() if line.strip()}
    assert set(dataset_names()) <= set(rows)
    assert "simulated" in rows["nmnist-sim"]
    assert "recorded" in rows["dvs-gesture"]
    listed = document(sast("data", "--json"))
    assert set(listed) == set(dataset_names())
    assert listed["nmnist-1k"]["credit"].endswith("CC BY-SA 4.0")


def test_a_set_in_numbers(sast: Command) -> None:
    ended = sast("data", "digits")
    assert (ended.code, ended.err) == (0, "")
    for words in ("simulated", "16 steps of PYX, binary", "1 ms", "1,167", "16 x 2 x 10 x 10"):
        assert words in ended.out
    (digits,) = document(sast("data", "digits", "--json")).values()
    assert {part["split"]: part["n"] for part in digits["splits"]} == {
        "train": 1167,
        "validation": 270,
        "test": 360,
    }
    assert digits["splits"][0]["events"] == pytest.approx(272.7, abs=0.1)
    assert not list(Path().iterdir())


def test_a_picture_is_written(sast: Command) -> None:
    pytest.importorskip("matplotlib", reason="pictures: the train extra")
    ended = sast("data", "digits", "-o", "digits.png")
    assert (ended.code, ended.err) == (0, "")
    assert "written: digits.png (of the validation split)" in ended.out
    assert Path("digits.png").read_bytes().startswith(b"\x89PNG")
    assert Path("digits.png").stat().st_size < 60_000


def test_what_cannot_be_shown_is_one_message(sast: Command) -> None:
    for arguments, words in (
        (["digit"], "did you mean 'digits'"),
        (["-o", "x.png"], "a picture is of one data set"),
        (["digits", "-o", "x.jpg"], "pictures are written as PNG"),
        (["digits", "-o", "none/x.png"], "cannot be written"),
        (["nmnist-1k"], "--data DIR or SAST_DATA=DIR"),
        (["nmnist-1k", "--data", "nowhere"], "the recordings are not here"),
    ):
        ended = sast("data", *arguments)
        assert ended.code == 1
        assert words in ended.message
    assert not list(Path().iterdir())
