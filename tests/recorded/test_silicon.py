"""Traces that others recorded, on a Loihi 2 chip among them, reproduced through our IR."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from loihi_programs import LoihiLayer, chain

from sast_compile.backends.reference import run
from sast_compile.trace import Layer

SHARED = Path(os.environ.get("SAST_SHARED") or Path(__file__).parents[2].parent / "shared")
RECORDED = SHARED / "recorded"
AT_SPIKE = 128  # what the chip's v register reads in the step of a spike; Lava's reads 0

pytestmark = pytest.mark.skipif(
    not RECORDED.is_dir(), reason=f"THE RECORDED TRACES ARE NOT HERE: no {RECORDED} ($SAST_SHARED)"
)

Array = npt.NDArray[Any]


def column(name: str, index: int) -> Array:
    data = np.genfromtxt(RECORDED / name, delimiter=",")
    assert data.shape == (1000, 3)
    return data[:, index].astype(int)


def single_neuron(events: Array) -> Layer:
    """The neuron of the NIR paper's first task: leak 163/4096, threshold 25, weight 10."""
    layer = LoihiLayer(np.array([[10]]), bits=8, signed=False, exponent=0, dv=163, vth=25)
    return run(chain("lif", [layer]), events[None, :, None], "states")["s1"]


def as_rows(values: Array) -> Array:
    """(steps, neurons) of a layer as the chip's steps: the connection takes one."""
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])


@pytest.mark.parametrize(
    ("name", "at_spike"), [("lif_lava_loihi_fixed.csv", AT_SPIKE), ("lif_lava_cpu_fixed.csv", 0)]
)
def test_a_single_neuron_on_the_chip_and_on_lava(name: str, at_spike: int) -> None:
    layer = single_neuron(column(name, 0))
    spikes, v = as_rows(layer.spikes[0])[:, 0], as_rows(layer.states["v"][0])[:, 0]
    assert spikes.sum() == 4
    np.testing.assert_array_equal(spikes, column(name, 2))
    np.testing.assert_array_equal(np.where(spikes, at_spike, v), column(name, 1))


def test_a_trained_layer_of_200_inputs_and_256_neurons() -> None:
    folder = RECORDED / "lava_dl" / "dense"
    events, weights, current, out = (
        np.load(folder / f"{name}.npy", allow_pickle=False).astype(int)
        for name in ("in", "weight", "current", "out")
    )
    assert (weights % 2 == 0).all()  # on the mixed-sign grid
    layer = LoihiLayer(weights // 2, bits=8, exponent=1, dv=415, vth=6)
    trace = run(chain("dense", [layer]), events.T[None], "states")["s1"]
    assert out.sum() == 1826
    np.testing.assert_array_equal(as_rows(trace.states["u"][0]).T, current << 6)
    np.testing.assert_array_equal(as_rows(trace.spikes[0]).T, out)
