"""Every program file under programs/, with its facts, on every back end present."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from programs_runner import FOLDER, Backend, Events, check_run, read_facts
from torch_devices import DEVICES

from sast_compile.backends import emulator, reference, torch_program
from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.program import Program
from sast_compile.ir.text import parse_program, print_program
from sast_compile.trace import Trace


def run_reference(program: Program, events: Events) -> Trace:
    return reference.run(program, events, "states")


def run_emulator(program: Program, events: Events) -> Trace:
    why = emulator.missing(program)
    if why is not None:
        pytest.skip(f"the emulator leaves it to the interpreter: {why}")
    return emulator.run(program, events, "states", threads=1)


BACKENDS: Mapping[str, Backend] = {"reference": run_reference, "emulator": run_emulator}


def run_torch(program: Program, events: Events, device: str) -> Trace:
    pytest.importorskip("torch", reason="programs on torch: the torch extra")
    try:
        return torch_program.run(program, events, "states", device)
    except Unsupported as why:
        pytest.skip(f"torch leaves it to the interpreter: {why}")


FILES = {
    path.relative_to(FOLDER).as_posix().removesuffix(".sast.txt"): path
    for path in sorted(FOLDER.rglob("*.sast.txt"))
}
RUNS = {name: path for name, path in FILES.items() if read_facts(path.read_text()).runs}
by_file = pytest.mark.parametrize("path", FILES.values(), ids=list(FILES))


@pytest.mark.parametrize("path", RUNS.values(), ids=list(RUNS))
@pytest.mark.parametrize("backend", BACKENDS)
def test_runs(path: Path, backend: str) -> None:
    facts = read_facts(path.read_text())
    program = parse_program(facts.body)
    for run in facts.runs:
        check_run(program, run, BACKENDS[backend])


@pytest.mark.parametrize("path", RUNS.values(), ids=list(RUNS))
@pytest.mark.parametrize("device", DEVICES)
def test_runs_on_torch(path: Path, device: str) -> None:
    facts = read_facts(path.read_text())
    program = parse_program(facts.body)
    for run in facts.runs:
        check_run(program, run, lambda program, events: run_torch(program, events, device))


@by_file
def test_text(path: Path) -> None:
    text = path.read_text()
    facts = read_facts(text)
    if facts.error is not None:
        with pytest.raises(CompileError) as caught:
            parse_program(text)
        assert facts.error in str(caught.value)
        return
    program = parse_program(text)
    printed = print_program(program)
    assert parse_program(printed) == program
    if facts.prints_same:
        assert printed == facts.body


@by_file
def test_a_file_says_something(path: Path) -> None:
    facts = read_facts(path.read_text())
    assert facts.runs or facts.error or facts.prints_same


def test_every_chip_has_programs() -> None:
    folders = {name.split("/")[0] for name in FILES}
    assert {"loihi", "xylo", "speck", "c", "hs_api", "float", "graph", "errors"} <= folders


def test_runs_are_not_silent() -> None:
    """Each file that runs sees a spike, or reads out a v that is not 0."""
    for name, path in RUNS.items():
        assert any(_any_set(run.returned) for run in read_facts(path.read_text()).runs), name


def _any_set(rows: object) -> bool:
    return any(map(_any_set, rows)) if isinstance(rows, list) else bool(rows)


@pytest.mark.parametrize("line", ["; runs [[1]] -> [[1]]", "; v s: [[1]]", "; just words"])
def test_a_mistyped_fact_is_not_a_remark(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        read_facts(f"{line}\nprogram p\n")
