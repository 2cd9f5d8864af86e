"""``sast-compile gap``: what the command line itself can get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Command

pytest.importorskip("torch", reason="training needs the torch extra")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rhos", "0,x"], "--rhos: '0,x' is no list of numbers; hint: for example 0,0.02,0.05"),
        (["--rhos", "11"], "--rhos: rho = 11.0 is no radius; hint: 0 to 10"),
        (["--target", "loihi3"], "unknown target 'loihi3'; hint: did you mean `loihi2`?"),
    ],
)
def test_what_it_refuses_before_it_trains(
    sast: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = sast("gap", "digits", "--seeds", "1", *arguments)
    assert ended.code == 1
    assert message in ended.message
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(sast: Command) -> None:
    assert sast("gap", "digitz").message.startswith("digitz: there is no such folder")
