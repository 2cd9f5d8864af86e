"""The Python that has Lava, and the digits net as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sast_compile.artifact import save_artifact
from sast_compile.backends.lava import lava_python
from sast_compile.compile import compile_model
from sast_compile.errors import BackendUnavailable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def python_with_lava() -> Path:
    try:
        return lava_python()
    except BackendUnavailable as absent:
        pytest.skip(f"LAVA DID NOT RUN: {absent}")


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="the digits net begins as a torch checkpoint")
    pytest.importorskip("sklearn", reason="the digits events need scikit-learn")
    artifact = compile_model(ROOT / "models/digits/model.pt").artifact
    assert artifact is not None
    path = tmp_path_factory.mktemp("digits") / "digits.sast"
    save_artifact(artifact, path)
    return path
