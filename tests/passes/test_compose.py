"""compose: what fold_thresholds makes of a population, register by register."""

from __future__ import annotations

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, events, float_chain, lowered
from msgspec.structs import replace

from sast_compile.backends.reference import run
from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.neuron import Factor, MulShift, Ref, State
from sast_compile.ir.program import Program, check
from sast_compile.target import load_target

RNG = np.random.default_rng(1)
LAYERS = (
    FloatLayer(RNG.normal(0.4, 0.4, (6, 8)), 0.9),
    FloatLayer(RNG.normal(0.4, 0.5, (3, 6)), 0.8),
)


def lasting(program: Program, beta: float, gain: float = 1.0) -> Program:
    """The program with a synaptic current in both layers."""
    synapse = State(decay=Factor(alpha=beta), gain=gain)
    ops = {name: replace(op, synapses=(synapse,)) for name, op in program.neurons.items()}
    return check(program.with_ops(ops))


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_lasting_current_becomes_loihis_u(beta: float, bits: int) -> None:
    before = lasting(float_chain(*LAYERS), beta, gain=0.6)
    program = lowered(before, LOIHI2.passes, bits=bits, steps=40).program
    decay = program.neurons["lif1"].synapses[0].decay
    assert isinstance(decay, MulShift)
    assert decay.decay == round((1 - beta) * 4096) - 1
    x = events((20, 40, 8))
    floats, chip = run(before, x), run(program, x, "states")
    for name in program.neurons:
        spikes = floats[name].spikes
        assert spikes.sum() > 200
        assert (spikes != chip[name].spikes).mean() < (0.03 if bits == 8 else 0.15)
        assert chip[name].tally is not None


def test_a_current_that_lasts_too_long_is_refused() -> None:
    with pytest.raises(TargetLimit, match=r"^lif1: the summed current can leave"):
        lowered(lasting(float_chain(*LAYERS), 1.0), LOIHI2.passes, steps=None)


def test_a_readout_keeps_its_voltage() -> None:
    program = float_chain(*LAYERS)
    last = replace(program.neurons["lif2"], fire=None, reset=None)
    before = check(program.with_ops({"lif2": last}))
    result = lowered(before, LOIHI2.passes, steps=40)
    op = result.program.neurons["lif2"]
    assert (op.fire, op.reset) == (None, None)
    notes = [n.text for n in result.notes]
    assert notes
    x = events((20, 40, 8))
    floats, chip = run(before, x)["lif2"].spikes, run(result.program, x)["lif2"].spikes
    scale = result.program.types["lif2"].scale
    assert isinstance(scale, float)
    assert np.corrcoef(floats.ravel(), chip.ravel())[0, 1] > 0.99
    assert np.abs(floats - chip * scale).max() < 0.1 * np.abs(floats).max()


def test_every_neuron_may_have_its_own_registers() -> None:
    alphas, thresholds = np.linspace(0.7, 0.95, 6), np.linspace(0.6, 1.6, 6)
    bias = np.linspace(0.0, 0.02, 6)
    before = float_chain(FloatLayer(LAYERS[0].weights, alphas, thresholds, bias))
    program = lowered(before, LOIHI2.passes, steps=40).program
    op = program.neurons["lif1"]
    assert isinstance(op.voltage.decay, MulShift)
    assert op.voltage.decay.decay == Ref("lif1.v_decay")
    assert program.consts["lif1.v_decay"].data.tolist() == np.rint((1 - alphas) * 4096).tolist()
    x = events((20, 40, 8))
    spikes, integers = run(before, x)["lif1"].spikes, run(program, x)["lif1"].spikes
    assert (integers.sum(axis=(0, 1)) > 5).all()
    assert (spikes != integers).mean() < 0.02


def test_a_subtraction_is_rounded_and_its_order_kept() -> None:
    paper = load_target("paper-sim")
    before = float_chain(
        FloatLayer(LAYERS[0].weights, 0.9, 1.0, reset="subtract", when="after_decay")
    )
    program = lowered(before, paper.passes, target=paper, steps=40, rounding="nearest").program
    reset, fire = program.neurons["lif1"].reset, program.neurons["lif1"].fire
    assert reset is not None
    assert fire is not None
    assert (reset.kind, reset.when, reset.amount) == ("subtract", "after_decay", fire.threshold)


def test_two_currents_are_refused() -> None:
    program = float_chain(LAYERS[0])
    op = program.neurons["lif1"]
    two = replace(op, synapses=(State(decay=Factor(alpha=0.5)),) * 2)
    nodes = tuple(
        n if n.name != "lif1" else type(n)(n.name, two, n.inputs * 2) for n in program.nodes
    )
    spoilt = check(Program(program.name, nodes, program.outputs, program.consts))
    with pytest.raises(Unsupported, match="two synaptic currents"):
        lowered(spoilt, LOIHI2.passes, steps=40)
