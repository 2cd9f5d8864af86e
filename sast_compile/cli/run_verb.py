"""``sast-compile run``: a compiled network on events."""

from __future__ import annotations

import io
from typing import Annotated, Any
from zipfile import BadZipFile

import numpy as np
import typer

from sast_compile.artifact import Artifact, load_artifact
from sast_compile.backends import reference
from sast_compile.cli.console import output, print_json, shown, table, working
from sast_compile.compare import decisions
from sast_compile.errors import BadFile, CompileError
from sast_compile.files import read_whole, write_whole
from sast_compile.ir.types import Array
from sast_compile.samples import Samples, samples_for
from sast_compile.trace import Trace

Sast = Annotated[str, typer.Argument(help="A .sast file.")]
Input = Annotated[
    str | None,
    typer.Option("--input", help="A .npy of events (samples, steps, *axes); default: test data."),
]
Count = Annotated[int | None, typer.Option("--samples", min=1, help="How many samples to run.")]
Record = Annotated[str, typer.Option(help="outputs, spikes (all layers) or states (and u, v).")]
Output = Annotated[str | None, typer.Option("--output", "-o", help="A .npz for what is recorded.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def run_(
    sast: Sast,
    events: Input = None,
    samples: Count = None,
    record: Record = "outputs",
    out: Output = None,
    as_json: Json = False,
) -> None:
    """Run a compiled network: decisions, spike counts and, with labels, the accuracy."""
    if record not in ("outputs", "spikes", "states"):
        raise CompileError(f"unknown record {record!r}", hint="outputs, spikes or states")
    artifact = load_artifact(sast)
    data = _samples(artifact, events, samples)
    with working("running"):
        trace = reference.run(artifact.program, data.events, record)  # type: ignore[arg-type]
    if out is not None:
        write_npz(out, trace)
    (name,) = artifact.program.outputs
    chosen = decisions(trace[name].spikes)
    if as_json:
        print_json(_document(data, trace, chosen))
        return
    _print(data, trace, chosen)
    if out is not None:
        output.print(f"[bold green]wrote[/] {shown(out)}", soft_wrap=True)


def _samples(artifact: Artifact, events: str | None, count: int | None) -> Samples:
    if events is None:
        return samples_for(artifact.program, artifact.contract, artifact.provenance.data, count)
    stored = read_whole(events)
    try:
        data = np.load(io.BytesIO(stored), allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, BadZipFile) as error:
        raise BadFile(f"is no .npy of numbers: {error}", where=events) from None
    if not isinstance(data, np.ndarray):
        raise BadFile("is a .npz; give one array as .npy", where=events)
    if data.ndim < 2 or not data.shape[1]:
        (name,) = artifact.program.inputs
        axes = ", ".join(map(str, artifact.program.types[name].shape))
        raise BadFile(
            f"holds an array of shape {data.shape}",
            where=events,
            hint=f"(samples, steps, {axes}) is expected",
        )
    return Samples(data[:count], None, events)


def write_npz(path: str, trace: Trace) -> None:
    """The record as ``NODE.spikes``, ``NODE.u``, ``NODE.v``, whole or not at all."""
    arrays: dict[str, Array] = {}
    for name, layer in trace.layers.items():
        arrays[f"{name}.spikes"] = layer.spikes
        arrays |= {f"{name}.{state}": data for state, data in layer.states.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # a name is no keyword of its
    write_whole(path, buffer.getvalue())


def _document(data: Samples, trace: Trace, chosen: Array) -> dict[str, Any]:
    return {
        "origin": data.origin,
        "samples": len(data.events),
        "decisions": chosen.tolist(),
        "correct": None if data.labels is None else int((chosen == data.labels).sum()),
        "spikes": {name: int(layer.spikes.sum()) for name, layer in trace.layers.items()},
    }


def _print(data: Samples, trace: Trace, chosen: Array) -> None:
    output.print(f"{len(data.events)} samples ({shown(data.origin)})")
    rows = table("spikes", "layer", ">spikes", ">per neuron and step")
    for name, layer in trace.layers.items():
        rows.add_row(shown(name), f"{int(layer.spikes.sum()):,}", f"{layer.spikes.mean():.4f}")
    output.print(rows)
    if data.labels is None:
        first = " ".join(map(str, chosen[:32])) + (" .." if len(chosen) > 32 else "")
        output.print(f"decisions: {first}")
        return
    correct = int((chosen == data.labels).sum())
    output.print(f"accuracy: {correct / len(chosen):.2%} ({correct}/{len(chosen)})")
