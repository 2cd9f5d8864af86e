"""Networks that the tests of verification compile: the digits, and one with biases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from float_programs import FloatLayer, events

pytest.importorskip("torch", reason="the torch integer model: the torch extra")
pytest.importorskip("sklearn", reason="the digits: the data extra")

from network_sources import STEPS, compiled, source, with_thresholds
from register_mutations import Compiled, Place

from sast_compile.artifact import Artifact
from sast_compile.compile import compile_model
from sast_compile.frontend.source import read_source
from sast_compile.samples import samples_for

MODEL = Path(__file__).parents[1] / "models" / "digits" / "model.pt"
SAMPLES = 12


@cache
def digits() -> Artifact:
    artifact = compile_model(str(MODEL), "loihi2", 8, rounding="nearest").artifact
    assert artifact is not None
    return artifact


@cache
def digits_net() -> Compiled:
    artifact = digits()
    data = samples_for(artifact.program, artifact.contract, artifact.provenance.data, SAMPLES)
    return Compiled(read_source(MODEL), artifact.program, data.events)


@cache
def biased_net() -> Compiled:
    """Three layers behind a flatten, with leaks, biases and both signs."""
    rng = np.random.default_rng(5)
    sizes = [(9, 12), (7, 9), (5, 7)]
    layers = [
        FloatLayer(rng.normal(0.1, 0.7, size), leak, bias=rng.normal(0, 0.2, size[0]))
        for size, leak in zip(sizes, (0.9, 0.8, 0.95), strict=True)
    ]
    x = events((16, STEPS, 2, 3, 2), 0.4)
    given = source(with_thresholds(layers, x, [0.5, 0.5, 0.5], least=0.3), (2, 3, 2))
    return Compiled(given, compiled(given, rounding="nearest"), x)


NETS: dict[str, Callable[[], Compiled]] = {"digits": digits_net, "biased": biased_net}
PLACES = [("digits", "lif1"), ("digits", "lif2"), *(("biased", f"lif{n}") for n in (1, 2, 3))]
LAYERS = pytest.mark.parametrize(("net", "layer"), PLACES, ids=[f"{n}-{p}" for n, p in PLACES])


def place(net: str, layer: str) -> Place:
    return Place(NETS[net](), layer)
