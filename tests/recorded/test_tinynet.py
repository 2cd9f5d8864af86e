"""A trained network of two convolutions from lava-dl's own tests: exact, and in Lava.

The recording's state was reset after its first step and column 0 is empty, so columns 1.. are a run
of their own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sast_compile.backends import reference
from sast_compile.backends.lava import lava_status
from sast_compile.backends.lava import run as run_lava
from sast_compile.compile import compile_model
from sast_compile.frontend.source import read_source

SHARED = Path(os.environ.get("SAST_SHARED") or Path(__file__).parents[2].parent / "shared")
RECORDED = SHARED / "recorded" / "lava_dl"
SPIKES = {"layer1": 1633, "layer2": 92}

pytestmark = pytest.mark.skipif(
    not RECORDED.is_dir(), reason=f"THE RECORDED TINYNET IS NOT HERE: no {RECORDED} ($SAST_SHARED)"
)


def recorded(name: str) -> npt.NDArray[Any]:
    """(N, C, Y, X, T) as (samples, steps, C, Y, X), without column 0."""
    data = np.load(RECORDED / "tinynet" / f"{name}.npy", allow_pickle=False)
    return data.transpose(0, 4, 1, 2, 3)[:, 1:].astype(np.int64)


def assert_recorded(trace: Any) -> None:
    np.testing.assert_array_equal(trace["layer1"].states["u"], recorded("current") * 64)
    np.testing.assert_array_equal(trace["layer1"].spikes, recorded("layer1"))
    np.testing.assert_array_equal(trace["layer2"].spikes, recorded("output"))
    assert {name: int(trace[name].spikes.sum()) for name in SPIKES} == SPIKES


def test_the_imported_network_computes_what_was_recorded() -> None:
    program = read_source(RECORDED / "tiny.net").program
    assert_recorded(reference.run(program, recorded("input"), "states"))


def test_the_compiled_network_computes_what_was_recorded() -> None:
    artifact = compile_model(RECORDED / "tiny.net").artifact
    assert artifact is not None
    assert_recorded(reference.run(artifact.program, recorded("input"), "states"))


@pytest.mark.lava
@pytest.mark.skipif(lava_status().python is None, reason=f"NO LAVA: {lava_status()}")
def test_lava_computes_what_was_recorded() -> None:
    artifact = compile_model(RECORDED / "tiny.net").artifact
    assert artifact is not None
    assert_recorded(run_lava(artifact.program, recorded("input"), record="states").trace)
