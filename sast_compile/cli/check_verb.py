"""``sast-compile check FILE``: every problem of a model, anchored to its node."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from sast_compile.cli.compile_verb import (
    ContractName,
    ContractSet,
    Dt,
    Feedback,
    Json,
    stated_contract,
)
from sast_compile.cli.console import output, print_json, shown, table, working
from sast_compile.report.check import Checked, Problem, check_model
from sast_compile.report.unsaid import unsaid

File = Annotated[str, typer.Argument(help="A .nir, .pt, .net or .sast file.")]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", help="A chip, by name or .toml file; may be given more than once."),
]
Bits = Annotated[int, typer.Option(help="Bits of a weight, 2 to 8.")]


def check_(
    file: File,
    target: Targets = None,
    bits: Bits = 8,
    contract: ContractName = None,
    dt: Dt = None,
    contract_set: ContractSet = None,
    feedback: Feedback = None,
    as_json: Json = False,
) -> None:
    """List everything that keeps FILE from the chips (by default all of them), and the way out.

    Exit code 1 if there is anything, else 0.
    """
    stated = stated_contract(contract, dt, contract_set)
    open_ = unsaid(file, contract, dt, contract_set or ()) if contract else ()
    with working(f"checking {shown(file)}"):
        found = check_model(file, target or (), bits, stated, feedback)
    if as_json:
        print_json(asdict(found) | {"unsaid": open_})
    else:
        for what in open_:
            output.print(f"[yellow]unsaid:[/] {shown(what)}", soft_wrap=True)
        _print(file, found)
    raise typer.Exit(1 if found.problems else 0)


def _print(file: str, found: Checked) -> None:
    for what in found.repairs:
        output.print(f"[yellow]repaired:[/] {shown(what)}", soft_wrap=True)
    merged = _merged(found.problems)
    if merged:
        rows = table(f"problems of {shown(file)}", "where", "what", "way out", "target")
        for problem, targets in merged.items():
            hint = problem.hint or ""
            rows.add_row(shown(problem.where or ""), shown(problem.what), shown(hint), targets)
        output.print(rows)
    for name, fits in found.fits.items():
        output.print(f"{shown(name)}: {'fits' if fits else '[bold red]does not compile[/]'}")
    count = len(merged)
    problems = "no problems" if not count else f"{count} problem{'s' * (count > 1)}"
    colour = "red" if count else "green"
    output.print(f"[bold {colour}]{problems}[/]")


def _merged(problems: tuple[Problem, ...]) -> dict[Problem, str]:
    """Each problem once, with the targets that have it."""
    merged: dict[Problem, list[str]] = {}
    for problem in problems:
        key = Problem(problem.where, problem.what, problem.hint)
        merged.setdefault(key, []).append(problem.target or "all")
    return {problem: ", ".join(names) for problem, names in merged.items()}
