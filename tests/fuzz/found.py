"""What a failure becomes: shrunk, and written as a program in text with its facts beside it."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from programs_runner import FOLDER

from fuzz.cases import Batch, Case
from fuzz.compare import Answer, Failure, difference, lava_answers, torch_answer
from fuzz.draw import drawn
from fuzz.shrink import ALL, VALUES, Differs, shrunk
from fuzz.smaller import Pair
from sast_compile.backends import reference
from sast_compile.ir.program import Program
from sast_compile.ir.text import digest, print_program
from sast_compile.trace import Trace

MOST = 8  # files of one run
TORCH = "torch"


def shrunk_files(failures: Sequence[Failure], folder: Path = FOLDER / "loihi") -> Iterator[str]:
    """Shrinks and writes the first failures, a line for each."""
    for failure in [f for f in failures if f.difference is not None][:MOST]:
        case = drawn(failure.seed)
        assert isinstance(case, Case)
        pair = small(case, failure.backend)
        (answer,) = answers(case, failure.backend, [pair])
        if isinstance(answer, str):
            yield f"seed {failure.seed}: no longer differs"
            continue
        path = write(pair, answer, f"seed {case.seed} ({case.kind}), {failure.backend}", folder)
        yield f"seed {failure.seed}: {path.name}"


def small(case: Case, backend: str) -> Pair:
    """The smallest program and events of ``case`` for which ``backend`` differs.

    The torch model keeps the graph's wiring: there only values are made smaller.
    """
    kinds = VALUES if backend == TORCH else ALL
    return shrunk((case.program, case.events), _differs(case, backend), kinds)


def _differs(case: Case, backend: str) -> Differs:
    return lambda pairs: [
        not isinstance(answer, str) and differ(pair, answer)
        for pair, answer in zip(pairs, answers(case, backend, pairs), strict=True)
    ]


def answers(case: Case, backend: str, pairs: Sequence[Pair]) -> list[Answer]:
    if backend == TORCH:
        return [torch_answer(replace(case, program=p, events=e)) for p, e in pairs]
    return lava_answers(pairs)


def differ(pair: Pair, answer: Trace) -> bool:
    """Whether ``answer`` is not what the interpreter computes."""
    return difference(reference.run(*pair, "states"), answer) is not None


def write(pair: Pair, answer: Trace, origin: str, folder: Path) -> Path:
    """The program with ``answer`` as its facts; the interpreter must be brought to agree, or not.

    A sample is a run of its own there, so a difference that needs several must be seen elsewhere.
    """
    found = difference(reference.run(*pair, "states"), answer)
    lines = [f";; Found by fuzzing, {origin}: {found}."]
    program, events = pair
    if (samples := len(next(iter(events.values())))) > 1:
        lines.append(f";; It took the {samples} samples in one run.")
    for sample in range(samples):
        lines += _facts(program, events, answer, sample)
    text = "\n".join(lines) + "\n" + _whole_text(program)
    name = hashlib.sha256(_whole_text(program).encode()).hexdigest()[:8]
    path = folder / f"found_{name}.sast.txt"
    path.write_text(text, encoding="utf-8")
    return path


def _facts(program: Program, events: Batch, answer: Trace, sample: int) -> Iterator[str]:
    first, *others = program.inputs
    returned = answer[program.outputs[0]].spikes[sample]
    yield _fact(f"run {first}", f"{_json(events[first][sample])} -> {_json(returned)}")
    for name in others:
        yield _fact(f"input {name}", _json(events[name][sample]))
    for name, layer in answer.layers.items():
        if program.neurons[name].fire is not None:
            yield _fact(f"spikes {name}", _json(layer.spikes[sample]))
        for state, data in layer.states.items():
            yield _fact(f"{state} {name}", _json(data[sample]))


def _fact(key: str, value: str) -> str:
    return textwrap.fill(f"{key}: {value}", 100, initial_indent="; ", subsequent_indent=";     ",
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _json(data: Any) -> str:
    return str(np.asarray(data).astype(np.int64).tolist())


def _whole_text(program: Program) -> str:
    """The program's text with all constants written out, however long."""
    text = print_program(program)
    for const in program.consts.values():
        text = text.replace(f"sha256 '{digest(const)}'", repr(const.data.tolist()))
    return text
