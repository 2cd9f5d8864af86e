"""A slice of the fuzzing (`make fuzz`, docs/fuzzing.md), and that it would find something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch integer model takes part")

from fuzz import found
from fuzz.cases import Case, Refused
from fuzz.compare import (
    Answer,
    Failure,
    Seen,
    compared,
    difference,
    lava_answers,
    refusal,
    torch_answer,
)
from fuzz.draw import drawn, reason
from fuzz.found import differ, write
from fuzz.run import chunk_of, logged
from fuzz.run import write as write_log
from fuzz.shrink import VALUES, shrunk
from fuzz.smaller import Pair
from msgspec.structs import replace as with_fields
from programs_runner import check_run, read_facts

from sast_compile.backends import reference
from sast_compile.backends.lava import lava_status
from sast_compile.errors import TargetLimit
from sast_compile.ir.ops import Projection, lookup
from sast_compile.ir.program import Edge, Program
from sast_compile.ir.text import parse_program
from sast_compile.ir.types import Const
from sast_compile.trace import Trace

SLICE = range(50_000, 50_060)
on_lava = [
    pytest.mark.lava,
    pytest.mark.skipif(lava_status().python is None, reason=f"NO LAVA: {lava_status()}"),
]
Change = Callable[[Program], Program]


def case_of(seed: int) -> Case:
    case = drawn(seed)
    assert isinstance(case, Case)
    return case


class TestOnLava:
    pytestmark = on_lava

    def test_a_slice(self) -> None:
        seen = chunk_of(SLICE)
        assert seen.failures == []
        counts = seen.counts
        assert counts["programs"] >= 45
        assert counts["programs on all three"] >= 15
        assert counts["layers"] >= 90
        assert min(counts[what] for what in ("u wrapped", "v saturated", "v below 0")) > 400
        assert counts["layers with a tie"] >= 5

    def test_a_change_on_one_side_is_found_shrunk_and_written(self, tmp_path: Path) -> None:
        """Lava runs the changed program, the interpreter the other: a failure for each change.

        The shrinker asks the interpreter for what Lava would say, and Lava confirms the smallest.
        """
        cases = [case_of(seed) for seed in CHANGES.values()]
        seen = compared(cases, lambda jobs: lava_answers(_changed(jobs)))
        assert [f.seed for f in seen.failures if f.backend == "lava"] == [*CHANGES.values()]
        small = [
            shrunk((c.program, c.events), _differs(f)) for f, c in zip(CHANGES, cases, strict=True)
        ]
        answers = lava_answers(_changed(small))
        for pair, answer, change in zip(small, answers, CHANGES, strict=True):
            assert isinstance(answer, Trace)
            assert differ(pair, answer)
            _is_small(pair)
            facts = read_facts(write(pair, answer, "a test", tmp_path).read_text())
            program = parse_program(facts.body)
            assert program == pair[0]
            with pytest.raises(AssertionError, match="line"):
                check_run(program, facts.runs[0], lambda p, e: reference.run(p, e, "states"))
            check_run(
                program, facts.runs[0], lambda p, e, f=change: reference.run(f(p), e, "states")
            )  # type: ignore[misc]


def _is_small(pair: Pair) -> None:
    program, events = pair
    assert len(program.neurons) == 1
    assert sum(c.data.size for c in program.consts.values()) <= 4
    for data in events.values():
        assert len(data) == 1
        assert data.shape[1] <= 4
        assert np.count_nonzero(data) <= 1


def more_bias(program: Program) -> Program:
    """The bias mantissa of the last population, one more."""
    name, op = list(program.neurons.items())[-1]
    bias = op.voltage.bias
    assert isinstance(bias, int)
    voltage = with_fields(op.voltage, bias=bias + 1, bias_exponent=0)
    return program.with_ops({name: with_fields(op, voltage=voltage)})


def other_weight(program: Program) -> Program:
    """The largest weight of the first projection, one step less."""
    node = next(n for n in program.nodes if isinstance(n.op, Projection))
    assert isinstance(node.op, Projection)
    const = lookup(node.op.weight, program.consts)
    data = const.data.copy()
    data.flat[data.argmax()] -= 1
    return program.with_ops({}, {node.op.weight.name: Const(const.type, data)})


def longer_delay(program: Program) -> Program:
    """The first projection, one step later."""
    at = next(i for i, n in enumerate(program.nodes) if isinstance(n.op, Projection))
    nodes, (edge,) = list(program.nodes), program.nodes[at].inputs
    nodes[at] = replace(nodes[at], inputs=(Edge(edge.node, edge.delay + 1),))
    return replace(program, nodes=tuple(nodes))


CHANGES: dict[Change, int] = {more_bias: 10, other_weight: 7, longer_delay: 6}  # and the seed


def _changed(jobs: Sequence[Pair]) -> list[Pair]:
    return [(f(p), events) for f, (p, events) in zip(CHANGES, jobs, strict=True)]


def _differs(change: Change) -> Callable[[Sequence[Pair]], list[bool]]:
    """What Lava would answer, by the interpreter; of programs that Lava takes."""
    return lambda pairs: [
        refusal(changed := change(p[0])) is None
        and differ(p, reference.run(changed, p[1], "states"))
        for p in pairs
    ]


def test_a_change_in_torchs_program_is_found_and_made_smaller() -> None:
    case = case_of(11)
    assert case.source is not None

    def differs(pairs: Sequence[Pair]) -> list[bool]:
        answers = [torch_answer(replace(case, program=other_weight(p), events=e)) for p, e in pairs]
        return [isinstance(a, Trace) and differ(p, a) for p, a in zip(pairs, answers, strict=True)]

    assert differs([(case.program, case.events)]) == [True]
    program, events = shrunk((case.program, case.events), differs, VALUES)
    assert list(program.neurons) == list(case.program.neurons)
    assert sum(np.count_nonzero(data) for data in events.values()) == 1


def test_a_failure_becomes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another computer in Lava's place, from the seed to the facts."""

    def other(jobs: Sequence[Pair]) -> list[Answer]:
        return [reference.run(more_bias(p), events, "states") for p, events in jobs]

    monkeypatch.setattr(found, "lava_answers", other)
    (failure,) = compared([case_of(10)], other).failures
    assert [*found.shrunk_files([failure], tmp_path)] != []
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("found_")
    facts = read_facts(path.read_text())
    program = parse_program(facts.body)
    assert len(program.nodes) == 3
    check_run(program, facts.runs[0], lambda p, e: reference.run(more_bias(p), e, "states"))


