"""The verbs, the default verb, and what becomes of errors."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import typer

from sast_compile.catalog import suggestion
from sast_compile.cli import (
    bounds_verb,
    card_verb,
    check_verb,
    compile_verb,
    contract_verb,
    data_verb,
    drift_verb,
    export_verb,
    gap_verb,
    look_verbs,
    run_verb,
    setup_verbs,
    train_verb,
    verify_verb,
)
from sast_compile.cli.console import errors, forgiving_streams, shown
from sast_compile.errors import CompileError, ContractMissing
from sast_compile.version import __version__

DEFAULT = "compile"
INTERRUPTED = 130
UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer exports the subclass only
OPTIONS = ("--help", "--version", "--install-completion", "--show-completion")
MODEL_SUFFIXES = (".pt", ".pth", ".nir", ".sast", ".net")


def _is_model(word: str) -> bool:
    looks = word.lower().endswith(MODEL_SUFFIXES) or "/" in word or "\\" in word
    return looks or os.path.isfile(word)


app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Compiles a spiking network for a neuromorphic chip, and proves that the chip's simulator
computes the same spikes.

    sast-compile models/digits/model.pt --target loihi2 --bits 8
    sast-compile verify
""",
    epilog="Exit codes: 0 well, 1 error or difference, 2 usage, 3 nothing proven, 130 interrupted.",
)
VERBS: dict[str, Callable[..., None]] = {
    "compile": compile_verb.compile_,
    "export": export_verb.export_,
    "check": check_verb.check_,
    "verify": verify_verb.verify_,
    "run": run_verb.run_,
    "train": train_verb.train_,
    "card": card_verb.card_,
    "gap": gap_verb.gap_,
    "drift": drift_verb.drift_,
    "bounds": bounds_verb.bounds_,
    "inspect": look_verbs.inspect,
    "targets": look_verbs.targets,
    "models": look_verbs.models,
    "data": data_verb.data_,
    "setup-lava": setup_verbs.setup_lava_,
    "doctor": setup_verbs.doctor,
}
GROUPS = {"contract": contract_verb.contract_}
for name, verb in VERBS.items():
    app.command(name)(verb)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sast-compile {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Options that stand before a verb."""


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits; a CompileError becomes one message and exit code 1."""
    forgiving_streams()
    arguments = with_verb(sys.argv[1:] if argv is None else argv)
    try:
        code: object = app(arguments, prog_name="sast-compile", standalone_mode=False)
    except CompileError as error:
        _report(error, as_json="--json" in arguments)
        code = 1
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except UsageError as error:
        error.show()  # type: ignore[attr-defined]
        code = 2
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code
        errors.print("interrupted; no file is left half-written")
    sys.exit(code if isinstance(code, int) else 0)


def with_verb(arguments: list[str]) -> list[str]:
    """``arguments`` with the default verb put before a model; a mistyped verb ends the program."""
    word = arguments[0] if arguments else "--help"
    if word in VERBS or word in GROUPS or word in OPTIONS:
        return arguments
    if _is_model(word) or word.startswith("-"):
        return [DEFAULT, *arguments]
    way = suggestion(word, (*VERBS, *GROUPS))
    errors.print(
        f"[bold red]error:[/] {shown(repr(word))} is neither a verb nor a model file "
        f"(.pt, .nir, .net); {shown(way)}",
        soft_wrap=True,
    )
    sys.exit(2)


def _report(error: CompileError, as_json: bool) -> None:
    if as_json:
        fields = {"error": error.what, "where": error.where, "hint": error.hint}
        if isinstance(error, ContractMissing):
            fields["choices"] = contract_verb.document_of(error)
        typer.echo(json.dumps(fields))
        return
    errors.print(f"[bold red]error:[/] {shown(error)}", soft_wrap=True)
    if isinstance(error, ContractMissing):
        contract_verb.print_choices(error)
