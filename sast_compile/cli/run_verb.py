"""``sast-compile run``: a network on events, and what it spiked, decided and cost."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer

from sast_compile.artifact import SUFFIX, load_artifact
from sast_compile.cli.compile_verb import ContractName, Dt, stated_contract
from sast_compile.cli.console import errors, output, print_json, print_said, shown, table, working
from sast_compile.compare import decisions
from sast_compile.contract import Contract
from sast_compile.data import dataset
from sast_compile.errors import CompileError
from sast_compile.execute import execute, slow_because
from sast_compile.files import write_whole
from sast_compile.frontend.source import read_source
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.report.synops import Operations, synops
from sast_compile.samples import Samples, other_order, samples_for, samples_from
from sast_compile.trace import Trace

Model = Annotated[str, typer.Argument(help="A .sast or .net file (integers), or a .pt or .nir.")]
Data = Annotated[str | None, typer.Option("--data", help="A data set of ours; default: its own.")]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        help="Events (samples, steps, *axes) as .npy or .npz, or one recording (.bin, .aedat).",
    ),
]
Key = Annotated[str | None, typer.Option("--key", help="The array's name in a .npz of several.")]
Count = Annotated[int | None, typer.Option("--samples", min=1, help="How many samples to run.")]
Record = Annotated[
    str, typer.Option(help="outputs, spikes (all layers), states or all (spikes, u and v).")
]
Output = Annotated[str | None, typer.Option("--output", "-o", help="A .npz for what is recorded.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda, cuda:N: a GPU, through torch.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RECORDS = {"outputs": "outputs", "spikes": "spikes", "states": "states", "all": "states"}


@dataclass(frozen=True)
class Runnable:
    """A program with what its events must look like, and which of the levels it is."""

    program: Program
    contract: Contract
    data: str | None
    level: str


def run_(
    model: Model,
    data: Data = None,
    events: Input = None,
    key: Key = None,
    samples: Count = None,
    record: Record = "outputs",
    out: Output = None,
    contract: ContractName = None,
    dt: Dt = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Run a network: decisions, spikes, synaptic operations and, with labels, the accuracy."""
    if record not in RECORDS:
        raise CompileError(f"unknown record {record!r}", hint="outputs, spikes, states or all")
    net = runnable(model, stated_contract(contract, dt))
    chosen = _samples(net, data, events, key, samples)
    kept = RECORDS[record] if record != "outputs" else "spikes"  # SynOps need every layer
    with working("running"):
        trace = execute(net.program, chosen.events, kept, device)  # type: ignore[arg-type]
        operations = synops(net.program, chosen.events, trace)
    if out is not None:
        names = net.program.outputs if record == "outputs" else tuple(trace.layers)
        write_npz(out, Trace({name: trace[name] for name in names}))
    if as_json:
        print_json(_document(net, chosen, trace, operations, device))
        return
    _print(net, chosen, trace, operations, device)
    if out is not None:
        output.print(f"[bold green]wrote[/] {shown(out)}", soft_wrap=True)


def runnable(path: str, contract: Contract | None) -> Runnable:
    """The program in a file: a .sast's or .net's integers, or the floats of a .pt or .nir."""
    if path.lower().endswith(SUFFIX):
        artifact = load_artifact(path)
        level = f"L3: the integers of {artifact.target.name}"
        return Runnable(artifact.program, artifact.contract, artifact.provenance.data, level)
    source = read_source(path, contract)
    print_said(source, errors)
    level = "L1: float hard spikes" if source.has_floats else "the integers of the .net"
    return Runnable(source.program, source.contract, source.dataset, level)


def _samples(
    net: Runnable, data: str | None, events: str | None, key: str | None, count: int | None
) -> Samples:
    if data is not None and events is not None:
        raise CompileError("--data and --input both name events", hint="give one of them")
    if key is not None and events is None:
        raise CompileError("--key needs --input")
    if events is None:
        if data is not None:
            dataset(data)  # a name that is unknown is refused, not replaced by random events
        return samples_for(net.program, net.contract, data or net.data, count)
    chosen = samples_from(net.program, net.contract, events, key, count)
    doubt = other_order(chosen, net.program, net.contract)
    if doubt is not None:
        errors.print(f"[bold yellow]warning:[/] {shown(events)}: {shown(doubt)}", soft_wrap=True)
    return chosen


