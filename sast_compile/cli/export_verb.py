"""``sast-compile export``: a model as NIR in the numbers of another framework's importer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sast_compile.catalog import suggestion
from sast_compile.cli.compile_verb import ContractName, ContractSet, Dt, stated_contract
from sast_compile.cli.console import output, print_said, shown
from sast_compile.errors import CompileError, Unsupported
from sast_compile.files import write_whole
from sast_compile.frontend.nir_file import nir_bytes
from sast_compile.frontend.nir_readers import READERS, written_for
from sast_compile.frontend.source import read_source

Model = Annotated[str, typer.Argument(help="A .nir or .pt file.")]
Framework = Annotated[
    str, typer.Option("--for", help=f"Whose importer is to read it: {', '.join(READERS)}.")
]
Output = Annotated[
    str | None, typer.Option("--output", "-o", help="Where to write it; MODEL.FRAMEWORK.nir.")
]


def export_(
    model: Model,
    framework: Framework,
    out: Output = None,
    contract: ContractName = None,
    dt: Dt = None,
    contract_set: ContractSet = None,
) -> None:
    """Write MODEL as a .nir file that another framework reads, and runs with the same spikes."""
    if framework not in READERS:
        hint = suggestion(framework, READERS)
        raise CompileError(f"unknown framework {framework!r}", where="--for", hint=hint)
    source = read_source(model, stated_contract(contract, dt, contract_set))
    if source.graph is None:
        raise Unsupported("holds a chip's integers, and no graph", where=model)
    written = written_for(framework, source.graph, source.contract)
    path = out or os.fspath(Path(model).with_suffix(f".{framework}.nir"))
    if os.path.realpath(path) == os.path.realpath(model):
        raise CompileError("would replace the model", where=path, hint="name another with -o")
    write_whole(path, nir_bytes(written))
    print_said(source, output)
    output.print(f"[bold green]wrote[/] {shown(path)} for {framework}", soft_wrap=True)
