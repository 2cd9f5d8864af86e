"""fold_thresholds: registers and exponents that change no comparison, or say which they change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, events, float_chain, lowered, until, weights_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sast_compile.backends.reference import run
from sast_compile.contract import Compare
from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.neuron import Fire, MulShift, Ref, Reset, State
from sast_compile.ir.ops import Dense
from sast_compile.ir.program import Program, check
from sast_compile.ir.ranges import reaches
from sast_compile.ir.types import scale_column
from sast_compile.passes import Lowered, Rounding

FOLD = until("fold_thresholds")
UNIT = 64
CURRENT = 131071  # what loihi2's adder holds


def folded(
    *layers: FloatLayer,
    steps: int | None = 8,
    bits: int = 8,
    rounding: Rounding = "membrane",
    **given: Any,
) -> Lowered:
    return lowered(float_chain(*layers, **given), FOLD, bits=bits, steps=steps, rounding=rounding)


def unit_of_v(program: Program, name: str) -> float:
    """Model units of one step of v: W 2^E counts 64 steps of v per weight."""
    dense = program.by_name[f"fc{name[-1]}"].op
    assert isinstance(dense, Dense)
    scale = weights_of(program, f"fc{name[-1]}").type.scale
    assert isinstance(scale, float)
    return scale / 2.0**dense.exponent / UNIT


def test_the_neuron_is_the_chips() -> None:
    layer = FloatLayer(np.array([[1.0, -0.5]]), alpha=0.9, threshold=0.7)
    program = folded(layer).program
    op = program.neurons["lif1"]
    synapse, voltage = LOIHI2.neurons.synapse, LOIHI2.neurons.voltage
    assert synapse is not None
    assert op.synapses == (
        State(decay=MulShift(decay=4095, offset=1), gain=64, clamp=synapse.clamp),
    )
    assert op.voltage == State(decay=MulShift(decay=410), gain=1, clamp=voltage.clamp)
    assert op.reset == Reset(kind="zero")
    assert op.fire is not None
    assert (op.fire.compare, op.fire.unit, op.fire.limit) == (">", UNIT, 1)
    assert not op.is_float
    assert check(program) is program


# ---- where every v is a multiple of the unit, the fold is exact: by brute force over all v


@settings(max_examples=150, deadline=None)
@given(
    compare=st.sampled_from([">", ">="]),
    theta=st.one_of(
        st.integers(1, 300).map(lambda n: n / 16),
        st.floats(1 / 16, 18),
        st.sampled_from([1.0, math.nextafter(1.0, 0), math.nextafter(1.0, 2)]),
    ),
    bias=st.sampled_from([0.0, 1 / 16, -3 / 16]),
    most=st.integers(8, 127),
)
def test_without_leak_every_comparison_stays(
    compare: Compare, theta: float, bias: float, most: int
) -> None:
    weights = np.array([[most / 16, 1 / 16]])
    layer = FloatLayer(weights, 1.0, theta, compare=compare, bias=np.array([bias]))
    try:
        result = folded(layer)
    except TargetLimit:
        # > of a threshold below one unit needs register 0, which the chip has not
        assume(False)
    fire = result.program.neurons["lif1"].fire
    assert fire is not None
    assert isinstance(fire.threshold, int)
    step = unit_of_v(result.program, "lif1")
    assert math.frexp(step)[0] == 0.5  # so v times step below is exact
    v = np.arange(-2000, 2**17 + 2000) * UNIT
    wanted = v * step >= theta if compare == ">=" else v * step > theta
    got = v > fire.threshold * fire.unit
    assert np.array_equal(wanted, got)
    assert wanted.any()
    assert result.notes[0].numbers["exact"] == 1
    assert result.notes[0].numbers["threshold"] == fire.threshold


def test_without_leak_the_note_says_exactly() -> None:
    (note,) = folded(FloatLayer(np.array([[1.0, 0.5]]), threshold=1.0)).notes
    assert note.node == "lif1"
    assert ">= -> > exactly" in note.text
    assert "no overflow for any input" in note.text


def test_while_v_may_saturate_exact_is_not_claimed() -> None:
    # -8388607, the end of v, is no multiple of 64, and no sum from there on is one
    (note,) = folded(FloatLayer(np.array([[1.0, -0.5]])), steps=None).notes
    assert ">= -> > exactly while nothing saturates" in note.text
    assert "v may saturate" in note.text
    assert note.numbers["exact"] == 0


@pytest.mark.parametrize("theta", [0.7, 1.0, 1.3])
def test_with_a_leak_the_threshold_is_rounded_and_ties_are_said(theta: float) -> None:
    layer = FloatLayer(np.array([[1.0, -0.5]]), alpha=0.9, threshold=theta)
    result = folded(layer, rounding="nearest")
    fire = result.program.neurons["lif1"].fire
    assert fire is not None
    wanted = theta / unit_of_v(result.program, "lif1") / UNIT
    registers = np.arange(1, 131072)
    assert fire.threshold == registers[np.abs(registers - wanted).argmin()]
    assert ">= -> >, ties do not fire (counted)" in result.notes[0].text
    assert result.notes[0].numbers["exact"] == 0


def test_with_a_leak_ties_occur_and_are_counted() -> None:
    layer = FloatLayer(np.array([[1.0]]), alpha=0.5, threshold=1.0)  # one spike reaches it exactly
    program = lowered(float_chain(layer), LOIHI2.passes, steps=8).program
    trace = run(program, np.ones((1, 8, 1)), "states")["lif1"]
    assert trace.tally is not None
    assert trace.tally.ties > 0
    assert trace.spikes.tolist()[0][0] == [0]  # >= would fire in the first step
    strict = FloatLayer(np.array([[1.0]]), alpha=0.5, threshold=1.0, compare=">")
    (note,) = folded(strict).notes
    assert "; compares >;" in note.text


def test_a_bias_between_the_multiples_leaves_ties() -> None:
    step = unit_of_v(folded(FloatLayer(np.array([[1.0]]))).program, "lif1")
    layer = FloatLayer(np.array([[1.0]]), bias=np.array([3 * step]))
    assert "ties do not fire (counted)" in folded(layer).notes[0].text
    whole = FloatLayer(np.array([[1.0]]), bias=np.array([UNIT * step]))
    assert "exactly" in folded(whole).notes[0].text


# ---- bias


@settings(max_examples=80, deadline=None)
@given(
    ratios=st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    size=st.floats(0.001, 60),
    per_neuron=st.booleans(),
)
def test_biases_round_under_the_finest_exponent(
    ratios: list[float], size: float, per_neuron: bool
) -> None:
    bias = np.array(ratios) * size if per_neuron else ratios[0] * size
    layer = FloatLayer(np.full((3, 2), 1.0), alpha=0.5, threshold=4.0, bias=bias)
    program = folded(layer).program
    voltage = program.neurons["lif1"].voltage
    exponent = voltage.bias_exponent
    stored = voltage.bias
    data = program.consts[stored.name].data if isinstance(stored, Ref) else stored
    mantissa = np.asarray(data).astype(np.int64)
    wanted = np.asarray(bias) / unit_of_v(program, "lif1")
    error = np.abs(wanted - mantissa * 2**exponent)
    assert error.max() <= 2**exponent / 2
    assert np.abs(mantissa).max() <= 4095
    assert 0 <= exponent <= 7
    if exponent:  # one less would not hold them
        assert np.rint(np.abs(wanted) / 2 ** (exponent - 1)).max() > 4095
    if isinstance(stored, Ref):
        const = program.consts[stored.name]
        assert np.allclose(
            const.data * scale_column(const.type),
            mantissa * 2**exponent * (unit_of_v(program, "lif1")),
        )


def test_a_bias_beyond_the_register_is_refused() -> None:
    layer = FloatLayer(np.array([[1 / 1024]]), threshold=0.01, bias=np.array([50.0]))
    message = r"^lif1: bias \d+ exceeds loihi2's 524160; hint: a smaller bias, or larger weights"
    with pytest.raises(TargetLimit, match=message):
        folded(layer)


def test_a_large_bias_takes_a_smaller_weight_exponent() -> None:
    weights = np.array([[1.0]])
    small = folded(FloatLayer(weights, bias=np.array([0.5]), threshold=2.0)).notes[0]
    large = folded(FloatLayer(weights, bias=np.array([20.0]), threshold=2.0)).notes[0]
    assert large.numbers["exponent"] < small.numbers["exponent"]


# ---- threshold


def test_a_threshold_above_the_register_is_refused() -> None:
    # the currents are tiny beside it: even the least exponent leaves 1.3 million units
    layer = FloatLayer(np.array([[1 / 1024]]), alpha=0.9, threshold=1e3)
    message = r"^lif1: threshold \d+ lies outside loihi2's 1..131071; hint: .* smaller beside"
    with pytest.raises(TargetLimit, match=message):
        folded(layer)


def test_a_threshold_below_the_register_is_refused() -> None:
    layer = FloatLayer(np.full((1, 500), 1.0), alpha=0.9, threshold=1e-9)
    message = r"^lif1: threshold 0 lies outside loihi2's 1..131071; hint: .* larger beside"
    with pytest.raises(TargetLimit, match=message):
        folded(layer)


# ---- the weight exponent


def current(program: Program, number: int) -> int:
    """The greatest |current| that any input of 0s and 1s gives, from the integers themselves."""
    dense = program.by_name[f"fc{number}"].op
    assert isinstance(dense, Dense)
    weights = weights_of(program, f"fc{number}").data.astype(np.int64)
    positive, negative = np.maximum(weights, 0).sum(1).max(), -np.minimum(weights, 0).sum(1).min()
    return int(max(positive, negative)) << dense.exponent


def with_exponent(*layers: FloatLayer, exponent: int, steps: int | None) -> Program:
    """The program folded under one exponent only: as a chip that has no other would need it."""
    weights = replace(LOIHI2.weights, exponent_low=exponent, exponent_high=exponent)
    target = replace(LOIHI2, weights=weights)
    return lowered(float_chain(*layers), FOLD, steps=steps, target=target).program


def weight_exponent(program: Program, bits: int = 8) -> int:
    """Of the first layer: what its sum is shifted by, beyond the place of its bits on the grid."""
    dense = program.by_name["fc1"].op
    assert isinstance(dense, Dense)
    return dense.exponent - (LOIHI2.weights.grids["mixed"].top_bits - bits)


@pytest.mark.parametrize("inputs", [1, 3, 8, 40, 200])
@pytest.mark.parametrize("alpha", [0.9, 1.0])
def test_the_exponent_is_the_largest_that_is_proven(inputs: int, alpha: float) -> None:
    layer = FloatLayer(np.linspace(-1, 1, inputs + 1)[1:].reshape(1, -1), alpha, threshold=1.0)
    result = folded(layer)
    exponent = int(result.notes[0].numbers["exponent"])
    reach = reaches(result.program, 8)["lif1"]
    assert current(result.program, 1) <= CURRENT
    assert reach.may_clamp(result.program.neurons["lif1"]) == []
    assert "no overflow for any input" in result.notes[0].text
    for larger in range(exponent + 1, 8):
        try:
            finer = with_exponent(layer, exponent=larger, steps=8)
        except TargetLimit:
            continue  # no threshold register, or u could wrap
        if weight_exponent(finer) < larger:
            continue  # this one could not be taken: the pass went below it
        assert reaches(finer, 8)["lif1"].may_clamp(finer.neurons["lif1"])
    if inputs == 1:
        assert exponent == 7
    if inputs == 200:
        assert exponent < 3


def test_without_a_proof_the_smallest_exponent_that_cannot_wrap_is_taken() -> None:
    layer = FloatLayer(np.array([[1.0, -1.0]]))  # -1 in every step, forever
    result = folded(layer, steps=None)
    assert result.notes[0].numbers["exponent"] == 0
    assert "; v may saturate" in result.notes[0].text
    # with the length of a sample known, the same layer is proven
    assert "no overflow for any input" in folded(layer, steps=100).notes[0].text


def test_a_current_that_may_wrap_at_every_exponent_is_refused() -> None:
    message = (
        r"^lif1: the summed current can leave the 131071 that u holds without wrapping, at every "
        r"weight exponent; hint: fewer inputs, fewer bits, or weights with a smaller sum beside the"
    )
    layer = FloatLayer(np.full((1, 1100), -1.0), alpha=0.5, threshold=1.0)  # 1100 x 128 > 2^17
    with pytest.raises(TargetLimit, match=message):
        folded(layer)
    assert folded(FloatLayer(np.full((1, 1000), -1.0), alpha=0.5, threshold=1.0))
    few_large = np.concatenate([np.full((1, 20), -1.0), np.full((1, 1080), -0.5)], axis=1)
    assert folded(FloatLayer(few_large, alpha=0.5, threshold=1.0))


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_narrow_weights_are_shifted_into_the_low_bits_that_they_leave_free(bits: int) -> None:
    layer = FloatLayer(np.full((1, 600), -1.0), alpha=0.5, threshold=1.0)
    result = folded(layer, bits=bits)
    exponent = weight_exponent(result.program, bits)
    assert exponent == result.notes[0].numbers["exponent"]
    assert -(9 - bits) <= exponent < 0  # so no bit of the sum is lost
    assert current(result.program, 1) <= CURRENT


def test_proven_programs_do_not_clamp() -> None:
    rng = np.random.default_rng(0)
    layers = [
        FloatLayer(rng.normal(0.1, 0.5, (6, 5)), 0.9, 1.0, rng.normal(0, 0.1, 6)),
        FloatLayer(rng.normal(0.1, 0.5, (4, 6)), 1.0, 1.0),
    ]
    program = lowered(float_chain(*layers), LOIHI2.passes, steps=30).program
    for x in (np.ones((1, 30, 5)), events((8, 30, 5))):
        trace = run(program, x, "states")
        for layer in trace.layers.values():
            assert layer.tally is not None
            assert not any(layer.tally.clamped.values())
            assert layer.tally.spikes > 0


# ---- what is not supported is refused by name


def test_float_weights_are_refused() -> None:
    with pytest.raises(Unsupported, match=r"^fc1: weights are not integers yet"):
        lowered(float_chain(FloatLayer(np.eye(2))), ["fold_thresholds"])


def test_a_leak_between_two_registers_is_refused() -> None:
    program = float_chain(FloatLayer(np.eye(2), alpha=0.9))
    with pytest.raises(TargetLimit, match=r"^lif1: the decay register holds no factor 0.9: "):
        lowered(program, ["quantize_weights", "fold_thresholds"])


def test_twice_is_once() -> None:
    once = folded(FloatLayer(np.eye(2)), FloatLayer(np.eye(2), alpha=0.5)).program
    again = lowered(once, ["fold_thresholds"])
    assert again.program == once
    assert again.notes == ()
    assert isinstance(once.neurons["lif2"].fire, Fire)
