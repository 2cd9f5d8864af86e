"""check_registers: one register beyond its range is named with node, value and range."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, float_chain, lowered, until
from msgspec.structs import replace

from sast_compile.errors import TargetLimit
from sast_compile.ir.neuron import MulShift, Ref
from sast_compile.ir.ops import Dense, Neuron
from sast_compile.ir.program import Program, check
from sast_compile.ir.ranges import reaches
from sast_compile.ir.types import Const, Int, TensorType, int_holding

LAYERS = (
    FloatLayer(np.array([[1.0, -0.5, 0.25]] * 2), 0.9, bias=np.array([0.25, 0.0])),
    FloatLayer(np.array([[1.0, 0.5]]), 0.9),
)
NARROW = replace(LOIHI2.neurons.voltage.decay, high=409)
HINT = "hint: run the target's other passes first: they keep every register in range"


def compiled() -> Program:
    return lowered(float_chain(*LAYERS), until("balance_latency"), steps=10).program


def with_neuron(change: Callable[[Neuron], Neuron]) -> Program:
    program = compiled()
    return check(program.with_ops({"lif1": change(program.neurons["lif1"])}))


def with_exponent(exponent: int) -> Program:
    """8-bit weights take 1 of the shift: what is left is the chip's exponent."""
    program = compiled()
    op = program.by_name["fc1"].op
    assert isinstance(op, Dense)
    return check(program.with_ops({"fc1": replace(op, exponent=1 + exponent)}))


def with_threshold(value: int | Ref) -> Program:
    def change(op: Neuron) -> Neuron:
        assert op.fire is not None
        return replace(op, fire=replace(op.fire, threshold=value))

    if isinstance(value, Ref):
        program = compiled()
        consts = {value.name: Const(TensorType((2,), Int(8)), [1, 2])}
        return check(program.with_ops({"lif1": change(program.neurons["lif1"])}, consts))
    return with_neuron(change)


def with_voltage(**fields: object) -> Program:
    return with_neuron(lambda op: replace(op, voltage=replace(op.voltage, **fields)))


def with_weights(bits: int) -> Program:
    program = compiled()
    const = program.consts["fc1.weight"]
    wider = Const(replace_element(const.type, Int(bits)), const.data)
    return check(program.with_ops({}, {"fc1.weight": wider}))


def replace_element(type_: TensorType, element: Int) -> TensorType:
    return TensorType(type_.shape, element, type_.scale)


def test_a_compiled_program_passes_unchanged() -> None:
    program = compiled()
    result = lowered(program, ["check_registers"], steps=10)
    assert result.program is program
    found = reaches(program, 10)
    for note in result.notes:
        assert note.numbers == {"proven": 1.0}
        for state, reach in found[note.node].states.items():
            assert f"{state} in [{reach.least + 0:.0f}, {reach.most + 0:.0f}]" in note.text
        assert note.text.endswith(": proven for any input")
    assert [note.node for note in result.notes] == ["lif1", "lif2"]
    assert lowered(result.program, ["check_registers"], steps=10) == result


def test_without_a_proof_the_note_says_which_state() -> None:
    integrates = float_chain(FloatLayer(np.array([[1.0, -1.0]])))
    (note,) = lowered(integrates, until("check_registers")).notes
    assert note.text.endswith("v may be clamped")
    assert note.numbers == {"proven": 0.0}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (with_weights(9), "fc1: weight bits 9 lies outside 1..8"),
        (with_exponent(-2), "fc1: weight exponent -2 lies outside -1..7"),
        (with_exponent(8), "fc1: weight exponent 8 lies outside -1..7"),
        (with_threshold(0), "lif1: threshold 0 lies outside 1..131071"),
        (with_threshold(131072), "lif1: threshold 131072 lies outside 1..131071"),
        (with_voltage(decay=MulShift(decay=4096)), "lif1: v decay 4096 lies outside 0..4095"),
        (with_voltage(bias=4096), "lif1: bias mantissa 4096 lies outside -4096..4095"),
        (with_voltage(bias=-4097), "lif1: bias mantissa -4097 lies outside -4096..4095"),
        (with_voltage(bias_exponent=8), "lif1: bias exponent 8 lies outside 0..7"),
        (with_voltage(bias_exponent=-1), "lif1: bias exponent -1 lies outside 0..7"),
    ],
)
def test_a_register_out_of_range(program: Program, message: str) -> None:
    with pytest.raises(TargetLimit) as refusal:
        lowered(program, ["check_registers"], steps=10)
    assert str(refusal.value) == f"{message}; {HINT}"


def test_one_mantissa_of_many_is_found() -> None:
    program = compiled()
    const = Const(TensorType((2,), Int(14), 1.0), [0, 4096])
    with pytest.raises(TargetLimit, match=r"^lif1: bias mantissa 4096 lies outside"):
        lowered(check(program.with_ops({}, {"lif1.bias": const})), ["check_registers"])


def test_the_decay_of_u_is_checked_by_its_own_range() -> None:
    synapse = LOIHI2.neurons.synapse
    assert synapse is not None
    narrow = replace(
        LOIHI2, neurons=replace(LOIHI2.neurons, synapse=replace(synapse, decay=NARROW))
    )
    with pytest.raises(TargetLimit, match=r"^lif1: u decay 4095 lies outside 0..409"):
        lowered(compiled(), ["check_registers"], target=narrow)


def test_a_current_beyond_the_adder() -> None:
    adder = replace(LOIHI2, neurons=replace(LOIHI2.neurons, current_limit=100))
    program = compiled()
    reach = reaches(program)["lif1"].currents[0]
    message = rf"^lif1: summed current {reach.least:.0f} lies outside -100..100"
    with pytest.raises(TargetLimit, match=message):
        lowered(program, ["check_registers"], target=adder)


def test_one_register_of_many_is_seen() -> None:
    def thresholds(*values: int) -> Program:
        program = with_threshold(Ref("thresholds"))
        data = np.array(values)
        const = Const(TensorType(data.shape, int_holding(min(values), max(values))), data)
        return check(dataclasses.replace(program, consts={**program.consts, "thresholds": const}))

    neurons = compiled().neurons["lif1"].shape[0]
    fine = thresholds(*range(1, neurons + 1))
    assert lowered(fine, ["check_registers"]).program == fine
    with pytest.raises(TargetLimit, match=r"^lif1: threshold 131072 lies outside 1..131071"):
        lowered(thresholds(*range(1, neurons), 131072), ["check_registers"])


def test_floats_are_refused() -> None:
    program = float_chain(*LAYERS)
    with pytest.raises(TargetLimit, match=r"^fc1: weights are still floats"):
        lowered(program, ["check_registers"])
    quantized = lowered(program, ["quantize_weights"]).program
    with pytest.raises(TargetLimit, match=r"^lif1: is still a float neuron"):
        lowered(quantized, ["check_registers"])
    whole = replace(quantized.by_name["fc1"].op, exponent=1)
    other = replace(quantized.by_name["fc2"].op, exponent=0)
    with pytest.raises(TargetLimit, match=r"^lif1: is still a float neuron"):
        lowered(quantized.with_ops({"fc1": whole, "fc2": other}), ["check_registers"])
