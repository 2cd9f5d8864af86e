"""Types: what integers hold, what constants accept, and the typing rule of every op."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sast_compile.errors import TypeMismatch
from sast_compile.ir.neuron import BitShift, Clamp, Factor, Fire, MulShift, Ref, Reset, State
from sast_compile.ir.ops import Add, Dense, Flatten, Input, Join, Neuron, Op, Terms
from sast_compile.ir.types import (
    SPIKE,
    Const,
    Float,
    Int,
    Scale,
    TensorType,
    int_holding,
    same_scale,
    storage,
)

S8 = Int(8)
CLAMP = Clamp(rule="saturate", low=-128, high=127)


def spikes(*shape: int) -> TensorType:
    return TensorType(shape, SPIKE)


def weight(rows: list[list[int]], element: Int | Float = S8, scale: Scale = 1.0) -> Const:
    return Const(TensorType(np.shape(rows), element, scale), rows)


# ---- integers


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 0, "u1"),
        (0, 1, "u1"),
        (0, 2, "u2"),
        (5, 255, "u8"),
        (0, 256, "u9"),
        (-1, 0, "s1"),
        (-1, 1, "s2"),
        (-2, -2, "s2"),
        (-128, 127, "s8"),
        (-128, 128, "s9"),
        (-129, 0, "s9"),
        (-(2**23) + 1, 2**23 - 1, "s24"),
        (-(2**23) + 1, 2**23, "s25"),
        (-(2**63), 2**63 - 1, "s64"),
        (0, 2**63 - 1, "u63"),
    ],
)
def test_int_holding_at_the_edges(low: int, high: int, wanted: str) -> None:
    assert str(int_holding(low, high)) == wanted


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_int_holding_is_the_narrowest(a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    element = int_holding(low, high)
    assert element.low <= low
    assert high <= element.high
    assert element.signed == (low < 0)
    if element.bits > 1:
        narrower = Int(element.bits - 1, element.signed)
        assert low < narrower.low or high > narrower.high


@pytest.mark.parametrize(("bits", "signed"), [(0, True), (0, False), (65, True), (64, False)])
def test_what_64_bits_cannot_compute_is_no_integer(bits: int, signed: bool) -> None:
    with pytest.raises(TypeMismatch, match="64 bits"):
        Int(bits, signed)


def test_storage_is_the_smallest_that_holds() -> None:
    wanted = {"s8": "int8", "u8": "uint8", "s9": "int16", "u33": "uint64", "s64": "int64"}
    for name, dtype in wanted.items():
        assert storage(Int(int(name[1:]), name[0] == "s")) == np.dtype(dtype)


# ---- tensors and scales


@pytest.mark.parametrize(
    ("shape", "scale", "message"),
    [
        ((2, 0), 1.0, "empty axis"),
        ((-1,), 1.0, "empty axis"),
        ((2,), 0.0, "not positive"),
        ((2,), -0.5, "not positive"),
        ((2,), float("inf"), "not positive and finite"),
        ((2,), float("nan"), "not positive and finite"),
        ((2,), (0.5, 0.0), "not positive"),
        ((2,), (0.5, 0.5, 0.5), "3 scales for the first axis"),
        ((), (0.5,), "1 scales for the first axis"),
    ],
)
def test_bad_tensor_types(shape: tuple[int, ...], scale: Scale, message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        TensorType(shape, SPIKE, scale)


def test_a_type_prints_as_the_text_form_shows_it() -> None:
    assert str(TensorType((2, 3), Int(9), 0.25)) == "s9[2,3] * 0.25"
    assert str(TensorType((2,), Int(4), (0.5, 0.25))) == "s4[2] * (0.5, 0.25)"
    assert str(TensorType((), Float())) == "f64[]"
    assert str(TensorType((2,), Float(), np.float64(0.1))) == "f64[2] * 0.1"


def test_scales_are_the_same_up_to_the_last_bits() -> None:
    assert same_scale(0.1 + 0.2, 0.3)
    assert not same_scale(0.3, 0.3 * (1 + 1e-9))
    assert same_scale((0.5, 0.5), 0.5)
    assert not same_scale((0.5, 0.5), (0.5, 0.5, 0.5))


# ---- constants


def test_a_constant_is_read_only_and_its_own() -> None:
    data = np.array([1, 2, 3])
    const = Const(TensorType((3,), Int(8)), data)
    data[0] = 99
    assert const.data.tolist() == [1, 2, 3]
    assert const.data.dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        const.data[0] = 5


def test_constants_are_equal_if_type_and_elements_are() -> None:
    one = weight([[1, 2]])
    assert one == weight([[1, 2]])
    assert one != weight([[1, 3]])
    assert one != weight([[1, 2]], Int(9))
    assert one != weight([[1, 2]], scale=0.5)
    assert one != [[1, 2]]


@pytest.mark.parametrize(
    ("element", "data", "message"),
    [
        (Int(8), [127, 128], "127..128 do not fit s8"),
        (Int(8), [-129, 0], "-129..0 do not fit s8"),
        (Int(8, signed=False), [-1, 255], "-1..255 do not fit u8"),
        (Int(8), [256, 512], "do not fit s8"),
        (Int(8), [1.5, 2], "fractions"),
        (Int(8), [float("nan"), 1], "NaN or Inf"),
        (Int(8), [float("inf"), 1], "NaN or Inf"),
        (Float(), [float("nan"), 1], "NaN or Inf"),
        (Float(), [float("-inf"), 1], "NaN or Inf"),
        (Int(64), [2**70, 1], "no number, or too large"),
        (Int(64), [2**63, 1], "do not fit s64"),
        (Int(8), ["1", "2"], "no number"),
        (Float(), ["1", "2"], "no number"),
        (Int(8), [1, 2, 3], "shape"),
        (Int(8), [[1, 2]], "shape"),
    ],
)
def test_what_a_constant_refuses(element: Int | Float, data: Any, message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        Const(TensorType((2,), element), data)


def test_whole_floats_are_integers() -> None:
    assert Const(TensorType((2,), Int(8)), np.array([1.0, -2.0])).data.tolist() == [1, -2]


# ---- projections

W = {"w": weight([[2, -3], [0, 4]])}


def test_dense_sums_are_typed_by_their_worst_case() -> None:
    # row 0: -3..2, row 1: 0..4
    assert Dense(weight=Ref("w")).result(W, spikes(2)) == TensorType((2,), Int(4))
    # times 0..7: -21..28
    counts = TensorType((2,), Int(3, signed=False))
    assert Dense(weight=Ref("w")).result(W, counts) == TensorType((2,), Int(6))
    # times -4..3: row 0: 2 (-4) - 3 3 = -17 .. 2 3 + 3 4 = 18
    assert Dense(weight=Ref("w")).result(W, TensorType((2,), Int(3))) == TensorType((2,), Int(6))


def test_an_exponent_shifts_sum_and_scale() -> None:
    consts = {"w": weight([[2, -3], [0, 4]], scale=0.5)}
    left = Dense(weight=Ref("w"), exponent=3).result(consts, spikes(2))
    assert left == TensorType((2,), Int(7), 0.0625)  # -24..32
    right = Dense(weight=Ref("w"), exponent=-1).result(consts, spikes(2))
    assert right == TensorType((2,), Int(3), 1.0)  # floor(-3/2)..2 = -2..2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_dense_types_are_tight(data: st.DataObject) -> None:
    """Some input does reach both ends, and none goes beyond."""
    element = data.draw(st.sampled_from([Int(1, False), Int(2, False), Int(2)]))
    rows = data.draw(
        st.lists(st.lists(st.integers(-8, 7), min_size=3, max_size=3), min_size=1, max_size=2)
    )
    exponent = data.draw(st.integers(-2, 2))
    every = np.array(list(product(range(element.low, element.high + 1), repeat=3)))
    sums = every @ np.array(rows).T
    shifted = sums << exponent if exponent >= 0 else sums >> -exponent
    type_ = Dense(weight=Ref("w"), exponent=exponent).result(
        {"w": weight(rows)}, TensorType((3,), element)
    )
    assert type_.element == int_holding(int(shifted.min()), int(shifted.max()))
    terms = Terms(weight=Ref("w"), exponent=exponent).result(
        {"w": weight(rows)}, TensorType((3,), element)
    )
    assert terms.shape == (3, len(rows))


def test_scales_multiply() -> None:
    x = TensorType((2,), SPIKE, 0.5)
    consts = {"w": weight([[1, 2], [3, 4]], scale=(0.5, 0.25))}
    assert Dense(weight=Ref("w")).result(consts, x).scale == (0.25, 0.125)
    floats = {"w": weight([[1, 2]], Float(), 0.5)}
    assert Dense(weight=Ref("w")).result(floats, x) == TensorType((1,), Float(), 0.25)


def test_terms_keep_one_current_per_input() -> None:
    # 2, -3 and 0, 4, times 0..15: -45..60
    counts = TensorType((2,), Int(4, signed=False))
    assert Terms(weight=Ref("w")).result(W, counts) == TensorType((2, 2), Int(7))
    wide = {"w": weight([[2, -3], [0, 4], [1, 1]])}
    assert Terms(weight=Ref("w"), exponent=2).result(wide, spikes(2)) == TensorType(
        (2, 3), Int(6), 0.25
    )  # -12..16


# ---- sums, joins, flattening


def test_add_and_join() -> None:
    a, b = TensorType((2,), Int(4)), TensorType((2,), Int(3, signed=False))
    assert Add().result({}, a, b) == TensorType((2,), Int(5))  # -8..14
    assert Add().result({}, a) == a
    minus = TensorType((2,), Int(1))  # -1..0
    assert Add().result({}, minus, minus) == TensorType((2,), Int(2))
    assert Add().result({}, a, TensorType((2,), Float())) == TensorType((2,), Float())
    many = [TensorType((2,), Int(8)) for _ in range(4)]
    assert Add().result({}, *many) == TensorType((2,), Int(10))
    one, other = TensorType((1, 2), Int(4)), TensorType((3, 2), Int(6, signed=False))
    assert Join().result({}, one, other) == TensorType((4, 2), Int(7))  # -8..63


def test_flatten_and_input() -> None:
    x = Input(shape=(2, 3), bits=4).result({})
    assert x == TensorType((2, 3), Int(4, signed=False))
    assert Input(shape=(2,), bits=4, signed=True).result({}).element == Int(4)
    assert Flatten().result({}, x) == TensorType((6,), Int(4, signed=False))


@pytest.mark.parametrize(
    ("op", "sources", "message"),
    [
        (Add(), [], "add needs an input"),
        (Join(), [], "join needs an input"),
        (Add(), [spikes(2), spikes(3)], r"add of shapes \(2,\) and \(3,\)"),
        (Add(), [spikes(2), TensorType((2,), SPIKE, 0.5)], "add of scales 1.0 and 0.5"),
        (Join(), [spikes(1, 2), spikes(1, 3)], "join of shapes"),
        (Join(), [TensorType((1, 2), Float())], "join is for the integers"),
        (Join(), [spikes()], "join is for the integers"),
        (Flatten(), [TensorType((2, 2), SPIKE, (0.5, 0.25))], "one scale per channel"),
        (Dense(weight=Ref("w")), [spikes(3)], r"weight @w s8\[2,2\] does not fit an input u1\[3\]"),
        (Dense(weight=Ref("w")), [spikes(1, 2)], "does not fit"),
        (Dense(weight=Ref("b")), [spikes(2)], "weight @b"),
        (Dense(weight=Ref("no")), [spikes(2)], "no constant @no"),
        (Dense(weight=Ref("w")), [TensorType((2,), SPIKE, (0.5, 0.25))], "scale per channel"),
        (Dense(weight=Ref("wide")), [TensorType((2,), Int(8))], "may need 66 bits"),
        (Dense(weight=Ref("w"), exponent=62), [spikes(2)], "64 bits"),
        (Terms(weight=Ref("w")), [TensorType((2,), Float())], "terms are for integers"),
        (Terms(weight=Ref("scales")), [spikes(2)], "one scale per output"),
    ],
)
def test_what_ops_refuse(op: Op, sources: list[TensorType], message: str) -> None:
    consts = {
        **W,
        "b": weight([1, 2]),  # type: ignore[list-item]
        "wide": weight([[2**50, 0]], Int(56)),
        "scales": weight([[1, 2], [3, 4]], scale=(0.5, 0.25)),
    }
    with pytest.raises(TypeMismatch, match=message):
        op.result(consts, *sources)


# ---- neurons


def neuron(voltage: State, fire: Fire | None = None, **fields: object) -> Neuron:
    reset = Reset(kind="zero") if fire else None
    return Neuron(shape=(2,), voltage=voltage, fire=fire, **{"reset": reset, **fields})  # type: ignore[arg-type]


def test_a_neuron_gives_spikes_or_its_v() -> None:
    x = TensorType((2,), Int(6), 0.5)
    once, often = Fire(compare=">", threshold=3), Fire(compare=">=", threshold=3, limit=31)
    assert neuron(State(clamp=CLAMP), once).result({}, x) == spikes(2)
    assert neuron(State(clamp=CLAMP), often).result({}, x) == TensorType((2,), Int(5, False))
    assert neuron(State(clamp=CLAMP), often).spikes() == TensorType((2,), Int(5, False))
    assert neuron(State(clamp=CLAMP)).result({}, x) == TensorType((2,), Int(8), 0.5)
    assert neuron(State(decay=Factor(alpha=0.5))).result({}, x) == TensorType((2,), Float())


def test_gains_divide_the_scale_of_v() -> None:
    x = TensorType((2,), Int(6), 0.5)
    synapse, voltage = State(clamp=CLAMP, gain=64), State(clamp=CLAMP, gain=2)
    op = neuron(voltage, synapses=(synapse,))
    assert op.voltage_scale(x) == 0.5 / 128
    two = neuron(voltage, synapses=(synapse, State(clamp=CLAMP, gain=32)))
    assert two.voltage_scale(x, TensorType((2,), Int(6), 0.25)) == 0.5 / 128
    with pytest.raises(TypeMismatch, match="the synapses' scales differ"):
        two.result({}, x, x)
    assert neuron(State(clamp=CLAMP)).result({}, TensorType((2,), Int(6), (0.5, 0.25))).scale == (
        0.5,
        0.25,
    )


def test_states_are_named_for_records() -> None:
    names = [
        [n for n, _ in neuron(State(), synapses=(State(),) * k).named_states()] for k in (0, 1, 2)
    ]
    assert names == [["v"], ["u", "v"], ["u0", "u1", "v"]]


def test_params_name_every_number_per_neuron() -> None:
    op = neuron(
        State(decay=BitShift(dash=Ref("d")), bias=Ref("b")),
        Fire(compare=">", threshold=Ref("t")),
        synapses=(State(decay=MulShift(decay=Ref("e")), gain=Ref("g")),),
        reset=Reset(kind="subtract", amount=Ref("a"), floor=Ref("f")),
    )
    refs = {value.name for value in op.params().values() if isinstance(value, Ref)}
    assert refs == set("dbtegaf")
