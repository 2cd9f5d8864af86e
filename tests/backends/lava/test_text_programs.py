"""The programs in text on Lava: those with Loihi's neuron and grid run, all others are refused."""

from __future__ import annotations

import numpy as np
import pytest
from programs_runner import FOLDER, Facts, Run, check_run, read_facts

from sast_compile.backends.lava import lava_status, lower, run_many
from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.program import Program
from sast_compile.ir.text import parse_program

FILES = {
    path.relative_to(FOLDER).as_posix().removesuffix(".sast.txt"): read_facts(path.read_text())
    for path in sorted(FOLDER.rglob("*.sast.txt"))
}
RUNS = {name: facts for name, facts in FILES.items() if facts.runs}
BESIDE_LOIHI = {
    "loihi/u_wraps_modulo",  # nengo-loihi's wrap, which Lava's single one is not
    "loihi/u_decay_offset",  # 1 among 200 and -200: weights of both signs are even
}
ON_LAVA = {n for n in RUNS if n.startswith("loihi/")} - BESIDE_LOIHI | {"graph/readout"}


@pytest.mark.parametrize("name", sorted(RUNS.keys() - ON_LAVA - {"loihi/u_decay_offset"}))
def test_a_program_of_another_neuron_is_refused(name: str) -> None:
    with pytest.raises(Unsupported, match="this is not Loihi's neuron"):
        lower(_program(RUNS[name]))


def test_a_weight_off_the_grid_is_refused() -> None:
    with pytest.raises(TargetLimit, match=r"its weights -200\.\.200 have 9 bits"):
        lower(_program(RUNS["loihi/u_decay_offset"]))


@pytest.mark.lava
@pytest.mark.skipif(lava_status().python is None, reason=f"NO LAVA: {lava_status()}")
def test_every_fact_holds_on_lava() -> None:
    assert len(ON_LAVA) == 28
    given = [(_program(RUNS[name]), run) for name in sorted(ON_LAVA) for run in RUNS[name].runs]
    traces = run_many([(program, _events(program, run)) for program, run in given]).traces
    for (program, run), trace in zip(given, traces, strict=True):
        check_run(program, run, lambda *_, found=trace: found)  # type: ignore[misc]


def _program(facts: Facts) -> Program:
    return parse_program(facts.body)


def _events(program: Program, run: Run) -> dict[str, np.ndarray]:
    return {name or program.inputs[0]: np.array([rows]) for name, rows in run.events.items()}
