"""Two traces side by side: the first difference, how many there are, how far spikes agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sast_compile.compare import (
    Agreement,
    Difference,
    agreement,
    compare_layers,
    compare_traces,
    decisions,
    first_difference,
)
from sast_compile.trace import Layer, Trace

Array = npt.NDArray[Any]


def spikes(seed: int, shape: tuple[int, ...] = (3, 5, 2, 2)) -> Array:
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.uint8)


def test_equal_arrays_have_no_difference() -> None:
    assert first_difference("lif1", "v", spikes(0), spikes(0)) is None


@settings(max_examples=100, deadline=None)
@given(places=st.lists(st.integers(0, 3 * 5 * 2 * 2 - 1), min_size=1, unique=True))
def test_the_first_is_the_earliest_step_then_sample_then_neuron(places: list[int]) -> None:
    ours, theirs = spikes(0).astype(np.int32), spikes(0).astype(np.int32)
    theirs.flat[places] += 7
    where = [tuple(int(i) for i in np.unravel_index(p, ours.shape)) for p in places]
    sample, step, *neuron = min(where, key=lambda i: (i[1], i[0], *i[2:]))
    at = (sample, step, *neuron)
    expected = Difference(
        "lif1", "v", sample, step, tuple(neuron), ours[at], ours[at] + 7, len(places)
    )
    assert first_difference("lif1", "v", ours, theirs) == expected


def test_a_difference_holds_plain_integers() -> None:
    found = first_difference("lif1", "v", np.zeros((1, 1, 1), np.int8), np.ones((1, 1, 1), np.int8))
    assert found is not None
    values = (found.sample, found.step, *found.neuron, found.ours, found.theirs, found.count)
    assert all(type(value) is int for value in values)  # they go into JSON


def test_arrays_of_two_shapes_are_a_bug_of_ours() -> None:
    with pytest.raises(
        ValueError, match=r"^lif1: spikes of shapes \(3, 5, 2, 2\) and \(3, 4, 2, 2\)"
    ):
        first_difference("lif1", "spikes", spikes(0), spikes(0, (3, 4, 2, 2)))


def test_a_layer_reports_its_earliest_difference_of_any_kind() -> None:
    v, late = np.zeros((2, 4, 3), np.int32), np.zeros((2, 4, 3), np.int32)
    s = np.ones((2, 4, 3), np.uint8)
    fewer = s.copy()
    fewer[1, 3, 0], late[0, 2, 1] = 0, 9
    found = compare_layers("lif1", Layer(s, {"v": v}), Layer(fewer, {"v": late}))
    assert found.difference == Difference("lif1", "v", 0, 2, (1,), 0, 9, 1)
    assert not found.identical
    assert found.spikes == 24  # the reference's
    assert found.values == {"spikes": 24, "v": 24}
    late[0, 2, 1], late[1, 3, 0] = 0, 9  # now v differs where the spikes do: spikes go first
    found = compare_layers("lif1", Layer(s, {"v": v}), Layer(fewer, {"v": late}))
    assert found.difference is not None
    assert found.difference.what == "spikes"


def test_states_are_compared_where_both_are_recorded() -> None:
    ours = Layer(spikes(0), {"u": spikes(1), "v": spikes(2)})
    found = compare_layers("lif1", ours, Layer(spikes(0), {"v": spikes(2), "w": spikes(3)}))
    assert set(found.values) == {"spikes", "v"}
    assert found.identical


def test_traces_are_compared_layer_by_layer_in_the_references_order() -> None:
    ours = Trace({"b": Layer(spikes(0)), "a": Layer(spikes(1)), "c": Layer(spikes(2))})
    theirs = Trace({"a": Layer(spikes(3)), "b": Layer(spikes(0))})
    found = compare_traces(ours, theirs)
    assert [(c.layer, c.identical) for c in found] == [("b", True), ("a", False)]


def test_agreement_is_matched_over_union() -> None:
    a, b = spikes(0), spikes(1)
    both, either = int((a & b).sum()), int((a | b).sum())
    (found,) = agreement({"lif1": a, "only": a}, {"lif1": b})
    assert found == Agreement("lif1", both, either)
    assert found.share == both / either
    assert 0 < found.share < 1
    silent = agreement({"lif1": 0 * a}, {"lif1": 0 * a})[0]
    assert silent.share == 1.0


def test_decisions_count_spikes_and_take_the_lowest_among_equals() -> None:
    output = np.zeros((3, 4, 5), np.uint8)
    output[0, :, 3] = 1
    output[1, :2, 4] = output[1, 2:, 1] = 1  # a tie of two spikes each
    assert decisions(output).tolist() == [3, 1, 0]
    many = np.ones((1, 300, 2), np.uint8)  # 300 spikes do not fit the byte that holds one
    many[0, 0, 0] = 0
    assert decisions(many).tolist() == [1]
    assert decisions(np.array([[[0.2, 0.7]], [[0.6, 0.5]]])).tolist() == [1, 0]  # L0 has fractions
