"""``sast-compile contract``: the contract of a file, two side by side, and the presets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import replace

from sast_compile.artifact import SUFFIX, load_artifact
from sast_compile.cli.compile_verb import ContractName, ContractSet, Dt, Json, stated_contract
from sast_compile.cli.console import errors, output, print_json, shown, table
from sast_compile.contract import Contract
from sast_compile.contract_text import differences, rows
from sast_compile.errors import CompileError, ContractMissing
from sast_compile.frontend.source import contract_in
from sast_compile.presets import PRESETS, named_contract
from sast_compile.report.choices import Choices, choices_of
from sast_compile.report.presets import presets_table
from sast_compile.report.section import write_section

contract_ = typer.Typer(
    no_args_is_help=True,
    help="What a graph's numbers mean in discrete time: show it, compare two, list the presets.",
)
File = Annotated[str, typer.Argument(help="A .nir, .pt, .net, .sast or .json file.")]
Side = Annotated[str, typer.Argument(help="A file as for `show`, or the name of a preset.")]


@contract_.command("show")
def show(
    file: File,
    contract: ContractName = None,
    dt: Dt = None,
    contract_set: ContractSet = None,
    as_json: Json = False,
) -> None:
    """Show the contract that FILE states, or the one named for it."""
    found = contract_of(file, stated_contract(contract, dt, contract_set))
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    fields = table(f"contract of {shown(file)}", "field", "value")
    for field, value in rows(found).items():
        fields.add_row(shown(field), shown(value))
    output.print(fields)


@contract_.command("diff")
def diff(first: Side, second: Side, as_json: Json = False) -> None:
    """Compare two contracts field by field; exit code 1 if they differ.

    The graphs themselves are not compared.
    """
    found = differences(*_sides(first, second))
    if as_json:
        print_json([one._asdict() for one in found])
    elif not found:
        output.print("[green]the same contract[/]")
    else:
        fields = table("contracts", "field", shown(first), shown(second))
        for one in found:
            fields.add_row(*map(shown, one))
        output.print(fields)
    raise typer.Exit(1 if found else 0)


@contract_.command("presets")
def presets(
    into: Annotated[
        Path | None, typer.Option("--into", help="A document, for its section `presets`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the contracts of the frameworks, with their equations and what their exporters lose."""
    if as_json:
        print_json(msgspec.to_builtins(PRESETS))
        return
    text = presets_table()
    if into is None:
        output.print(text, markup=False, soft_wrap=True)
        return
    write_section(into, "presets", text)
    output.print(f"[bold green]wrote[/] {shown(str(into))}", soft_wrap=True)


def contract_of(path: str, named: Contract | None) -> Contract:
    """The contract of a model, an artifact or a JSON file; ``named`` is for a `.nir` without."""
    if path.lower().endswith(SUFFIX):
        return load_artifact(path).contract
    if path.lower().endswith(".json"):
        return named_contract(path, None)
    return contract_in(path, named)


def _sides(first: str, second: str) -> tuple[Contract, Contract]:
    """The contracts of files or presets; a preset that is for any dt has that of the other side."""
    one, other = (
        PRESETS[name].contract if name in PRESETS else contract_of(name, None)
        for name in (first, second)
    )
    if first in PRESETS and not PRESETS[first].fixed_dt:
        one = replace(one, dt=other.dt)
    if second in PRESETS and not PRESETS[second].fixed_dt:
        other = replace(other, dt=one.dt)
    return one, other


# ---- the refusal of a file without one


def print_choices(error: ContractMissing) -> None:
    """What each preset makes of the net that ``error`` refuses; nothing if none can read it."""
    found = refused_choices(error)
    if found is None:
        return
    title = (
        f"the choices on {found.samples} random samples x {found.steps} steps, density "
        f"{found.density}, seed {found.seed}"
    )
    apart = ">differ" if found.base is None else f">differ from {found.base}"
    lines = table(title, "--contract", "dt", ">spikes", apart, "against it", on=errors)
    for one in found.choices:
        share = (one.differs or {}).get(found.base or "")
        lines.add_row(
            one.name,
            f"{one.dt:g} ({one.dt_from})",
            "" if one.spikes is None else f"{one.spikes:,}",
            "" if share is None else f"{share:.2%}",
            shown(one.error or one.against or ""),
        )
    errors.print(lines)
    if found.settings:
        single = table(f"one setting away from {found.base}", "setting", ">differ", on=errors)
        for setting, part in found.settings.items():
            single.add_row(setting, f"{part:.2%}")
        errors.print(single)
    errors.print(
        "differ: of the neurons and steps in which either fires, those that do otherwise; --json "
        "has all pairs",
        soft_wrap=True,
    )


def refused_choices(error: ContractMissing) -> Choices | None:
    """The choices for the file that ``error`` names; None where it names none that can be run."""
    if error.where is None or not error.where.lower().endswith(".nir"):
        return None
    try:
        return choices_of(error.where)
    except CompileError:
        return None


def document_of(error: ContractMissing) -> Any:
    """The choices as plain data, None where there are none."""
    found = refused_choices(error)
    return None if found is None else msgspec.to_builtins(found)
