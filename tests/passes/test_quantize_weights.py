"""quantize_weights: integers on the chip's grid, each to the nearest or by what v errs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from float_programs import LOIHI2, FloatLayer, float_chain, floats, lowered, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from sast_compile.errors import TargetLimit
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Dense
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Int
from sast_compile.passes.nearest_scale import best_scale

Array = npt.NDArray[Any]
BITS = range(2, 9)
ONLY_SIGNED = with_fields(
    LOIHI2, weights=with_fields(LOIHI2.weights, grids={"mixed": LOIHI2.weights.grids["mixed"]})
)


def nearest(weights: Array, element: Int, scale: float) -> Array:
    """The nearest grid point of every weight, by trying all of them."""
    grid = np.arange(element.low, element.high + 1) * scale
    return grid[np.abs(weights.reshape(-1, 1) - grid).argmin(axis=1)].reshape(weights.shape)


def squared_error(weights: Array, element: Int, scale: float) -> float:
    return float(((nearest(weights, element, scale) - weights) ** 2).sum())


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("signed", [True, False])
def test_the_scale_is_the_best_of_max_abs_and_every_clip(bits: int, signed: bool) -> None:
    rng = np.random.default_rng(bits)
    element = Int(bits, signed)
    weights = rng.standard_t(3, 200)  # heavy tails: clipping pays
    weights = weights if signed else np.abs(weights)
    chosen = squared_error(weights, element, best_scale(weights, element))
    max_abs = float(np.abs(weights).max()) / element.high
    tried = [squared_error(weights, element, max_abs * clip / 100) for clip in range(10, 101)]
    assert chosen <= min(tried) * (1 + 1e-9)
    sweep = np.linspace(0.02, 1.2, 2000)
    finest = min(squared_error(weights, element, max_abs * clip) for clip in sweep)
    assert chosen <= 1.1 * finest  # 0.4 dB: the candidates lie close enough


def test_max_abs_is_a_candidate() -> None:
    weights = np.array([0.7, -0.7, 0.7 * 3 / 7, 0.7 * 5 / 7])  # 4 bits: 7, -7, 3, 5 of 0.1
    assert best_scale(weights, Int(4)) == 0.7 / 7
    two_bits = np.array([1.0] + [0.25] * 30)  # max-abs would round 30 of 31 weights to 0
    assert best_scale(two_bits, Int(2)) < 0.5


@settings(max_examples=150, deadline=None)
@given(data=st.data(), bits=st.integers(2, 8), j=st.integers(-4, 12), signed=st.booleans())
def test_weights_on_a_binary_grid_stay_exactly(
    data: st.DataObject, bits: int, j: int, signed: bool
) -> None:
    element = Int(bits, signed)
    k = st.lists(st.integers(element.low, element.high), min_size=1, max_size=9)
    weights = np.array(data.draw(k)) * 2.0**-j
    scale = best_scale(weights, element)
    assert math.frexp(scale)[0] == 0.5  # a power of two: thresholds and biases divide exactly
    integers = weights / scale
    assert np.array_equal(integers, np.rint(integers))
    assert integers.min() >= element.low
    assert integers.max() <= element.high


@pytest.mark.parametrize("bits", BITS)
def test_element_range_and_notes(bits: int) -> None:
    rng = np.random.default_rng(bits)
    weights = rng.standard_t(3, (6, 20))
    result = lowered(
        float_chain(FloatLayer(weights)), ["quantize_weights"], bits=bits, rounding="nearest"
    )
    const = weights_of(result.program, "fc1")
    assert const.type.element == Int(bits)
    scale = const.type.scale
    assert isinstance(scale, float)
    restored = const.data * scale
    assert np.allclose(restored, nearest(weights, Int(bits), scale))
    (note,) = result.notes
    beyond = (weights / scale > Int(bits).high + 0.5) | (weights / scale < Int(bits).low - 0.5)
    assert note.node == "fc1.weight"
    assert note.numbers["scale"] == scale
    assert note.numbers["n"] == 120
    assert note.numbers["clipped"] == beyond.sum()
    assert note.numbers["zeroed"] == (restored == 0).sum()
    ratio = (weights**2).sum() / ((weights - restored) ** 2).sum()
    assert note.numbers["sqnr_db"] == pytest.approx(10 * math.log10(ratio))
    assert f"{beyond.sum()} of 120 clipped, {(restored == 0).sum()} rounded to 0" in note.text


def test_the_least_integer_is_not_called_clipped() -> None:
    weights = np.array([[-128.0, 64.0, 1.0]])
    result = lowered(float_chain(FloatLayer(weights)), ["quantize_weights"])
    assert weights_of(result.program, "fc1").data.tolist() == [[-128, 64, 1]]
    assert result.notes[0].numbers["clipped"] == 0
    assert "exact" in result.notes[0].text
    assert "sqnr_db" not in result.notes[0].numbers


@pytest.mark.parametrize(
    ("least", "target", "element"),
    [
        (0.0, LOIHI2, Int(8, signed=False)),
        (-0.001, LOIHI2, Int(8)),
        (0.0, ONLY_SIGNED, Int(8)),
    ],
)
def test_the_unsigned_grid_is_for_weights_without_a_negative(
    least: float, target: Any, element: Int
) -> None:
    program = float_chain(FloatLayer([[least, 0.5, 1.0]]))
    quantized = lowered(program, ["quantize_weights"], target=target).program
    assert weights_of(quantized, "fc1").type.element == element


def two_projections(first: Array, second: Array) -> Program:
    base = float_chain(FloatLayer(first))
    x, fc1, lif1 = base.nodes
    other = Node("fc1b", Dense(weight=Ref("fc1b.weight")), (Edge("x"),))
    meet = Node("sum", Add(), (Edge("fc1"), Edge("fc1b")))
    nodes = (x, fc1, other, meet, replace(lif1, inputs=(Edge("sum"),)))
    return check(replace(base, nodes=nodes, consts={**base.consts, "fc1b.weight": floats(second)}))


def test_projections_into_one_population_share_scale_and_grid() -> None:
    small, large = np.array([[0.1, 0.2]]), np.array([[-1.0, 0.5]])
    result = lowered(two_projections(small, large), ["quantize_weights"], rounding="nearest")
    a, b = (weights_of(result.program, name) for name in ("fc1", "fc1b"))
    together = best_scale(np.concatenate([small.ravel(), large.ravel()]), Int(8))
    assert a.type == replace(b.type, shape=(1, 2))
    assert a.type.scale == together
    assert a.type.element == Int(8)  # signed, for the other one has a negative weight
    assert [n.node for n in result.notes] == ["fc1.weight", "fc1b.weight"]


@pytest.mark.parametrize("bits", BITS)
def test_weights_that_are_all_zero(bits: int) -> None:
    result = lowered(float_chain(FloatLayer(np.zeros((2, 3)))), ["quantize_weights"], bits=bits)
    assert not weights_of(result.program, "fc1").data.any()
    assert result.notes[0].numbers["zeroed"] == 0
    assert all(math.isfinite(n) for n in result.notes[0].numbers.values())


def test_twice_is_once() -> None:
    program = float_chain(FloatLayer(np.array([[0.3, -0.7]])), FloatLayer([[0.2]]))
    once = lowered(program, ["quantize_weights"], bits=4)
    again = lowered(once.program, ["quantize_weights"], bits=3)
    assert again.program == once.program
    assert again.notes == ()


@pytest.mark.parametrize("bits", [0, 9])
def test_bits_that_the_chip_has_not(bits: int) -> None:
    message = rf"^net: {bits}-bit weights do not exist on loihi2; hint: 1, 2, 3, 4, 5, 6, 7, 8 bits"
    with pytest.raises(TargetLimit, match=message):
        lowered(float_chain(FloatLayer([[1.0]])), ["quantize_weights"], bits=bits)


def test_one_signed_bit_holds_no_positive_weight() -> None:
    message = r"^lif1: 1-bit integers hold no positive weight; hint: 2 bits or more$"
    with pytest.raises(TargetLimit, match=message):
        lowered(float_chain(FloatLayer([[1.0, -1.0]])), ["quantize_weights"], bits=1)
    unsigned = lowered(float_chain(FloatLayer([[1.0, 0.0]])), ["quantize_weights"], bits=1).program
    assert weights_of(unsigned, "fc1").data.tolist() == [[1, 0]]
