"""``sast-compile run``: a compiled network on events."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape

from sast_compile.artifact import load_artifact
from sast_compile.backends import reference
from sast_compile.cli.console import output, print_json, table, working
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
        output.print(f"[bold green]wrote[/] {escape(out)}")


def _samples(artifact: Any, events: str | None, count: int | None) -> Samples:
    if events is None:
        return samples_for(artifact.program, artifact.contract, artifact.provenance.data, count)
    read_whole(events)
    try:
        data = np.load(events, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BadFile(f"is no .npy of numbers: {error}", where=events) from None
    if not isinstance(data, np.ndarray):
        raise BadFile("is a .npz; give one array as .npy", where=events)
    return Samples(data[:count], None, events)


def write_npz(path: str, trace: Trace) -> None:
    """The record as ``NODE.spikes``, ``NODE.u``, ``NODE.v``, whole or not at all."""
    import io

    arrays: dict[str, Array] = {}
    for name, layer in trace.layers.items():
        arrays[f"{name}.spikes"] = layer.spikes
        arrays |= {f"{name}.{state}": data for state, data in layer.states.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
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
    output.print(f"{len(data.events)} samples ({escape(data.origin)})")
    rows = table("spikes", "layer", ">spikes", ">per neuron and step")
    for name, layer in trace.layers.items():
        rows.add_row(escape(name), f"{int(layer.spikes.sum()):,}", f"{layer.spikes.mean():.4f}")
    output.print(rows)
    if data.labels is None:
        shown = " ".join(map(str, chosen[:32])) + (" .." if len(chosen) > 32 else "")
        output.print(f"decisions: {shown}")
        return
    correct = int((chosen == data.labels).sum())
    output.print(f"accuracy: {correct / len(chosen):.2%} ({correct}/{len(chosen)})")