def write_npz(path: str, trace: Trace) -> None:
    """The record as ``NODE.spikes``, ``NODE.u``, ``NODE.v``, whole or not at all."""
    arrays: dict[str, Array] = {}
    for name, layer in trace.layers.items():
        arrays[f"{name}.spikes"] = layer.spikes
        arrays |= {f"{name}.{state}": data for state, data in layer.states.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # a name is no keyword of its
    write_whole(path, buffer.getvalue())


def _document(
    net: Runnable, data: Samples, trace: Trace, operations: tuple[Operations, ...], device: str
) -> dict[str, Any]:
    chosen = _decided(net, trace)
    lists = {name: which.tolist() for name, which in chosen.items()}
    return {
        "level": net.level,
        "computed_by": _computed_by(net, device),
        "origin": data.origin,
        "samples": len(data.events),
        "decisions": next(iter(lists.values())) if len(lists) == 1 else lists,
        "correct": None if data.labels is None else _correct(chosen, data.labels),
        "spikes": {name: _spikes(net, trace, name) for name in trace.layers},
        "synops": [asdict(one) for one in operations],
    }


def _computed_by(net: Runnable, device: str) -> str:
    if device != "cpu":
        return f"torch on {device}"
    why = slow_because(net.program)
    return "the emulator" if why is None else f"the interpreter ({why})"


def _decided(net: Runnable, trace: Trace) -> dict[str, Array]:
    """The decision of every output, by its name."""
    return {name: decisions(trace[name].spikes) for name in net.program.outputs}


def _correct(chosen: dict[str, Array], labels: Array) -> int:
    (which,) = chosen.values()  # a data set with labels has one output
    return int((which == labels).sum())


def _spikes(net: Runnable, trace: Trace, name: str) -> int | None:
    """The spikes of a layer; None for a readout, which does not fire."""
    neuron = net.program.neurons.get(name)
    fires = neuron is not None and neuron.fire is not None
    return int(trace[name].spikes.sum()) if fires else None


def _print(
    net: Runnable, data: Samples, trace: Trace, operations: tuple[Operations, ...], device: str
) -> None:
    steps = data.events.shape[1]
    output.print(f"{len(data.events)} samples x {steps} steps ({shown(data.origin)})")
    output.print(
        f"{shown(net.level)}, computed by {shown(_computed_by(net, device))}", soft_wrap=True
    )
    rows = table("spikes", "layer", ">spikes", ">per neuron and step")
    for name, layer in trace.layers.items():
        spikes = _spikes(net, trace, name)
        cells = ["none", ""] if spikes is None else [f"{spikes:,}", f"{layer.spikes.mean():.4f}"]
        rows.add_row(shown(name), *cells)
    output.print(rows)
    _print_operations(operations, len(data.events))
    chosen = _decided(net, trace)
    if data.labels is None:
        for name, which in chosen.items():
            first = " ".join(map(str, which[:32])) + (" .." if len(which) > 32 else "")
            output.print(f"decisions{'' if len(chosen) == 1 else f' of {shown(name)}'}: {first}")
        return
    correct, n = _correct(chosen, data.labels), len(data.labels)
    output.print(f"accuracy: {correct / n:.2%} ({correct}/{n})")


def _print_operations(operations: tuple[Operations, ...], samples: int) -> None:
    title = "synaptic operations (every spike's exact fan-out)"
    rows = table(title, "projection", ">by input", ">by hidden spikes", ">per sample")
    for one in operations:
        each = (one.input + one.hidden) / samples
        rows.add_row(shown(one.projection), f"{one.input:,}", f"{one.hidden:,}", f"{each:,.1f}")
    output.print(rows)
