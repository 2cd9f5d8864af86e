"""``sast-compile drift``: how far the integers drift from the float network, and what costs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from sast_compile.artifact import SUFFIX, Artifact, load_artifact
from sast_compile.catalog import DEFAULT_TARGET, suggestion
from sast_compile.chunks import MAX_MEMORY, bytes_of
from sast_compile.cli.compile_verb import ContractName, Dt, Json, stated_contract
from sast_compile.cli.console import output, print_json, progress, shown
from sast_compile.cli.drift_tables import print_drift
from sast_compile.cli.run_verb import Data, MaxMemory
from sast_compile.compile import compile_model
from sast_compile.data import SPLITS, dataset
from sast_compile.errors import CompileError
from sast_compile.frontend.source import Source
from sast_compile.report.drift.document import document
from sast_compile.report.drift.measure import drift
from sast_compile.report.drift.picture import check_pictures, write_pictures
from sast_compile.samples import Samples, samples_for, samples_from
from sast_compile.verification import find_source

SPLIT = "validation"
Model = Annotated[str, typer.Argument(help="A .sast file, or a .pt or .nir to compile first.")]
TargetName = Annotated[
    str | None, typer.Option("--target", help="A chip, where MODEL is not compiled yet.")
]
Bits = Annotated[int | None, typer.Option(help="Bits of a weight, likewise; default: 8.")]
Original = Annotated[
    str | None, typer.Option("--model", help="A .sast's source, where it is not at its path.")
]
Input = Annotated[
    str | None,
    typer.Option("--input", help="Events as run takes them; they have no labels."),
]
Split = Annotated[
    str,
    typer.Option(help="train, validation or test: measure the last one once, at the end."),
]
Count = Annotated[int | None, typer.Option("--samples", min=1, help="How many; default: all.")]
Pictures = Annotated[
    Path | None, typer.Option("--pictures", help="A folder for a picture of each layer.")
]


Pair: TypeAlias = tuple[Source, Artifact]  # a float network, and the integers in its place


def drift_(
    model: Model,
    target: TargetName = None,
    bits: Bits = None,
    original: Original = None,
    data: Data = None,
    events: Input = None,
    split: Split = SPLIT,
    samples: Count = None,
    contract: ContractName = None,
    dt: Dt = None,
    pictures: Pictures = None,
    max_memory: MaxMemory = MAX_MEMORY,
    as_json: Json = False,
) -> None:
    """Hold the integers against the float network: v, spikes and decisions, and what costs what.

    By layer: SQNR of the weights, the error of v in thresholds, spikes lost and added. Of the
    network: accuracies with intervals, with all and with one thing only quantised.
    """
    if pictures is not None:
        check_pictures()
    most = bytes_of(max_memory)
    if model.lower().endswith(SUFFIX):
        source, artifact = _compiled(model, original, (target, bits, contract, dt))
    else:
        source, artifact = _to_compile(model, original, target, bits, contract, dt)
    chosen = _samples(source, data, events, split, samples)
    with progress("measuring", chosen.count) as told:
        found = drift(source, artifact, chosen, most, told)
    chip, used = artifact.target.name, artifact.provenance
    drawn = [] if pictures is None else write_pictures(found.layers, pictures)
    if as_json:
        named = {"model": model, "target": chip, "bits": used.bits, "bits_of": used.bits_of or None}
        print_json(named | document(found) | {"pictures": drawn})
        return
    output.print(f"{shown(model)}: {used.widths}-bit weights on {shown(chip)}")
    print_drift(found)
    for path in drawn:
        output.print(f"[bold green]wrote[/] {shown(path)}", soft_wrap=True)


def _compiled(path: str, original: str | None, stated: tuple[object, ...]) -> Pair:
    """What a .sast holds, beside the model that it was made from."""
    if any(one is not None for one in stated):
        raise CompileError(
            "is compiled: --target, --bits, --contract and --dt are its own",
            where=path,
            hint="name its source model instead",
        )
    artifact = load_artifact(path)
    source, why = find_source(artifact, original)
    if source is None:
        raise CompileError(f"the float network is missing: {why}", where=path)
    return source, artifact


def _to_compile(
    path: str,
    original: str | None,
    target: str | None,
    bits: int | None,
    contract: str | None,
    dt: float | None,
) -> Pair:
    if original is not None:
        raise CompileError("--model names the source of a .sast", where=path)
    stated = stated_contract(contract, dt)
    compiled = compile_model(path, target or DEFAULT_TARGET, 8 if bits is None else bits, stated)
    assert compiled.artifact is not None  # no pass was left out
    return compiled.source, compiled.artifact


def _samples(
    source: Source, data: str | None, events: str | None, split: str, count: int | None
) -> Samples:
    if data is not None and events is not None:
        raise CompileError("--data and --input both name events", hint="give one of them")
    if split not in SPLITS:
        raise CompileError(f"unknown split {split!r}", hint=suggestion(split, SPLITS))
    program, contract = source.program, source.contract
    if events is not None:
        return samples_from(program, contract, events, None, count)
    if data is not None:
        dataset(data)  # a name that is unknown is refused, not replaced by random events
    named = data or source.dataset
    return samples_for(program, contract, named, count, split)
