"""The law of the lowering: on the chip's own grid nothing is lost, and L1 = L2 = L3 exactly.

L1 is computed twice (the torch module in float64, the reference interpreter on the float program),
L2 by the torch module with the chip's integers, L3 by the compiled program.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="L1 and L2 are torch modules: the torch extra")

from float_programs import Array, FloatLayer, events, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from network_sources import STEPS, compiled, grid_layers, source, with_thresholds, without_module

from sast_compile.backends import reference
from sast_compile.compare import compare_traces
from sast_compile.levels import hard_spikes, integer_trace


def assert_equal_levels(given_: Any, bits: int, x: Array) -> tuple[bool, int]:
    """L1 = L1 = L2 = L3 on ``x``; returns whether every layer fired, and the ties."""
    program = compiled(given_, bits)
    assert given_.network is not None
    module = hard_spikes(given_, x)
    graph = hard_spikes(without_module(given_), x)
    integers = integer_trace(given_, program, x)
    chip = reference.run(program, x, record="states")
    for name in program.neurons:
        tally = chip[name].tally
        assert tally is not None
        assert not any(tally.clamped.values())  # a state that saturates is off the grid
        assert np.array_equal(module[name], graph[name]), name
        assert np.array_equal(module[name], integers[name].spikes), name
        assert np.array_equal(module[name], chip[name].spikes), name
    assert all(layer.identical for layer in compare_traces(chip, integers))  # u and v as well
    float_v = reference.run(given_.program, x, "states")
    ties = sum(layer.tally.ties for layer in float_v.layers.values() if layer.tally)
    return all(module[name].any() for name in module), ties


def test_law_on_the_grid_every_level_is_the_same() -> None:
    active: list[bool] = []
    ties: list[int] = []

    @settings(max_examples=150, deadline=None)
    @given(data=st.data(), bits=st.integers(2, 8), density=st.sampled_from([0.2, 0.5, 0.9]))
    def law(data: st.DataObject, bits: int, density: float) -> None:
        bare = data.draw(grid_layers(bits))
        inputs = np.asarray(bare[0].weights).shape[1]
        x = events((3, STEPS, inputs), density, data.draw(st.integers(0, 2**32 - 1)))
        quantiles = data.draw(st.lists(st.floats(0.05, 0.7), min_size=3, max_size=3))
        # a threshold off the grid changes nothing either: v is on one side of it in every model
        nudge = data.draw(st.sampled_from([0.0, 0.0, 2.0**-14, -(2.0**-14)]))
        layers = with_thresholds(bare, x, quantiles[: len(bare)], nudge=nudge)
        fired, tied = assert_equal_levels(source(layers), bits, x)
        active.append(fired)
        ties.append(tied)

    law()
    assert np.mean(active) > 0.7  # an equality of silent nets would prove nothing
    assert np.mean([t > 0 for t in ties]) > 0.4  # where > and >= differ


@pytest.mark.parametrize("most", [127, 100, 64, 1, -128])
def test_the_grid_is_found_wherever_the_largest_weight_lies(most: int) -> None:
    layers = [FloatLayer(np.array([[most, -1, 1]]) / 32, threshold=abs(most) / 32)]
    program = compiled(source(layers))
    const = weights_of(program, "fc1")
    scale = const.type.scale
    assert isinstance(scale, float)
    assert np.array_equal(const.data * scale, layers[0].weights)


def test_with_any_leak_the_integer_models_agree() -> None:
    active: list[bool] = []

    @settings(max_examples=80, deadline=None)
    @given(
        bits=st.integers(2, 8),
        alphas=st.lists(st.floats(0, 1), min_size=1, max_size=3),
        seed=st.integers(0, 2**32 - 1),
    )
    def agree(bits: int, alphas: list[float], seed: int) -> None:
        rng = np.random.default_rng(seed)
        sizes = rng.integers(3, 8, len(alphas) + 1)
        bare = [
            FloatLayer(
                rng.normal(0.2, 1, (outputs, inputs)),
                alpha=alpha,
                bias=rng.normal(0, 0.2, outputs) if rng.random() < 0.5 else 0.0,
            )
            for (inputs, outputs), alpha in zip(pairwise(sizes), alphas, strict=True)
        ]
        x = events((3, STEPS, int(sizes[0])), 0.4, seed)
        given_ = source(with_thresholds(bare, x, [0.4] * len(bare), least=0.1))
        program = compiled(given_, bits)
        chip = reference.run(program, x, record="states")
        compared = compare_traces(chip, integer_trace(given_, program, x))
        assert [layer.layer for layer in compared] == list(program.neurons)
        for layer in compared:
            assert layer.identical, layer.difference
            assert set(layer.values) == {"spikes", "u", "v"}
        active.append(all(layer.spikes for layer in compared))

    agree()
    assert np.mean(active) > 0.7
