"""share_thresholds: folded where that costs no bits, else left for a split; no spike changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, events, float_chain, lowered, until, weights_of
from msgspec.structs import replace

from sast_compile.backends.reference import run
from sast_compile.ir.neuron import Ref
from sast_compile.passes.share_thresholds import common_threshold

RNG = np.random.default_rng(5)
PLAIN = RNG.normal(0.5, 0.5, (6, 8))
THRESHOLDS = np.array([0.5, 1.0, 2.0, 0.5, 1.0, 4.0])
LIKE_THRESHOLDS = PLAIN * THRESHOLDS[:, None]  # folding makes these rows alike: it gains bits


@pytest.mark.parametrize(
    "kinds", [{}, {"reset": "subtract", "bias": 0.05}, {"bias": 0.1 * PLAIN[:, 0]}]
)
def test_rows_like_their_thresholds_are_folded_and_no_spike_changes(kinds: dict[str, Any]) -> None:
    layer = FloatLayer(LIKE_THRESHOLDS, alpha=0.5, threshold=THRESHOLDS, **kinds)
    before = float_chain(layer)
    result = lowered(before, ["share_thresholds"])
    fire = result.program.neurons["lif1"].fire
    assert fire is not None
    assert fire.threshold == common_threshold(THRESHOLDS)
    assert result.notes[0].text.startswith("4 thresholds, folding costs -")
    assert result.notes[0].text.endswith("bits: folded")
    x = events((20, 40, 8))
    spikes = run(before, x)["lif1"].spikes
    assert (spikes.sum(axis=(0, 1)) > 20).all()
    assert np.array_equal(spikes, run(result.program, x)["lif1"].spikes)
    assert "lif1.threshold" not in result.program.consts


def test_a_fold_that_costs_bits_is_not_made() -> None:
    program = float_chain(FloatLayer(PLAIN, threshold=THRESHOLDS))
    result = lowered(program, ["share_thresholds"])
    assert result.program == program
    assert result.notes[0].numbers["parts"] == 4
    assert result.notes[0].numbers["bits"] > 0
    assert result.notes[0].text.endswith(": split")


def test_a_chip_with_a_threshold_for_each_neuron_keeps_them() -> None:
    program = float_chain(FloatLayer(LIKE_THRESHOLDS, threshold=THRESHOLDS))
    own = replace(LOIHI2, neurons=replace(LOIHI2.neurons, scope="neuron"))
    result = lowered(program, ["share_thresholds"], target=own)
    assert result.program == program
    assert result.notes[0].text == "4 thresholds, each neuron holds its own"


def test_one_threshold_is_left_alone() -> None:
    program = float_chain(FloatLayer(PLAIN, threshold=0.7))
    assert lowered(program, ["share_thresholds"]).notes == ()


@pytest.mark.parametrize("weights", [PLAIN, LIKE_THRESHOLDS])
def test_the_compiled_population_fires_as_the_float_one(weights: np.ndarray) -> None:
    layer = FloatLayer(weights, alpha=0.9, threshold=THRESHOLDS)
    before = float_chain(layer)
    shared = lowered(before, until("share_thresholds")).program
    program = lowered(before, LOIHI2.passes, steps=40).program
    fire = shared.neurons["lif1"].fire
    assert fire is not None
    assert isinstance(fire.threshold, Ref) is (weights is PLAIN)
    x = events((20, 40, 8))
    spikes, integers = run(before, x)["lif1"].spikes, run(program, x)["lif1"].spikes
    assert (integers.sum(axis=(0, 1)) > 20).all()
    assert (spikes != integers).mean() < 0.01
    assert weights_of(program, "fc1").type.element.bits == 8  # type: ignore[union-attr]
