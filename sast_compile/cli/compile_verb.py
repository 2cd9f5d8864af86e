"""``sast-compile MODEL``: the passes as they ran, the fit, the accuracy, and the .sast file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sast_compile.calibration import TRAIN
from sast_compile.catalog import DEFAULT_TARGET
from sast_compile.cli.bits_option import (
    AUTO,
    DEFAULT,
    mixed_document,
    parse_bits,
    parse_budget,
    print_mixed,
)
from sast_compile.cli.console import output, print_json, print_said, shown, table, working
from sast_compile.cli.emission import emitter_of, write_all
from sast_compile.compile import Compiled, compile_model
from sast_compile.contract import Contract
from sast_compile.contract_text import changed
from sast_compile.errors import CompileError
from sast_compile.files import write_whole
from sast_compile.ir.text import print_program
from sast_compile.passes import Rounding
from sast_compile.presets import named_contract
from sast_compile.report.accuracy import Levels, accuracy_levels
from sast_compile.report.fit import Fit, fit
from sast_compile.report.guard import held_drop
from sast_compile.report.mixed import mixed
from sast_compile.samples import samples_for
from sast_compile.target import load_target

Model = Annotated[
    str, typer.Argument(help="A checkpoint (.pt), a NIR graph (.nir) or a lava-dl network (.net).")
]
Target = Annotated[str, typer.Option(help="A chip by name, or the path of a .toml file.")]
Bits = Annotated[
    str,
    typer.Option(
        metavar="BITS",
        help="Bits of a weight, 2 to 8; by layer as lif1=8,lif2=3 (8 where none is named) or "
        "4,lif1=8; or auto, chosen on the validation split by --budget, --max-drop or both.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(help="With --bits auto: bytes of all weights, zeros included, like 64KiB."),
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="Where to write the .sast file (or what is emitted)."),
]
Emit = Annotated[
    str | None, typer.Option(help="Write the net for another tool too: netx (lava-dl's .net).")
]
StopAfter = Annotated[
    str | None, typer.Option(help="The pass to stop after; a .sast file needs all of them.")
]
DumpIr = Annotated[str | None, typer.Option(help="A folder for the program after every pass.")]
ContractName = Annotated[
    str | None,
    typer.Option(
        "--contract",
        help="For a .nir without one: a framework (`contract presets` lists them) or a JSON file.",
    ),
]
Dt = Annotated[
    float | None,
    typer.Option(help="The time step with --contract, in the unit of the file's time constants."),
]
ContractSet = Annotated[
    list[str] | None,
    typer.Option(
        "--contract-set",
        metavar="[NODE.]FIELD=VALUE",
        help="With --contract: what was trained otherwise, like reset=zero. May be repeated.",
    ),
]
Feedback = Annotated[
    int | None,
    typer.Option(min=1, help="Steps that the loops of a .nir look back, for chips that need them."),
]
EventRate = Annotated[
    float | None,
    typer.Option(
        "--event-rate",
        help="The largest share of inputs that fire in one step: excludes overflow for those only.",
    ),
]
RoundingName = Annotated[
    Rounding | None,
    typer.Option(
        "--rounding",
        help="membrane: by what v errs at the threshold; nearest: each number by itself, as of a "
        "network that was trained with a chip's own rounding.",
    ),
]
CalibrateOwn = Annotated[
    bool,
    typer.Option("--calibrate", help="Round on the train split of the data set the model names."),
]
CalibrateOn = Annotated[
    str | None,
    typer.Option("--calibrate-on", help="Round on events of your own: .npy, .npz or a recording."),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        min=0,
        max=100,
        help="Points of accuracy that may be lost on the validation split; if more are, no file.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def compile_(
    model: Model,
    target: Target = DEFAULT_TARGET,
    bits: Bits = str(DEFAULT),
    out: Output = None,
    stop_after: StopAfter = None,
    dump_ir: DumpIr = None,
    contract: ContractName = None,
    dt: Dt = None,
    contract_set: ContractSet = None,
    feedback: Feedback = None,
    event_rate: EventRate = None,
    rounding: RoundingName = None,
    calibrate: CalibrateOwn = False,
    calibrate_on: CalibrateOn = None,
    emit: Emit = None,
    max_drop: MaxDrop = None,
    budget: Budget = None,
    as_json: Json = False,
) -> None:
    """Compile MODEL for a chip. This verb may be left out: [b]sast-compile model.pt[/b]."""
    stated = stated_contract(contract, dt, contract_set)
    emitter = emitter_of(emit, out, stop_after)
    events = _calibration(calibrate, calibrate_on)
    most = parse_budget(budget, bits)
    wanted = None if bits == AUTO else parse_bits(bits)

    def compile_at(width: int, bits_of: Mapping[str, int]) -> Compiled:
        return compile_model(
            model,
            target,
            width,
            stated,
            stop_after,
            feedback,
            event_rate,
            rounding,
            events,
            bits_of,
        )

    with working(f"compiling {shown(model)}") as status:
        found = None
        if wanted is None:
            found = mixed(
                compile_at,
                load_target(target),
                most,
                max_drop,
                lambda what: status.update(f"measuring {shown(what)}"),
            )
            wanted = DEFAULT, found.chosen.bits_of
        compiled = compile_at(*wanted)
        drop = None if max_drop is None else held_drop(compiled, max_drop)
        needs = fit(compiled.steps[-1].program, compiled.target) if compiled.artifact else None
        levels = _levels(compiled)
    if dump_ir is not None:
        _dump(compiled, Path(dump_ir))
    path, emitted = None, None
    if compiled.artifact is not None:
        path, emitted = write_all(compiled.artifact, out, emitter, model)
    if as_json:
        guarded = {
            "drop": None if drop is None else drop.document(),
            "mixed": None if found is None else mixed_document(found),
        }
        print_json(_document(compiled, needs, levels, path) | {"emitted": emitted} | guarded)
        return
    if found is not None:
        print_mixed(found)
    _print_passes(compiled)
    if needs is not None:
        _print_fit(needs, compiled.target.name)
    if levels is not None:
        _print_levels(levels)
    if drop is not None:
        output.print(f"[bold green]held:[/] {shown(drop)}", soft_wrap=True)
    written = " and ".join(shown(p) for p in (path, emitted) if p)
    done = f"[bold green]wrote[/] {written}" if path else f"stopped after {stop_after}"
    output.print(done, soft_wrap=True)


def stated_contract(
    name: str | None, dt: float | None, settings: list[str] | None = None
) -> Contract | None:
    """The contract that the three options name, if any."""
    if name is None:
        for option, value in (("--dt", dt), ("--contract-set", settings)):
            if value:
                raise CompileError(f"{option} needs --contract")
        return None
    return changed(named_contract(name, dt), settings or ())


def _calibration(own: bool, events: str | None) -> str | None:
    """What `compile_model` is told of the two options."""
    if own and events is not None:
        raise CompileError("--calibrate and --calibrate-on name two sets of events", hint="one")
    return TRAIN if own else events


def _levels(compiled: Compiled) -> Levels | None:
    if compiled.artifact is None:
        return None
    source, program = compiled.source, compiled.artifact.program
    samples = samples_for(program, source.contract, source.dataset, None)
    return accuracy_levels(source, program, samples)


def _dump(compiled: Compiled, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompileError(f"cannot be made: {error.strerror}", where=str(folder)) from None
    programs = [("import", compiled.source.program)]
    programs += [(step.name, step.program) for step in compiled.steps]
    for number, (name, program) in enumerate(programs):
        path = folder / f"{number:02d}-{name}.sast.txt"
        write_whole(path, print_program(program).encode())


def _print_passes(compiled: Compiled) -> None:
    source = compiled.source
    output.print(f"{shown(source.path)} -> {shown(compiled.target.title)}", soft_wrap=True)
    print_said(source, output)
    passes = table("passes", "pass", "node", "what changed")
    for step in compiled.steps:
        if not step.notes:
            passes.add_row(step.name, "", "[dim]nothing to do[/]")
        for i, note in enumerate(step.notes):
            passes.add_row("" if i else step.name, shown(note.node), shown(note.text))
    output.print(passes)


def _print_fit(needs: Fit, target: str) -> None:
    rows = table(f"fit on {target}", "layer", ">neurons", ">synapses", ">bits", ">bytes", ">cores")
    for layer in needs.layers:
        rows.add_row(
            shown(layer.layer), f"{layer.neurons:,}", f"{layer.synapses:,}",
            str(layer.weight_bits), f"{layer.weight_bytes:,}", str(layer.cores),
        )  # fmt: skip
    output.print(rows)
    verdict = "fits" if needs.fits else "[bold red]does not fit[/]"
    doubt = f"; without a primary source: {', '.join(needs.unverified)}" if needs.unverified else ""
    output.print(f"{verdict}: {needs.cores} of {needs.cores_available} cores{doubt}")


def _print_levels(levels: Levels) -> None:
    rows = table(f"accuracy ({shown(levels.origin)}, n = {levels.n})", "model", ">accuracy", ">n")
    named = {
        "L0 surrogate forward (float)": levels.surrogate,
        "L1 hard spikes (float)": levels.hard,
        "L2 = L3 integers": levels.integers,
    }
    for name, correct in named.items():
        if correct is not None:
            rows.add_row(name, f"{correct / levels.n:.2%}", f"{correct}/{levels.n}")
    output.print(rows)
    shares = table("L1 -> L2 spike agreement (measured)", "layer", ">matched / union", ">share")
    for layer in levels.drift:
        matched = f"{layer.matched:,} / {layer.union:,}"
        shares.add_row(shown(layer.layer), matched, f"{layer.share:.2%}")
    output.print(shares)


def _document(
    compiled: Compiled, needs: Fit | None, levels: Levels | None, path: str | None
) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "source": compiled.source.path,
        "left_out": compiled.source.left_out,
        "repairs": compiled.source.repairs,
        "target": compiled.target.name,
        "passes": [
            {
                "name": s.name,
                "notes": [{"node": n.node, "text": n.text, **n.numbers} for n in s.notes],
            }
            for s in compiled.steps
        ],
        "fit": None if needs is None else {**asdict(needs), "fits": needs.fits},
        "accuracy": None if levels is None else asdict(levels),
        "artifact": path,
    }
