"""lower_resets: resets move into the step of the spike where that changes no spike."""

from __future__ import annotations

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, events, float_chain, lowered
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sast_compile.backends.reference import run
from sast_compile.contract import ResetWhen
from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Reset

PLAIN = replace(LOIHI2, reset=replace(LOIHI2.reset, microcode=()))
SUBTRACTS = replace(PLAIN, reset=replace(PLAIN.reset, native=("zero", "subtract")))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    when=st.sampled_from(["before_decay", "after_decay"]),
    alpha=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)
def test_a_zero_reset_may_act_early(seed: int, when: ResetWhen, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    layers = [
        FloatLayer(rng.normal(0.2, 1, (5, 4)), alpha, 0.7, rng.normal(0, 0.1, 5), when=when),
        FloatLayer(rng.normal(0.3, 1, (3, 5)), alpha, 0.5, when=when),
    ]
    program = float_chain(*layers)
    early = lowered(program, ["lower_resets"]).program
    x = events((4, 15, 4), seed=seed)
    before, after = run(program, x, "states"), run(early, x, "states")
    for name in ("lif1", "lif2"):
        fired = after[name].spikes > 0
        assert np.array_equal(before[name].spikes, after[name].spikes)
        assert not after[name].states["v"][fired].any()
        assert np.array_equal(before[name].states["v"][~fired], after[name].states["v"][~fired])
    assert before["lif1"].spikes.any()


def test_notes_and_idempotence() -> None:
    program = float_chain(FloatLayer(np.eye(2)), FloatLayer(np.eye(2), when="after_fire"))
    once = lowered(program, ["lower_resets"])
    assert [(n.node, n.text) for n in once.notes] == [
        ("lif1", "reset zero: before_decay -> after_fire, same spikes")
    ]
    assert once.program.neurons["lif1"].reset == Reset(kind="zero")
    twice = lowered(once.program, ["lower_resets"])
    assert twice.program == once.program
    assert twice.notes == ()


def test_a_reset_that_the_chip_lacks_is_refused() -> None:
    program = float_chain(FloatLayer(np.eye(2), reset="subtract", when="after_fire"))
    message = (
        r"^lif1: reset 'subtract' \(after_fire\) does not exist on loihi2; "
        r"hint: its resets are zero \(after_fire\); retrain with one of them$"
    )
    with pytest.raises(Unsupported, match=message):
        lowered(program, ["lower_resets"], target=PLAIN)


@pytest.mark.parametrize("when", ["after_fire", "before_decay", "after_decay"])
def test_a_reset_that_needs_microcode_is_kept_and_said(when: ResetWhen) -> None:
    program = float_chain(FloatLayer(np.eye(2), reset="subtract", when=when))
    result = lowered(program, ["lower_resets"])
    reset = result.program.neurons["lif1"].reset
    assert reset is not None
    assert reset.when == ("after_decay" if when == "after_decay" else "after_fire")
    name = "subtract_after_decay" if when == "after_decay" else "subtract"
    text = f"reset {name}: not loihi2's own neuron, needs microcode"
    assert result.notes[-1].text == text


@pytest.mark.parametrize("when", ["before_decay", "after_decay"])
def test_a_late_subtraction_is_moved_with_the_amount_that_changes_no_spike(when: ResetWhen) -> None:
    weights = np.random.default_rng(3).normal(0.2, 0.4, (6, 8))
    layer = FloatLayer(weights, alpha=0.9, threshold=1.0, reset="subtract", when=when)
    late = float_chain(layer, FloatLayer(np.eye(6)))
    early = lowered(late, ["lower_resets"], target=SUBTRACTS).program
    reset = early.neurons["lif1"].reset
    assert reset == Reset(kind="subtract", amount=1 / 0.9 if when == "after_decay" else 1.0)
    x = events((20, 60, 8))
    spikes = run(late, x)["lif1"].spikes
    assert spikes.sum() > 1000
    assert np.array_equal(spikes, run(early, x)["lif1"].spikes)
    # moved without its amount it would be another neuron
    moved = replace(early.neurons["lif1"], reset=Reset(kind="subtract", amount=1.0))
    wrong = run(early.with_ops({"lif1": moved}), x)["lif1"].spikes
    assert np.array_equal(spikes, wrong) is (when == "before_decay")


def test_a_chip_that_subtracts_late_keeps_the_order() -> None:
    late = float_chain(FloatLayer(np.eye(2), reset="subtract", when="after_decay"))
    native = ("zero", "subtract", "subtract_after_decay")
    target = replace(LOIHI2, reset=replace(LOIHI2.reset, native=native))
    assert lowered(late, ["lower_resets"], target=target).program == late


def test_a_subtraction_of_what_is_forgotten_is_refused() -> None:
    late = float_chain(FloatLayer(np.eye(2), alpha=0.0, reset="subtract", when="after_decay"))
    with pytest.raises(Unsupported, match=r"^lif1: reset 'subtract' \(after_decay\)"):
        lowered(late, ["lower_resets"], target=SUBTRACTS)


def test_a_reset_that_takes_the_next_drive_is_kept_from_every_chip() -> None:
    program = float_chain(FloatLayer(np.eye(2), when="after_input"))
    with pytest.raises(Unsupported, match=r"^lif1: reset 'zero' \(after_input\) does not exist"):
        lowered(program, ["lower_resets"])


@pytest.mark.parametrize("seed", range(5))
def test_a_subtraction_after_the_input_is_one_after_the_decay(seed: int) -> None:
    weight = np.random.default_rng(seed).normal(0.4, 1, (6, 4))
    x = events((3, 20, 4), seed=seed)
    layers = [FloatLayer(weight, 0.9, reset="subtract", when=when)
              for when in ("after_decay", "after_input")]  # fmt: skip
    one, other = (run(float_chain(layer), x)["lif1"].spikes for layer in layers)
    assert np.array_equal(one, other)
    assert one.any()
