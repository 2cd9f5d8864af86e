"""Finding, judging and making Lava's private environment; nothing is downloaded here."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sast_compile.backends.lava import environment
from sast_compile.backends.lava.environment import (
    STAMP,
    environment_folder,
    find_python,
    lava_python,
    lava_status,
    setup_lava,
)
from sast_compile.errors import BackendUnavailable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the environment, on a Python that cannot run Lava itself."""
    monkeypatch.setattr(environment, "lava_is_here", lambda: False)
    place = tmp_path / "lava"
    monkeypatch.setenv("SAST_LAVA_ENV", str(place))
    return place


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A "Python 3.10" that makes a folder for ``-m venv`` and agrees to everything else."""
    python = tmp_path / "fake" / "python"
    venv = 'mkdir -p "$4/bin" && touch "$4/pyvenv.cfg" && cp "$0" "$4/bin/python"'
    script(
        python,
        f'echo "$@" >> {tmp_path}/calls\n'
        f'case "$*" in *version_info*) echo 3 10;; *venv*) {venv};; *fail*) exit 3;; esac',
    )
    monkeypatch.setenv("SAST_LAVA_PYTHON", str(python))
    return python


def test_an_absent_environment_names_the_way_out(folder: Path) -> None:
    with pytest.raises(BackendUnavailable, match="no Lava environment in") as error:
        lava_python()
    assert "sast-compile setup-lava" in (error.value.hint or "")
    assert lava_status().python is None
    assert "sast-compile setup-lava" in str(lava_status())


def test_the_environment_lies_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SAST_LAVA_ENV", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert environment_folder() == tmp_path / "sast-compile" / "lava"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert environment_folder() == Path.home() / ".local/share/sast-compile/lava"
    monkeypatch.setenv("SAST_LAVA_ENV", "relative")
    assert environment_folder() == Path.cwd() / "relative"


def test_setup_makes_it_once_and_again_when_the_pins_change(
    folder: Path, fake_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    assert setup_lava(lines.append) == folder / "bin" / "python" == lava_python()
    assert any("installing" in line for line in lines)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 4  # which version, venv, pip, a trial
    assert f"-r {environment.PINS}" in calls[2]
    setup_lava()
    assert len((tmp_path / "calls").read_text().splitlines()) == len(calls)
    monkeypatch.setattr(environment, "PINS", Path(script(tmp_path / "pins", "numpy==9")))
    with pytest.raises(BackendUnavailable, match="made with other pins"):
        lava_python()
    setup_lava()
    assert lava_python()


def test_a_half_made_environment_is_never_used(
    folder: Path, fake_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "TRIAL", "fail")
    with pytest.raises(BackendUnavailable, match="exit code 3"):
        setup_lava()
    assert (folder / "bin" / "python").exists()
    with pytest.raises(BackendUnavailable, match="is not complete"):
        lava_python()
    monkeypatch.setattr(environment, "TRIAL", "pass")
    setup_lava()
    (folder / "bin" / "python").unlink()
    with pytest.raises(BackendUnavailable, match="has lost its Python"):
        lava_python()


def test_a_folder_that_is_not_ours_is_left_alone(folder: Path, fake_python: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(BackendUnavailable, match="is no Python environment"):
        setup_lava()
    assert (folder / "thesis.tex").exists()


def test_two_setups_at_once_wait_for_each_other(
    folder: Path, fake_python: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    with environment._locked(folder, said.append):
        second = threading.Thread(target=setup_lava, args=(said.append,))
        second.start()
        time.sleep(0.2)
        assert said == ["waiting for another set-up to end"]
        assert not folder.exists()
    second.join()
    assert lava_python()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calls", "fake", "lava"]


def test_only_a_python_that_answers_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyenv's shims exist, are executable, and say that they do not know the command."""
    shim = script(tmp_path / "bin" / "python3.10", "echo 'command not found' >&2; exit 127")
    for version, answer in (("3.10.2", "3 10"), ("3.10.13", "3 10"), ("3.10.14", "3 11")):
        script(tmp_path / "versions" / version / "bin" / "python", f"echo {answer}")
    monkeypatch.delenv("SAST_LAVA_PYTHON", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    if sys.version_info[:2] != (3, 10):
        assert find_python() == tmp_path / "versions" / "3.10.13" / "bin" / "python"
    monkeypatch.setenv("SAST_LAVA_PYTHON", shim)
    with pytest.raises(BackendUnavailable, match="these do not answer as such") as error:
        find_python()
    assert shim in error.value.what
    assert "pyenv install 3.10" in (error.value.hint or "")


def test_uv_is_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info[:2] == (3, 10):
        pytest.skip("this Python itself is found first")
    python = script(tmp_path / "managed" / "python", "echo 3 10")
    script(tmp_path / "bin" / "uv", f"echo {python}")
    monkeypatch.delenv("SAST_LAVA_PYTHON", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "no_pyenv"))
    assert find_python() == Path(python)


def test_every_package_is_pinned() -> None:
    pins = [line for line in environment.PINS.read_text().splitlines() if line[:1] != "#"]
    assert len(pins) > 8
    assert all(line.count("==") == 1 for line in pins)
    assert "lava-nc==0.10.0" in pins


@pytest.mark.lava
@pytest.mark.skipif(lava_status().python is None, reason=f"NO LAVA ENVIRONMENT: {lava_status()}")
def test_the_pins_are_what_is_installed() -> None:
    command = [str(lava_python()), "-I", "-m", "pip", "freeze", "--disable-pip-version-check"]
    installed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pins = [line for line in environment.PINS.read_text().splitlines() if line[:1] != "#"]
    assert sorted(installed.split()) == sorted(pins)


def test_the_stamp_is_written_last(
    folder: Path, fake_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    call = environment._call

    def watched(command: list[str], progress: environment.Progress) -> None:
        seen.append((folder / STAMP).exists())
        call(command, progress)

    monkeypatch.setattr(environment, "_call", watched)
    setup_lava()
    assert seen == [False] * 3
    assert (folder / STAMP).exists()
