"""Weights on Loihi's grid, and the proof that no sum with them leaves Lava's 32 bits."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from loihi_programs import LoihiLayer, chain

from sast_compile.backends.lava.graph import lower
from sast_compile.errors import TargetLimit
from sast_compile.ir.program import Program
from sast_compile.ir.types import Int


def single(**registers: Any) -> Program:
    """Two inputs, two neurons: x -> a1 -> s1."""
    layer = LoihiLayer(np.array([[3, -4], [5, 6]]), vth=7)
    return chain("single", [replace(layer, **registers)])


def truncated(weights: np.ndarray, bits: int, mixed: bool) -> np.ndarray:
    """Lava's clip and truncation: weightutils.clip_weights, truncate_weights."""
    drop = 8 - bits + mixed
    return (np.clip(weights, -256 * mixed, 255) >> drop) << drop


@pytest.mark.parametrize(("bits", "signed"), [*product(range(1, 9), (True, False))])
def test_the_whole_grid_survives_lavas_truncation(bits: int, signed: bool) -> None:
    element = Int(bits, signed)
    grid = np.arange(element.low, element.high + 1)[None]
    step = (9 if signed else 8) - bits
    layer = LoihiLayer(grid, bits=bits, signed=signed, exponent=step, vth=1)
    (projection,) = lower(chain("grid", [layer])).projections
    stored = projection.weights
    np.testing.assert_array_equal(truncated(stored, bits, mixed=signed), stored)
    np.testing.assert_array_equal(stored << projection.weight_exp, grid << step)
    assert stored.min() >= (-256 if signed else 0)
    assert stored.max() <= (254 if signed else 255)


def test_all_positive_weights_of_a_signed_type_stay_on_the_mixed_grid() -> None:
    """Lava would infer another sign mode from the values, and with it another truncation."""
    (projection,) = lower(single(weights=np.array([[1, 2], [3, 4]]))).projections
    assert projection.sign_mode == "mixed"


@pytest.mark.parametrize("offset", [0, 7])
def test_exponents_at_the_ends_are_taken(offset: int) -> None:
    (projection,) = lower(single(exponent=1 + offset)).projections
    assert projection.weight_exp == offset


@pytest.mark.parametrize(
    ("registers", "words"),
    [
        ({"exponent": -8}, "weight exponent of -9"),
        ({"exponent": 9}, "weight exponent of 8"),
        ({"bits": 4, "exponent": 13}, "an exponent of -3..12 fits these weights"),
        ({"bits": 9, "weights": np.array([[255, -4]])}, "its weights -4..255 have 9 bits"),
        ({"bits": 10, "weights": np.array([[256, 0]]), "exponent": 7}, "weight exponent of 8"),
        ({"bits": 20, "weights": np.array([[65537, 1]])}, "a Loihi synapse holds 8"),
    ],
)
def test_weights_off_the_chips_grid_are_refused(registers: dict[str, Any], words: str) -> None:
    with pytest.raises(TargetLimit) as error:
        lower(single(**{"weights": np.array([[3, -4], [5, 6]]), **registers}))
    assert error.value.where == "a1"
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("weights", "stored", "exponent", "sign_mode"),
    [
        ([[3, -128]], [[6, -256]], -1, "mixed"),
        ([[2, -256, 254]], [[2, -256, 254]], 0, "mixed"),
        ([[255, 0, 1]], [[255, 0, 1]], 0, "excitatory"),
        ([[-255, 0, -1]], [[-255, 0, -1]], 0, "inhibitory"),
        ([[508, -512, 0]], [[254, -256, 0]], 1, "mixed"),
        ([[255 << 7, 1 << 7]], [[255, 1]], 7, "excitatory"),
        ([[0, 0]], [[0, 0]], 0, "excitatory"),
    ],
)
def test_values_decide_where_a_wide_type_fits_the_grid(
    weights: list[list[int]], stored: list[list[int]], exponent: int, sign_mode: str
) -> None:
    layer = LoihiLayer(np.array(weights), bits=18, exponent=0, vth=9)
    (projection,) = lower(chain("wide", [layer])).projections
    np.testing.assert_array_equal(projection.weights, stored)
    assert (projection.weight_exp, projection.sign_mode) == (exponent, sign_mode)
    assert projection.num_weight_bits == 8


def wide(inputs: int, exponent: int, **registers: Any) -> Program:
    layer = LoihiLayer(np.full((1, inputs), 127), exponent=exponent, vth=1)
    return chain("wide", [replace(layer, **registers)])


def test_a_current_that_may_leave_32_bits_is_refused_by_proof() -> None:
    """Below 2^25 the shifted current stays in int32; what the wrap cannot take away adds up."""
    assert 127 * 1000 << 8 < 1 << 25 <= 127 * 1033 << 8
    lower(wide(1000, 8))
    with pytest.raises(TargetLimit) as error:
        lower(wide(1033, 8))
    assert error.value.where == "s1"
    assert "may reach 0..33584896" in error.value.what
    assert "32 bits" in error.value.what
    assert 127 * 8 << 8 < 1 << 18 <= 127 * 10 << 8
    lower(wide(8, 8, du=0))  # below 2^18 a wrap always leads back into 24 bits
    with pytest.raises(TargetLimit, match=r"0\.\.325120"):
        lower(wide(10, 8, du=0))
    lower(wide(10, 8, du=300))


def test_the_proof_sums_over_projections_and_knows_graded_inputs() -> None:
    layer = LoihiLayer(np.full((4, 4), 100), exponent=8, vth=1)
    lower(chain("feed_forward", [layer], input_bits=8))
    with pytest.raises(TargetLimit, match=r"0\.\.52326400"):
        lower(chain("graded", [layer], input_bits=9))
    with pytest.raises(TargetLimit, match=r"-52428800\.\.52326400"):
        lower(chain("signed", [layer], input_bits=10, input_signed=True))
    rows = np.full((20, 20), 127)
    layer = LoihiLayer(rows, exponent=8, vth=1)
    lower(chain("feed_forward", [layer], input_bits=5))
    lower(chain("recurrent", [replace(layer, recurrent=rows)], input_bits=5))
    with pytest.raises(TargetLimit, match=r"0\.\.\d+"):
        lower(chain("recurrent", [replace(layer, recurrent=rows)], input_bits=6))


def test_a_product_of_graded_values_that_may_leave_32_bits_is_refused() -> None:
    """One-bit weights are stored as 256 times themselves, and shifted back behind the sum."""
    layer = LoihiLayer(np.array([[-1]]), bits=1, exponent=0, vth=1)
    lower(chain("fits", [layer], input_bits=23))
    with pytest.raises(TargetLimit, match="a1: its sum before the shift"):
        lower(chain("graded", [layer], input_bits=24))
