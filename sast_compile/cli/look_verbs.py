"""``inspect``, ``targets`` and ``models``: what there is, without running anything."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sast_compile.artifact import SUFFIX, Artifact, load_artifact
from sast_compile.catalog import model_names, shipped, target_names
from sast_compile.cli.compile_verb import ContractName, ContractSet, Dt, stated_contract
from sast_compile.cli.console import output, print_json, shown, table
from sast_compile.contract import Contract
from sast_compile.errors import CompileError
from sast_compile.files import write_whole
from sast_compile.frontend.source import read_source
from sast_compile.ir.program import Program
from sast_compile.ir.text import print_program
from sast_compile.report.support import ops_table, supported
from sast_compile.target import Target, load_target

Path_ = Annotated[str, typer.Argument(help="A .sast, .pt, .nir or .net file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def inspect(
    path: Path_,
    contract: ContractName = None,
    dt: Dt = None,
    contract_set: ContractSet = None,
    as_json: Json = False,
) -> None:
    """Show the program, the contract and the provenance in a file."""
    provenance: dict[str, Any]
    if path.lower().endswith(SUFFIX):
        artifact = load_artifact(path)
        program, used, provenance = artifact.program, artifact.contract, _provenance(artifact)
    else:
        source = read_source(path, stated_contract(contract, dt, contract_set))
        program, used = source.program, source.contract
        provenance = {"source": path, "source_sha256": source.sha256, "data": source.dataset}
    if as_json:
        print_json(_document(program, used, provenance))
        return
    for title, fields in (("contract", msgspec.to_builtins(used)), ("provenance", provenance)):
        rows = table(title, "key", "value")
        for key, value in fields.items():
            rows.add_row(key, shown(value))
        output.print(rows)
    output.print(print_program(program), markup=False, soft_wrap=True)


def _provenance(artifact: Artifact) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(artifact.provenance)
    return {**fields, "target": artifact.target.title}


def _document(program: Program, contract: Contract, provenance: dict[str, Any]) -> dict[str, Any]:
    return {
        "program": print_program(program),
        "contract": msgspec.to_builtins(contract),
        "provenance": provenance,
    }


def targets(
    ops: Annotated[
        bool, typer.Option("--ops", help="What each chip does with every kind of NIR node.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option("--into", help="A Markdown file to write the --ops table to.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the chips."""
    chips = [load_target(name) for name in target_names()]
    if into is not None and not ops:
        raise CompileError("--into needs --ops")
    if ops:
        _ops(chips, into, as_json)
        return
    if as_json:
        print_json([msgspec.to_builtins(chip) for chip in chips])
        return
    rows = table("targets", "name", "chip", "weight bits", "resets", "oracles", "evidence")
    for chip in chips:
        bits = f"{min(chip.weights.bits)}-{max(chip.weights.bits)}"
        resets, oracles = ", ".join(chip.reset.native), ", ".join(chip.oracles)
        rows.add_row(chip.name, chip.title, bits, resets, oracles, ", ".join(chip.evidence))
    output.print(rows)


def _ops(chips: list[Target], into: Path | None, as_json: bool) -> None:
    if as_json:
        print_json({c.name: [asdict(found) for found in supported(c)] for c in chips})
        return
    text = ops_table(chips)
    if into is None:
        output.print(text, markup=False, soft_wrap=True)
        return
    write_whole(into, f"{OPS_HEAD}\n{text}".encode())
    output.print(f"[bold green]wrote[/] {shown(str(into))}", soft_wrap=True)


OPS_HEAD = """# What each target takes

Written by `sast-compile targets --ops --into docs/targets.md`: a small graph of every kind,
compiled for every target.

- *exact*: lowered without a change of function; what is lost is the rounding of weights, leaks and
  thresholds, which `sast-compile MODEL` measures. `verify` proves the integers on each back end.
- *microcode*: the same, but the reset is not one of the chip's own neuron. Lava has no process for
  it and runs one of ours, so Lava's check of that layer is not an independent one.
- *approximate*: a register cannot hold what is wanted, as said below the table.
- *refused*: with the reason below the table.
"""


def models(as_json: Json = False) -> None:
    """List the shipped models."""
    found = {name: str(shipped("models") / name / "model.pt") for name in model_names()}
    if as_json:
        print_json(found)
        return
    rows = table("models", "name", "file")
    for name, file in found.items():
        rows.add_row(name, shown(file))
    output.print(rows)
