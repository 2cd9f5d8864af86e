"""The Python that has SANA-FE, or a loud reason why there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def python_with_sanafe() -> Path:
    folder = Path(os.environ.get("SAST_SANAFE_ENV") or ROOT / ".venv-sanafe")
    if not (folder / "ready").exists():  # written last
        pytest.skip(f"SANA-FE DID NOT RUN: {folder} is not there; run `make oracle-sanafe`")
    return folder / "bin/python"
