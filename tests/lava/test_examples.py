"""The examples of docs/lava-apps.md, each by the command that stands in the page."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sast_compile.backends.lava.environment import clean_environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/lava-apps.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.+)\n```$", PAGE, re.MULTILINE)
COMPILE, *EXAMPLES = COMMANDS
SECONDS = 120


def shell(command: str, folder: Path) -> str:
    """What ``command`` prints in ``folder``; its errors too if it fails."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(python_with_lava: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone after `make setup`, with the digits net compiled."""
    pytest.importorskip("torch", reason="the digits net begins as a torch checkpoint")
    pytest.importorskip("sklearn", reason="the digits events need scikit-learn")
    folder = tmp_path_factory.mktemp("clone")
    for name in ("docs", "models", "sast_compile", "targets"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".venv-lava").symlink_to(python_with_lava.parents[1])
    shell(COMPILE, folder)
    return folder


def test_every_example_has_a_command() -> None:
    scripts = {path.name for path in (ROOT / "docs/lava-apps").glob("*.py")} - {"compare.py"}
    assert {Path(match).name for match in re.findall(r"\S+\.py", " ".join(EXAMPLES))} == scripts


def test_the_examples_see_a_difference_and_silence() -> None:
    compare = runpy.run_path(str(ROOT / "docs/lava-apps/compare.py"))["compare"]
    spikes = np.eye(3, dtype=int)
    assert compare("equal", spikes, spikes.copy())
    assert not compare("one spike moved", np.roll(spikes, 1), spikes)
    assert not compare("silent", 0 * spikes, 0 * spikes)
    assert not compare("short", spikes[:2], spikes)


@pytest.mark.lava
@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_equals_the_reference_interpreter(command: str, clone: Path) -> None:
    printed = shell(command, clone)
    compared = re.findall(r": (\d+) of \d+ values differ from .* \((\d+) spikes\)", printed)
    assert compared
    for differing, spikes in compared:
        assert int(differing) == 0
        assert int(spikes) > 0
