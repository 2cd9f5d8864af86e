"""The emulator beside the interpreter: every value, state and tally of random programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from emulated_chains import assert_same, planes
from float_programs import LOIHI2, FloatLayer, float_chain, lowered
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from program_strategies import INTEGER_FAMILIES, events, programs

pytest.importorskip("llvmlite", reason="the emulator is the fast extra: llvmlite")

from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator, missing, run
from sast_compile.backends.emulator.machine.processor import Processor
from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const
from sast_compile.trace import Trace

OTHERS = [Processor("haswell", vector=256), Processor("x86-64")]  # no AVX-512; no AVX at all


def outcome(work: Callable[[], Trace]) -> tuple[Trace | None, str | None]:
    """What ``work`` returns, or what its CompileError says."""
    try:
        return work(), None
    except CompileError as error:
        return None, str(error)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_programs_of_every_chip(data: Any) -> None:
    program = data.draw(programs(families=INTEGER_FAMILIES))
    assume(missing(program) is None)
    batch = data.draw(events(program))
    checked = Emulator(program, "states", 1, checked=data.draw(st.booleans()))
    wanted, broken = outcome(lambda: reference.run(program, batch, "states"))
    if wanted is None:  # a state left the range that it must not leave
        _, found = outcome(lambda: checked.run(batch))
        assert found is not None
        assert broken is not None
        assert "leaves [" in found
        return
    assert_same(checked.run(batch), wanted)


@pytest.mark.parametrize("seed", range(12))
def test_convolutions_and_pools(seed: int) -> None:
    program, batch = planes(seed)
    wanted = reference.run(program, batch, "states")
    assert all(layer.spikes.any() for layer in wanted.layers.values())
    assert_same(run(program, batch, "states"), wanted)


@pytest.mark.parametrize("processor", OTHERS, ids=lambda p: p.name)
@pytest.mark.parametrize("seed", range(3))
def test_processors_without_wide_vectors(processor: Processor, seed: int) -> None:
    program, batch = planes(seed)
    emulator = Emulator(program, "states", 1, processor)
    assert_same(emulator.run(batch), reference.run(program, batch, "states"))


def wide(inputs: int = 700, outputs: int = 300) -> tuple[Program, np.ndarray]:
    """More active rows than 16 bits can add, all at the end of the grid."""
    rng = np.random.default_rng(0)
    layer = FloatLayer(rng.choice([-1.0, 1.0, 0.99], (outputs, inputs)), alpha=0.9, threshold=3.0)
    program = lowered(float_chain(layer), LOIHI2.passes, steps=10).program
    return program, (rng.random((6, 10, inputs)) < 0.9).astype(np.uint8)


@pytest.mark.parametrize("processor", [None, *OTHERS], ids=str)
def test_sums_of_more_rows_than_16_bits_hold(processor: Processor | None) -> None:
    program, x = wide()
    wanted = reference.run(program, x, "states")
    assert wanted["lif1"].spikes.any()
    assert_same(Emulator(program, "states", 1, processor).run(x), wanted)


def test_any_number_of_threads_gives_the_same() -> None:
    program, x = wide(50, 20)
    x = np.concatenate([x[:, :, :50]] * 5)
    one = Emulator(program, "states", 1).run(x)
    for threads in (2, 3, 16):
        assert_same(Emulator(program, "states", threads).run(x), one)
    assert_same(Emulator(program, "states", 2).run(x[:1]), reference.run(program, x[:1], "states"))


@pytest.mark.parametrize("record", ["outputs", "spikes"])
def test_less_may_be_recorded(record: Any) -> None:
    program, batch = planes(1)
    assert_same(run(program, batch, record), _without_tally(reference.run(program, batch, record)))


def _without_tally(trace: Trace) -> Trace:
    from dataclasses import replace

    return Trace({n: replace(layer, tally=None) for n, layer in trace.layers.items()})


def test_one_changed_weight_is_seen() -> None:
    program, batch = planes(2)
    data = program.consts["w1"].data.copy()
    data.flat[7] += 1 if data.flat[7] < 127 else -1
    consts = {"w1": Const(program.consts["w1"].type, data)}
    changed = run(program.with_ops({}, consts), batch, "states")
    with pytest.raises(AssertionError):
        assert_same(changed, reference.run(program, batch, "states"))


def test_floats_are_left_to_the_interpreter() -> None:
    program = float_chain(FloatLayer(np.eye(2)))
    with pytest.raises(Unsupported, match="computes in floats; hint: the reference interpreter"):
        run(program, np.zeros((1, 2, 2)))
