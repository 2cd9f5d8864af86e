"""Runs a Lava app of tests/lava/apps in the Python that has Lava."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from sast_compile.backends.lava.environment import clean_environment

TESTS = Path(__file__).parent
APPS = TESTS / "lava/apps"
SECONDS = 120


def run_app(python: Path, name: str, *arguments: Path) -> Any:
    """What the app prints, from JSON; its error output if it fails."""
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    done = subprocess.run(
        [str(python), str(APPS / f"{name}.py"), *map(str, arguments)],
        env={**clean_environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
