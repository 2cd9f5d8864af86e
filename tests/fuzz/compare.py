"""Cases on the interpreter, the torch integer model, Lava and the emulator: what differs."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from fuzz.cases import Batch, Case
from fuzz.draw import reason
from fuzz.features import features
from fuzz.registers import HIGHEST
from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator
from sast_compile.backends.lava import lower, run_many
from sast_compile.compare import Difference, first_difference
from sast_compile.errors import BackendUnavailable, CompileError
from sast_compile.ir.program import Program
from sast_compile.levels import integer_trace
from sast_compile.trace import Layer, Tally, Trace

Answer: TypeAlias = Trace | str  # the trace of a back end, or why it refuses
LAVA_SECONDS = 900.0
OURS = "emulator"


@dataclass(frozen=True)
class Failure:
    """What a back end computed otherwise, or an exception that is no refusal."""

    seed: int
    kind: str
    backend: str
    text: str
    difference: Difference | None = None


@dataclass
class Seen:
    """Counts over the programs that were compared, and what went wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            self.counts + other.counts,
            self.features + other.features,
            self.refusals + other.refusals,
            self.failures + other.failures,
        )


def compared(cases: Sequence[Case], lava: Callable[..., list[Answer]] | None = None) -> Seen:
    """All ``cases`` on all back ends; ``lava`` may stand in for Lava's own runs."""
    seen = Seen()
    on_lava = (lava or lava_answers)([(case.program, case.events) for case in cases])
    for case, answer in zip(cases, on_lava, strict=True):
        wanted = reference.run(case.program, case.events, "states")
        answers = {"lava": answer, OURS: emulator_answer(case)}
        if case.source is not None:
            answers["torch"] = torch_answer(case)
        _count(seen, case, wanted, answers)
    return seen


def _count(seen: Seen, case: Case, wanted: Trace, answers: Mapping[str, Answer]) -> None:
    taken = 0
    for backend, answer in answers.items():
        if isinstance(answer, str):
            refused = not answer.startswith("Traceback")
            if refused:
                seen.refusals[f"{backend}: {answer}"] += 1
            else:
                seen.failures.append(Failure(case.seed, case.kind, backend, answer))
            continue
        taken += backend != OURS  # which is no oracle: it is what these are for
        found = difference(wanted, answer)
        seen.counts[f"programs on {backend}"] += 1
        if found is not None:
            seen.failures.append(Failure(case.seed, case.kind, backend, str(found), found))
    if taken:
        seen.counts["programs"] += 1
        seen.counts["programs on all three"] += taken == 2
        seen.features.update(features(case))
        for name, layer in wanted.layers.items():
            seen.counts.update(_evidence(layer, case.program.neurons[name].fire is not None, taken))


def _evidence(layer: Layer, fires: bool, backends: int) -> dict[str, int]:
    """What an equality of this layer shows: nothing if it was silent, or always fired."""
    tally = layer.tally or Tally()
    v = np.asarray(layer.states["v"])
    if (fires and not tally.spikes) or (not fires and not v.any()):
        return {"silent layers": 1}
    if fires and tally.spikes == layer.spikes.size:
        return {"layers that always fired": 1}
    clamped = tally.clamped
    values = layer.spikes.size * fires, *(a.size for a in layer.states.values())
    return {
        "layers": 1,
        "readouts": int(not fires),
        "spikes": tally.spikes,
        "values compared": sum(values) * backends,
        "u wrapped": clamped.get("u", 0),
        "v saturated": clamped.get("v", 0),
        "ties": tally.ties,
        "v below 0": tally.negatives,
        "layers with a wrap": int(clamped.get("u", 0) > 0),
        "layers with a saturation": int(clamped.get("v", 0) > 0),
        "layers with a tie": int(tally.ties > 0),
    }


def difference(wanted: Trace, found: Trace) -> Difference | None:
    """The earliest value in which two traces differ: of the first layer in which one does."""
    if list(wanted.layers) != list(found.layers):
        raise ValueError(f"layers {list(wanted.layers)} and {list(found.layers)}")
    for name, layer in wanted.layers.items():
        its = found[name]
        pairs = {"spikes": (layer.spikes, its.spikes)}
        pairs |= {state: (data, its.states[state]) for state, data in layer.states.items()}
        every = [first_difference(name, what, *pair) for what, pair in pairs.items()]
        first = min((d for d in every if d), key=lambda d: (d.step, d.sample), default=None)
        if first is not None:
            return first
    return None


def emulator_answer(case: Case) -> Answer:
    """The trace of the emulator's checked code."""
    try:
        return Emulator(case.program, "states", 1, checked=True).run(case.events)
    except CompileError as error:
        return reason(error, [*case.program.by_name])
    except Exception:
        return traceback.format_exc()


def torch_answer(case: Case) -> Answer:
    """The trace of the torch integer model of the graph behind the case."""
    assert case.source is not None
    try:
        return integer_trace(case.source, case.program, case.events)
    except CompileError as error:
        return reason(error, [*case.program.by_name])
    except Exception:
        return traceback.format_exc()


def lava_answers(jobs: Sequence[tuple[Program, Batch]]) -> list[Answer]:
    """Lava's trace of every program that it takes; a program that stops the others runs alone."""
    answers: dict[int, Answer] = {}
    for index, (program, _) in enumerate(jobs):
        why = refusal(program)
        if why is not None:
            answers[index] = why
    left = [index for index in range(len(jobs)) if index not in answers]
    alone = [index for index in left if _reads_out_beyond(*jobs[index])]
    answers |= _on_lava(jobs, [index for index in left if index not in alone])
    for index in alone:
        answers |= _on_lava(jobs, [index])
    return [answers[index] for index in range(len(jobs))]


def _reads_out_beyond(program: Program, events: Batch) -> bool:
    """Whether Lava's LIF will fire where a readout does not, and the run will be refused."""
    readouts = [name for name, op in program.neurons.items() if op.fire is None]
    if not readouts:
        return False
    trace = reference.run(program, events, "states")
    return any(bool((trace[name].states["v"] > HIGHEST << 6).any()) for name in readouts)


def refusal(program: Program) -> str | None:
    """Why Lava does not take ``program``; None if it does."""
    try:
        lower(program)
    except CompileError as error:
        return reason(error, [*program.by_name])
    except Exception:
        return traceback.format_exc()
    return None


def _on_lava(jobs: Sequence[tuple[Program, Batch]], which: list[int]) -> dict[int, Answer]:
    """The answers of these jobs, run together; halved where they fail, to find which one does."""
    if not which:
        return {}
    try:
        traces = run_many([jobs[i] for i in which], time_limit=LAVA_SECONDS).traces
        return dict(zip(which, traces, strict=True))
    except CompileError as error:
        if len(which) == 1:
            refused = not isinstance(error, BackendUnavailable)
            names = [*jobs[which[0]][0].by_name]
            return {which[0]: reason(error, names) if refused else traceback.format_exc()}
    except Exception:
        if len(which) == 1:
            return {which[0]: traceback.format_exc()}
    middle = len(which) // 2
    return _on_lava(jobs, which[:middle]) | _on_lava(jobs, which[middle:])
