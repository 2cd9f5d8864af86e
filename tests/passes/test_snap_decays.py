"""snap_decays: every leak is one that the register holds, and no register holds a nearer one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, float_chain, lowered
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.neuron import Factor, Ref, State
from sast_compile.ir.program import check
from sast_compile.passes.snap_decays import exact_register, factor_of, gain, register_for
from sast_compile.target import DecayRegister, load_target

V = LOIHI2.neurons.voltage.decay
assert LOIHI2.neurons.synapse is not None
U = LOIHI2.neurons.synapse.decay
NARROW = replace(V, bits=5, low=3, high=20)


def factors(decay: DecayRegister) -> np.ndarray:
    """The factor of every register, by the chip's equation."""
    registers = np.arange(decay.low, decay.high + 1)
    return (2**decay.bits - registers - decay.offset) / 2**decay.bits


@settings(max_examples=200, deadline=None)
@given(alpha=st.floats(0, 1), decay=st.sampled_from([V, U, NARROW]))
def test_no_register_is_nearer(alpha: float, decay: DecayRegister) -> None:
    errors = np.abs(factors(decay) - alpha)
    register = register_for(alpha, decay)
    assert decay.low <= register <= decay.high
    assert abs(factor_of(register, decay) - alpha) == errors.min()


@pytest.mark.parametrize("decay", [V, U, NARROW])
def test_every_register_is_found_by_its_factor(decay: DecayRegister) -> None:
    for register, factor in enumerate(factors(decay), start=decay.low):
        assert factor_of(register, decay) == factor
        assert exact_register(float(factor), decay, "lif1") == register


def test_program_and_notes() -> None:
    alphas = (0.9, 1.0, 0.0, 0.5)
    layers = [FloatLayer(np.eye(1), alpha) for alpha in alphas]
    result = lowered(float_chain(*layers), ["snap_decays"])
    got = (3686 / 4096, 1.0, 1 / 4096, 0.5)
    leaks = [note for note in result.notes if "wanted" in note.numbers]
    for number, (wanted, factor) in enumerate(zip(alphas, got, strict=True), 1):
        note = leaks[number - 1]
        assert result.program.neurons[f"lif{number}"].voltage.decay == Factor(alpha=factor)
        assert note.node == f"lif{number}"
        assert (note.numbers["wanted"], note.numbers["got"]) == (wanted, factor)
        assert note.numbers["register"] == 4096 * (1 - factor)
        assert all(math.isfinite(n) for n in note.numbers.values())
    tau = -1 / math.log(0.9), -1 / math.log(3686 / 4096)
    assert leaks[0].numbers["tau_error"] == pytest.approx(tau[1] / tau[0] - 1)
    assert leaks[0].text == (
        "alpha wanted 0.9, got 0.899902 (register 410); time constant 9.491 -> 9.481 steps (-0.10%)"
    )
    assert "(exact)" in leaks[1].text  # no leak stays no leak
    assert "(another kind of neuron)" in leaks[2].text  # v never forgets all at once
    assert "(exact)" in leaks[3].text


def test_twice_is_once() -> None:
    once = lowered(float_chain(FloatLayer(np.eye(2), 0.77)), ["snap_decays"]).program
    again = lowered(once, ["snap_decays"])
    assert again.program == once
    assert again.notes[0].numbers["wanted"] == again.notes[0].numbers["got"]


def test_a_leak_per_neuron_is_snapped_neuron_by_neuron() -> None:
    alphas = np.array([0.9, 0.8, 0.9])
    result = lowered(float_chain(FloatLayer(np.eye(3), alphas)), ["snap_decays"])
    wanted = [factor_of(register_for(a, V), V) for a in alphas]
    assert result.program.consts["lif1.alpha"].data.tolist() == wanted
    assert "0.8..0.9 in 2 registers of 3 neurons; farthest" in result.notes[0].text


def test_a_synaptic_current_has_a_register_of_its_own() -> None:
    program = float_chain(FloatLayer(np.eye(2), 0.9))
    op = program.neurons["lif1"]
    lasting = replace(op, synapses=(State(decay=Factor(alpha=0.75)),))
    program = check(program.with_ops({"lif1": lasting}))
    result = lowered(program, ["snap_decays"])
    assert result.program.neurons["lif1"].synapses == (State(decay=Factor(alpha=0.75)),)
    assert result.notes[0].numbers["register"] == 1023  # u's decay has an offset of 1
    plain = replace(LOIHI2, neurons=replace(LOIHI2.neurons, synapse=None))
    with pytest.raises(Unsupported, match=r"^lif1: has a synaptic current that lasts, and loihi2"):
        lowered(program, ["snap_decays"], target=plain)


@pytest.mark.parametrize("decay", [V, NARROW])
def test_a_factor_between_two_registers_is_refused_by_name_and_number(decay: DecayRegister) -> None:
    message = (
        rf"^lif1: the decay register holds no factor 0.8999: the nearest is .*"
        rf"allowed {decay.low}..{decay.high}\)"
    )
    with pytest.raises(TargetLimit, match=message):
        exact_register(0.8999, decay, "lif1")


# ---- what another leak makes of v, the threshold makes good


def test_the_gain_is_the_least_squares_one() -> None:
    wanted, got = 0.9 ** np.arange(7), 0.88 ** np.arange(7)
    found = gain((0.9,), (0.88,), 20)  # 0.9 forgets half in 6.6 steps
    tried = np.linspace(0.9, 1.2, 3001)
    errors = ((wanted[:, None] - tried * got[:, None]) ** 2).sum(axis=0)
    assert found == pytest.approx(tried[errors.argmin()], abs=1e-4)
    assert gain((0.5, 0.9), (0.5, 0.9), 20) == 1
    assert 1 < gain((0.5, 0.9), (0.5, 0.88), 20) < 1.06


def test_a_threshold_follows_its_leak_and_what_a_spike_takes_too() -> None:
    layer = FloatLayer(np.eye(2), 0.9, 1.3, reset="subtract", when="after_decay")
    paper = load_target("paper-sim")
    snapped = lowered(float_chain(layer), ["snap_decays"], target=paper, steps=20).program
    fire, reset = snapped.neurons["lif1"].fire, snapped.neurons["lif1"].reset
    assert fire is not None
    assert reset is not None
    assert fire.threshold == pytest.approx(1.3 / gain((0.9,), (230 / 256,), 20))
    assert reset.amount == fire.threshold
    nearest = lowered(float_chain(layer), ["snap_decays"], target=paper, rounding="nearest").program
    assert nearest.neurons["lif1"].fire == float_chain(layer).neurons["lif1"].fire


def test_neurons_of_several_leaks_have_several_thresholds() -> None:
    layer = FloatLayer(np.eye(3), np.array([0.9, 0.8, 1.0]))
    snapped = lowered(float_chain(layer), ["snap_decays"], target=load_target("paper-sim")).program
    fire = snapped.neurons["lif1"].fire
    assert fire is not None
    assert isinstance(fire.threshold, Ref)
    heights = snapped.consts[fire.threshold.name].data
    assert heights[2] == 1
    assert heights[0] == pytest.approx(1 / gain((0.9,), (230 / 256,), None))
