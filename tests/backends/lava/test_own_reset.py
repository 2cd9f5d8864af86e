"""Resets that stock Lava lacks, on a Process of ours: what the interpreter defines, step by step.

Both sides are ours, so this holds one reading of the IR against another; tests/lava holds the
Process against Intel's ATRLIF, where that computes the same.
"""

from __future__ import annotations

import pytest
from lava_equality import Case, assert_equal_on_lava, assert_lively, differences
from loihi_graphs import own_reset, random_graph, with_neurons
from msgspec.structs import replace as with_fields

from sast_compile.backends import reference
from sast_compile.backends.lava import lava_status, run, run_many
from sast_compile.ir.neuron import Reset
from sast_compile.ir.program import Program

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(lava_status().python is None, reason=f"NO LAVA: {lava_status()}"),
]

KINDS = {
    *(("subtract", when) for when in ("after_fire", "before_decay", "after_decay")),
    *(("zero", when) for when in ("before_decay", "after_decay")),
}


def case(seed: int) -> Case:
    program, events = random_graph(seed)
    return with_neurons(program, events, seed, own_reset), events


def resets(program: Program) -> set[tuple[str, str]]:
    return {(op.reset.kind, op.reset.when) for op in program.neurons.values() if op.reset}


def test_every_reset_on_random_wiring() -> None:
    cases = [case(seed) for seed in (102, 106, 110, 111, 115, 121)]
    assert set().union(*(resets(program) for program, _ in cases)) >= KINDS
    assert_lively(cases, assert_equal_on_lava(cases))


def test_another_time_and_another_amount_are_found() -> None:
    """The negative control: no two of these resets are the same in v."""
    program, events = case(3)
    amount = 64 * min(int(op.fire.threshold) for op in program.neurons.values() if op.fire)  # type: ignore[arg-type]
    times = ("after_fire", "before_decay", "after_decay")
    wanted = {w: Reset(kind="subtract", when=w, amount=amount) for w in times}  # type: ignore[arg-type]
    wanted["more"] = with_fields(wanted["after_fire"], amount=amount + 1)
    programs = {name: _with_reset(program, reset) for name, reset in wanted.items()}
    traces = run_many([(one, events) for one in programs.values()]).traces
    for name, one in programs.items():
        expected = reference.run(one, events, "states")
        for other, trace in zip(programs, traces, strict=True):
            assert any(differences(trace, expected).values()) == (other != name), (name, other)


def _with_reset(program: Program, reset: Reset) -> Program:
    return program.with_ops({n: with_fields(op, reset=reset) for n, op in program.neurons.items()})


def test_a_run_says_which_populations_were_ours() -> None:
    program, events = random_graph(3)
    first, second = program.neurons
    reset = Reset(kind="subtract", amount=64)
    mixed = program.with_ops({first: with_fields(program.neurons[first], reset=reset)})
    found = run(mixed, events, "outputs")
    assert found.own == {first: "reset 'subtract' (after_fire)"}
    assert second not in found.own
