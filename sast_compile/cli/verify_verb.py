"""``sast-compile verify``: what was compared, layer by layer and back end by back end."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import UnsetType

from sast_compile.artifact import SUFFIX, load_artifact
from sast_compile.backends import reference
from sast_compile.chunks import MAX_MEMORY, bytes_of
from sast_compile.cli.console import errors, output, print_json, shown, table, working
from sast_compile.cli.run_verb import MaxMemory
from sast_compile.compare import Compared, Difference
from sast_compile.diagnose import Seen, inputs_seen
from sast_compile.errors import CompileError
from sast_compile.verification import Checked, Verdict, Verification, verify

SHOWN_INPUTS = 12
BACKENDS = {
    "golden": "stored golden vectors",
    "emulator": "emulator",
    "torch-program": "program on torch (cpu)",
    "cuda": "program on torch (cuda)",
    "torch": "torch integer model (L2)",
    "lava": "Lava fixed_pt",
}

Sast = Annotated[
    str | None, typer.Argument(help="A .sast file; by default the newest one in this folder.")
]
Count = Annotated[int, typer.Option("--samples", min=1, help="How many samples to compare.")]
Chosen = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="emulator, torch, lava, torch-program, cuda: several with commas; "
        "default: all but the last two.",
    ),
]
Model = Annotated[
    str | None, typer.Option(help="The source model, where it is not at the path it had.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def verify_(
    sast: Sast = None,
    samples: Count = 100,
    backend: Chosen = None,
    model: Model = None,
    max_memory: MaxMemory = MAX_MEMORY,
    as_json: Json = False,
) -> None:
    """Compare every back end with the reference interpreter: spikes, u and v, value by value.

    Exit code 0 only if nothing differs, every layer fired and an independent oracle ran: Lava, or
    the torch integer model for a target that no vendor simulates.
    """
    path = sast or newest()
    if sast is None and not as_json:
        output.print(f"verifying the newest .sast file here: {shown(path)}", soft_wrap=True)
    artifact = load_artifact(path)
    backends = backend.split(",") if backend is not None else None
    with working("verifying") as status:
        result = verify(
            artifact,
            samples,
            backends,
            model,
            lambda name: status.update(f"verifying: {name}"),
            most=bytes_of(max_memory),
        )
    if as_json:
        print_json(_document(path, result))
    else:
        _print(result)
        _print_event_rate(result, artifact.provenance.event_rate)
        _print_verdict(result)
    raise typer.Exit(result.verdict.value)


def newest() -> str:
    """The .sast file of this folder that was written last; CompileError if there is none."""
    found = sorted(Path().glob(f"*{SUFFIX}"), key=lambda p: (p.stat().st_mtime_ns, p.name))
    if not found:
        raise CompileError(
            f"no {SUFFIX} file in this folder", hint="compile one: sast-compile model.pt"
        )
    return str(found[-1])


def _print(result: Verification) -> None:
    samples, steps = result.samples.count, result.samples.steps
    output.print(f"{samples} samples x {steps} steps ({shown(result.samples.origin)})")
    late = ", ".join(f"{shown(name)} {steps}" for name, steps in result.latency.items())
    output.print(f"steps of latency, which the comparison takes out: {late}", soft_wrap=True)
    _print_layers(result)
    for checked in result.checked:
        if checked.absent:
            errors.print(
                f"[bold yellow]not run:[/] {BACKENDS[checked.backend]}: {shown(checked.absent)}",
                soft_wrap=True,
            )
        if not checked.identical:
            _print_difference(result, checked)
    _print_rounding(result)
    _print_tallies(result)
    _print_drift(result)


def _print_event_rate(result: Verification, stated: float | UnsetType) -> None:
    """Whether the samples are as sparse as the proof of no overflow supposes."""
    if isinstance(stated, UnsetType):
        return
    found = result.event_rate
    text = (
        f"event rate: at most {found:.4g} of an input's elements are active in one step of these "
        f"samples; overflow is excluded up to {stated:.4g}"
    )
    style = "[bold yellow]beyond what was stated:[/] " if found > stated else ""
    output.print(style + text, soft_wrap=True)


def _print_layers(result: Verification) -> None:
    title = "exact: against the reference interpreter"
    rows = table(title, "back end", "layer", ">spikes", ">u compared", ">v compared", "result")
    for checked in result.checked:
        name = BACKENDS[checked.backend]
        if checked.absent:
            rows.add_row(name, "", "", "", "", "[yellow]not run[/]")
        for i, layer in enumerate(checked.layers):
            cells = _cells(layer, checked.own.get(layer.layer))
            rows.add_row("" if i else name, shown(layer.layer), *cells)
        seconds = {k: v for k, v in checked.seconds.items() if v >= 0.005}
        if seconds:
            took = ", ".join(f"{what} {s:.2f} s" for what, s in seconds.items())
            rows.add_row("", f"[dim]{took}[/]")
    output.print(rows)


def _cells(layer: Compared, own: str | None) -> list[str]:
    counts = [f"{layer.values[k]:,}" if k in layer.values else "" for k in ("u", "v")]
    verdict = "[green]identical[/]" if layer.identical else "[bold red]DIFFERENT[/]"
    if own:
        verdict += f", [yellow]our own process:[/] {shown(own)}"
    return [f"{layer.spikes:,} of {layer.values['spikes']:,}", *counts, verdict]


def _print_difference(result: Verification, checked: Checked) -> None:
    difference = min(
        (layer.difference for layer in checked.layers if layer.difference),
        key=lambda d: (d.step, d.sample),
    )
    output.print(f"[bold red]first difference[/] {BACKENDS[checked.backend]}: {_where(difference)}")
    if checked.backend == "golden":
        return
    at = difference.sample
    events = result.samples.array(at, at + 1)
    trace = reference.run(result.program, events)
    seen = inputs_seen(result.program, trace, events, replace(difference, sample=0))
    for line in _seen_lines(seen):
        output.print(f"    {shown(line)}")


def _where(d: Difference) -> str:
    axes = ", ".join(map(str, d.neuron))
    return (
        f"layer {shown(d.layer)}, sample {d.sample}, step {d.step}, neuron ({axes}): {d.what} = "
        f"{d.ours} (reference) and {d.theirs}; {d.count:,} values of {d.what} differ in this layer"
    )


def _seen_lines(seen: list[Seen]) -> list[str]:
    lines = [f"{s.source}{list(s.index)} = {s.value}, weight {s.weight}" for s in seen]
    more = len(lines) - SHOWN_INPUTS
    head = [f"the neuron saw {len(lines)} active inputs in this step:"]
    return head + lines[:SHOWN_INPUTS] + ([f"and {more} more"] if more > 0 else [])


def _print_rounding(result: Verification) -> None:
    if not result.rounding:
        return
    title = "every integer against the float it stands for"
    rows = table(title, "node", "register", ">values", ">clipped", ">farthest (steps)", "result")
    for r in result.rounding:
        verdict = "[green]rounded[/]" if r.faithful else "[bold red]NOT ITS FLOAT[/]"
        rows.add_row(
            shown(r.node), r.register, f"{r.values:,}", f"{r.clipped:,}", f"{r.steps:.3f}", verdict
        )
    output.print(rows)


def _print_tallies(result: Verification) -> None:
    rows = table(
        "what the samples reached", "layer", ">neurons", ">spikes", ">ties", ">v < 0", ">clamped"
    )
    for name, tally in result.tallies.items():
        neurons = result.program.types[name].size
        clamped = ", ".join(f"{s} {n:,}" for s, n in tally.clamped.items() if n) or "0"
        rows.add_row(
            shown(name), f"{neurons:,}", f"{tally.spikes:,}", f"{tally.ties:,}",
            f"{tally.negatives:,}", clamped,
        )  # fmt: skip
    output.print(rows)


def _print_drift(result: Verification) -> None:
    if not result.drift:
        output.print(f"\nnot measured: {shown(result.drift_origin)}", soft_wrap=True)
        return
    rows = table(
        f"measured: float hard spikes (L1) kept by the integers, {shown(result.drift_origin)}",
        "layer", ">matched / union", ">share",
    )  # fmt: skip
    for layer in result.drift:
        rows.add_row(
            shown(layer.layer), f"{layer.matched:,} / {layer.union:,}", f"{layer.share:.2%}"
        )
    output.print(rows)


def _print_verdict(result: Verification) -> None:
    match result.verdict:
        case Verdict.PROVEN:
            ran = [BACKENDS[c.backend] for c in result.checked if c.role == "oracle" and c.layers]
            output.print(
                "[bold green]proven:[/] identical in every spike, u and v "
                f"(independent: {', '.join(ran)})"
            )
        case Verdict.DIFFERENT:
            output.print("[bold red]different:[/] see above")
        case Verdict.UNPROVEN:
            why = [f"layer {name} never fired" for name in result.silent]
            if not any(c.role == "oracle" and not c.absent for c in result.checked):
                why.append("no independent oracle ran")
            why += [
                f"layer {name} ran on a process of ours, not Intel's: {own}"
                for checked in result.checked
                for name, own in checked.own.items()
            ]
            output.print(f"[bold yellow]not proven:[/] nothing differs, but {'; '.join(why)}")


def _document(path: str, result: Verification) -> dict[str, Any]:
    samples, steps = result.samples.count, result.samples.steps
    return {
        "artifact": path,
        "verdict": result.verdict.name.lower(),
        "samples": samples,
        "steps": steps,
        "origin": result.samples.origin,
        "latency": result.latency,
        "backends": [
            {**asdict(checked), "identical": None if checked.absent else checked.identical}
            for checked in result.checked
        ],
        "tallies": {name: asdict(tally) for name, tally in result.tallies.items()},
        "drift": {"origin": result.drift_origin, "layers": [asdict(a) for a in result.drift]},
        "rounding": [{**asdict(r), "faithful": r.faithful} for r in result.rounding],
        "silent": result.silent,
    }
