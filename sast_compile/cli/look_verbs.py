"""``inspect``, ``targets`` and ``models``: what there is, without running anything."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from sast_compile.artifact import SUFFIX, Artifact, load_artifact
from sast_compile.catalog import model_names, shipped, target_names
from sast_compile.cli.compile_verb import ContractName, Dt, stated_contract
from sast_compile.cli.console import output, print_json, shown, table
from sast_compile.contract import Contract
from sast_compile.frontend.source import read_source
from sast_compile.ir.program import Program
from sast_compile.ir.text import print_program
from sast_compile.target import load_target

Path_ = Annotated[str, typer.Argument(help="A .sast, .pt, .nir or .net file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def inspect(
    path: Path_, contract: ContractName = None, dt: Dt = None, as_json: Json = False
) -> None:
    """Show the program, the contract and the provenance in a file."""
    provenance: dict[str, Any]
    if path.lower().endswith(SUFFIX):
        artifact = load_artifact(path)
        program, used, provenance = artifact.program, artifact.contract, _provenance(artifact)
    else:
        source = read_source(path, stated_contract(contract, dt))
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


def targets(as_json: Json = False) -> None:
    """List the chips."""
    chips = [load_target(name) for name in target_names()]
    if as_json:
        print_json([msgspec.to_builtins(chip) for chip in chips])
        return
    rows = table("targets", "name", "chip", "weight bits", "resets", "oracles", "evidence")
    for chip in chips:
        bits = f"{min(chip.weights.bits)}-{max(chip.weights.bits)}"
        resets, oracles = ", ".join(chip.reset.native), ", ".join(chip.oracles)
        rows.add_row(chip.name, chip.title, bits, resets, oracles, ", ".join(chip.evidence))
    output.print(rows)


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