def test_a_seed_is_always_the_same_program() -> None:
    for seed in range(12):
        one, other = drawn(seed), drawn(seed)
        if isinstance(one, Refused) or isinstance(other, Refused):
            assert one == other
            continue
        assert one.program == other.program
        assert all((other.events[name] == data).all() for name, data in one.events.items())


def test_what_a_back_end_refuses_or_breaks_on_is_kept_apart() -> None:
    case = case_of(10)
    seen = compared([case], lambda jobs: ["TargetLimit: too much"])
    assert (seen.failures, dict(seen.refusals)) == ([], {"lava: TargetLimit: too much": 1})
    assert seen.counts["programs"] == 0
    (failure,) = compared([case], lambda jobs: ["Traceback: KeyError"]).failures
    assert (failure.seed, failure.backend, failure.difference) == (10, "lava", None)


def test_equal_reasons_are_one() -> None:
    errors = [
        TargetLimit("s1 reads x 70 steps late; a connection takes 1"),
        TargetLimit("s22 reads y 99 steps late; a connection takes 1"),
    ]
    assert len({reason(error, ["s1", "s22", "x", "y"]) for error in errors}) == 1


def test_a_run_that_was_cut_goes_on(tmp_path: Path) -> None:
    log, seen = tmp_path / "log", Seen()
    seen.counts["programs"] += 3
    seen.refusals["a"] += 1
    case = case_of(10)
    first = difference(
        reference.run(case.program, case.events, "states"),
        reference.run(more_bias(case.program), case.events, "states"),
    )
    seen.failures.append(Failure(1, "kind", "lava", "text", first))
    write_log(log, 100, seen)
    assert logged(log, 0) is None
    assert logged(log, 100) == seen
