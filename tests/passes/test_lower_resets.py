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

SUBTRACTS = replace(LOIHI2, reset=replace(LOIHI2.reset, native=("zero", "subtract")))


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
        lowered(program, ["lower_resets"])


def test_a_late_subtraction_is_not_moved() -> None:
    # snnTorch subtracts behind the decay: moving it changes spikes, so no chip "has" it natively
    now = float_chain(FloatLayer(np.eye(2), reset="subtract", when="after_fire"))
    assert lowered(now, ["lower_resets"], target=SUBTRACTS).program == now
    late = float_chain(FloatLayer(np.eye(2), reset="subtract", when="after_decay"))
    with pytest.raises(Unsupported, match=r"^lif1: reset 'subtract' \(after_decay\)"):
        lowered(late, ["lower_resets"], target=SUBTRACTS)
