"""The measured part of a model's card: what its file says, and what the compiler makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sast_compile.compile import Compiled, compile_model
from sast_compile.errors import BadFile, CompileError
from sast_compile.files import read_whole, write_whole
from sast_compile.report.totals import Totals, totals
from sast_compile.samples import samples_for

MARKER = "<!-- measured: sast-compile card -->"
BITS = (8, 4)


def write_card(folder: Path, target: str) -> str:
    """The measured part, written below its marker in ``folder``/card.md; what stands above stays.

    Raises CompileError if the folder holds no trained model, or its data set is not here.
    """
    measured = card(folder, target)
    path = folder / "card.md"
    old = read_whole(path).decode("utf-8") if path.exists() else f"# {folder.name}\n\n"
    above = old.partition(MARKER)[0].rstrip()
    write_whole(path, f"{above}\n\n{MARKER}\n{measured}".encode())
    return measured


def card(folder: Path, target: str) -> str:
    """Markdown: data, accuracies of all levels with n, operations, firing rates, training."""
    from sast_compile.nn import read_checkpoint

    facts = read_checkpoint(folder / "model.pt").provenance
    if not {"dataset", "test", "validation", "seconds"} <= set(facts):
        raise BadFile(
            "its provenance lacks what training writes", where=str(folder / "model.pt"),
            hint=f"sast-compile train {folder}",
        )  # fmt: skip
    return "\n".join([*_head(facts), *_levels(folder, facts, target), *_training(facts)]) + "\n"


def _head(facts: dict[str, Any]) -> Iterator[str]:
    kind = "simulated events, not recorded" if facts["simulated"] else "recorded events"
    yield f"\nData: `{facts['dataset']}` ({kind}). Chosen on validation; the test split measured at"
    yield f"the end. Seed {facts['seed']}, epoch {facts['epoch']} kept.\n"
    yield "| | validation | test |"
    yield "|---|---|---|"
    parts = [facts["validation"], facts["test"]]
    yield f"| n | {' | '.join(str(p['n']) for p in parts)} |"
    for key, name in (("surrogate", "surrogate (L0)"), ("hard", "hard (L1, float64)")):
        yield f"| {name} | {' | '.join(f'{p[key]:.2%}' for p in parts)} |"


def _levels(folder: Path, facts: dict[str, Any], target: str) -> Iterator[str]:
    notes = []
    for bits in BITS:
        try:
            found = integers(compile_model(folder / "model.pt", target, bits))
        except CompileError as error:
            yield f"| INT{bits} on {target} | | refused |"
            notes.append(f"INT{bits}: {error}")
            continue
        yield f"| INT{bits} on {target} (L2 = L3) | | {found.accuracy:.2%} |"
        notes.append(
            f"Synaptic operations a sample, INT{bits}: {found.input_operations:,.0f} by input "
            f"events, {found.hidden_operations:,.0f} by hidden spikes."
        )
    yield ""
    yield from (f"{note}\n" for note in notes)
    rates = ", ".join(f"{name} {rate:.3f}" for name, rate in facts["test"]["rates"].items())
    yield f"Hard spikes per neuron and step, test: {rates}.\n"


def _training(facts: dict[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    yield f"Trained by `{facts['command']}` in {facts['seconds']:.0f} s on {facts['device']}"
    yield f"({versions})."


def integers(compiled: Compiled) -> Totals:
    """The compiled network on the whole test split of its model's data set."""
    assert compiled.artifact is not None
    program, source = compiled.artifact.program, compiled.source
    samples = samples_for(program, source.contract, source.dataset, None)
    if samples.labels is None:
        raise CompileError(f"no labelled data: {samples.origin}", where=source.path)
    return totals(program, samples)
