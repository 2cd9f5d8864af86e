"""``sast-compile run``: a network on events, and what it spiked, decided and cost."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer

from sast_compile.artifact import SUFFIX, load_artifact
from sast_compile.chunks import MAX_MEMORY, bytes_of, fits_whole, sample_bytes
from sast_compile.cli.compile_verb import ContractName, ContractSet, Dt, stated_contract
from sast_compile.cli.console import errors, output, print_json, print_said, progress, shown, table
from sast_compile.contract import Contract
from sast_compile.data import dataset
from sast_compile.errors import CompileError
from sast_compile.execute import execute, slow_because
from sast_compile.files import write_whole
from sast_compile.frontend.source import read_source
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.report.synops import Operations
from sast_compile.report.totals import Totals, totals, totals_of
from sast_compile.samples import Samples, other_order, samples_for, samples_from
from sast_compile.trace import Record, Trace

Model = Annotated[str, typer.Argument(help="A .sast or .net file (integers), or a .pt or .nir.")]
Data = Annotated[str | None, typer.Option("--data", help="A data set of ours; default: its own.")]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        help="Events (samples, steps, *axes) as .npy or .npz, a recording (.bin, .aedat), or a "
        "folder of recordings.",
    ),
]
Key = Annotated[str | None, typer.Option("--key", help="The array's name in a .npz of several.")]
Count = Annotated[int | None, typer.Option("--samples", min=1, help="How many samples to run.")]
Recorded = Annotated[
    str, typer.Option(help="outputs, spikes (all layers), states or all (spikes, u and v).")
]
Output = Annotated[str | None, typer.Option("--output", "-o", help="A .npz for what is recorded.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda, cuda:N: a GPU, through torch.")]
Checked = Annotated[
    bool,
    typer.Option(
        "--checked",
        help="The emulator asks before every access to memory whether it is its own: slow.",
    ),
]
MaxMemory = Annotated[
    str,
    typer.Option(
        "--max-memory",
        help="For the events and records that are in memory at a time, like 500MB or 2GiB; the "
        "program and its libraries come on top.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RECORDS: dict[str, Record] = {
    "outputs": "outputs",
    "spikes": "spikes",
    "states": "states",
    "all": "states",
}


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
    record: Recorded = "outputs",
    out: Output = None,
    contract: ContractName = None,
    dt: Dt = None,
    contract_set: ContractSet = None,
    device: Device = "cpu",
    checked: Checked = False,
    max_memory: MaxMemory = MAX_MEMORY,
    as_json: Json = False,
) -> None:
    """Run a network: decisions, spikes, synaptic operations and, with labels, the accuracy."""
    if record not in RECORDS:
        raise CompileError(f"unknown record {record!r}", hint="outputs, spikes, states or all")
    net = runnable(model, stated_contract(contract, dt, contract_set))
    chosen = _samples(net, data, events, key, samples)
    most = bytes_of(max_memory)
    with progress("running", chosen.count) as told:
        if out is None:
            found = totals(net.program, chosen, most, device=device, checked=checked, told=told)
        else:
            found = recorded(net.program, chosen, RECORDS[record], most, out, device, checked)
    if as_json:
        print_json(_document(net, chosen, found, device))
        return
    _print(net, chosen, found, device)
    if out is not None:
        output.print(f"[bold green]wrote[/] {shown(out)}", soft_wrap=True)


def recorded(
    program: Program,
    samples: Samples,
    record: Record,
    most: int,
    path: str,
    device: str,
    checked: bool,
) -> Totals:
    """What the program does on ``samples``; its record, all in memory at once, lies at ``path``."""
    kept: Record = "spikes" if record == "outputs" else record  # SynOps need every layer
    each = sample_bytes(program, samples, kept)
    fits_whole(samples, each, most, "the record")
    trace = execute(program, samples.cut(0, samples.count), kept, device, checked)
    names = program.outputs if record == "outputs" else tuple(trace.layers)
    found = totals_of(program, samples, trace)
    write_npz(path, Trace({name: trace[name] for name in names}))
    return found


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


def _document(net: Runnable, data: Samples, found: Totals, device: str) -> dict[str, Any]:
    lists = {name: which.tolist() for name, which in found.decisions.items()}
    return {
        "level": net.level,
        "computed_by": _computed_by(net, device),
        "origin": data.origin,
        "samples": found.samples,
        "decisions": next(iter(lists.values())) if len(lists) == 1 else lists,
        "correct": found.right,
        "spikes": {name: _spikes(net, found, name) for name in _layers(net)},
        "synops": [asdict(one) for one in found.operations],
    }


def _computed_by(net: Runnable, device: str) -> str:
    if device != "cpu":
        return f"torch on {device}"
    why = slow_because(net.program)
    return "the emulator" if why is None else f"the interpreter ({why})"


def _layers(net: Runnable) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*net.program.neurons, *net.program.outputs)))


def _spikes(net: Runnable, found: Totals, name: str) -> int | None:
    """The spikes of a layer; None for a readout, which does not fire."""
    neuron = net.program.neurons.get(name)
    fires = neuron is not None and neuron.fire is not None
    return found.spikes(name) if fires else None


def _print(net: Runnable, data: Samples, found: Totals, device: str) -> None:
    output.print(f"{found.samples} samples x {found.steps} steps ({shown(data.origin)})")
    output.print(
        f"{shown(net.level)}, computed by {shown(_computed_by(net, device))}", soft_wrap=True
    )
    rows = table("spikes", "layer", ">spikes", ">per neuron and step")
    for name in _layers(net):
        spikes = _spikes(net, found, name)
        cells = ["none", ""] if spikes is None else [f"{spikes:,}", f"{found.rate(name):.4f}"]
        rows.add_row(shown(name), *cells)
    output.print(rows)
    _print_operations(found.operations, found.samples)
    if found.right is not None:
        output.print(f"accuracy: {found.accuracy:.2%} ({found.right}/{found.samples})")
        return
    for name, which in found.decisions.items():
        first = " ".join(map(str, which[:32])) + (" .." if len(which) > 32 else "")
        output.print(
            f"decisions{'' if len(found.decisions) == 1 else f' of {shown(name)}'}: {first}"
        )


def _print_operations(operations: tuple[Operations, ...], samples: int) -> None:
    title = "synaptic operations (every spike's exact fan-out)"
    rows = table(title, "projection", ">by input", ">by hidden spikes", ">per sample")
    for one in operations:
        each = (one.input + one.hidden) / samples
        rows.add_row(shown(one.projection), f"{one.input:,}", f"{one.hidden:,}", f"{each:,.1f}")
    output.print(rows)
