"""A small net, compiled, in a folder of its own; and the command that runs there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import small_nets
from command_line import Command, in_process

from sast_compile.artifact import save_artifact


@pytest.fixture
def sast(capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(capsys)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.nir and what it compiles to, net.sast."""
    folder = tmp_path_factory.mktemp("net")
    save_artifact(small_nets.artifact(folder / "net.nir"), folder / "net.sast")
    return folder


@pytest.fixture
def here(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, in which the command runs."""
    folder = tmp_path / "here"
    shutil.copytree(net, folder)
    monkeypatch.chdir(folder)
    return folder
