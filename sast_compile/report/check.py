"""All that keeps a model file from a chip, at once: each problem at its node, with the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sast_compile.artifact import SUFFIX, load_artifact
from sast_compile.catalog import target_names
from sast_compile.compile import check_bits, lower
from sast_compile.contract import Contract
from sast_compile.errors import CompileError
from sast_compile.files import read_whole
from sast_compile.frontend.nir_file import Loaded, load_nir
from sast_compile.frontend.nir_problems import import_problems
from sast_compile.frontend.source import read_source, used_contract
from sast_compile.ir.program import Program
from sast_compile.passes import Options
from sast_compile.report.alone import alone
from sast_compile.report.fit import fit
from sast_compile.target import Target, load_target


@dataclass(frozen=True)
class Problem:
    """Where, what, and the way out; ``target`` is the chip that has it, None if any would."""

    where: str | None
    what: str
    hint: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class Checked:
    """Everything found in a model file; ``fits`` says for each target whether it compiles."""

    problems: tuple[Problem, ...]
    repairs: tuple[str, ...]
    fits: Mapping[str, bool]


@dataclass(frozen=True)
class _Imported:
    """A file's program, its steps a sample, and what was repaired; or why there is none."""

    program: Program | None = None
    steps: int | None = None
    repairs: tuple[str, ...] = ()
    errors: tuple[CompileError, ...] = ()


def check_model(
    path: str,
    targets: Sequence[str] = (),
    bits: int = 8,
    contract: Contract | None = None,
    feedback: int | None = None,
) -> Checked:
    """Everything wrong with the model at ``path`` for ``targets`` (by default all shipped ones).

    A `.sast` is for one target already, and only read and placed. Raises CompileError only for
    what is no model's fault: a target, bits or a contract that do not exist.
    """
    check_bits(bits)
    if path.lower().endswith(SUFFIX):
        return _check_artifact(path, targets)
    chips = [load_target(name) for name in targets or target_names()]
    found = _imported(path, contract, feedback)
    problems = [_problem(error) for error in found.errors]
    if found.program is None:
        return Checked(
            tuple(problems), found.repairs, dict.fromkeys((chip.name for chip in chips), False)
        )
    options, fits = Options(bits, found.steps), []
    for chip in chips:
        errors = _lowering(found.program, chip, options)
        problems += [_problem(error, chip.name) for error in errors]
        fits.append((chip.name, not errors))
    return Checked(tuple(problems), found.repairs, dict(fits))


def _problem(error: CompileError, target: str | None = None) -> Problem:
    return Problem(error.where, error.what, error.hint, target)


def _check_artifact(path: str, targets: Sequence[str]) -> Checked:
    try:
        artifact = load_artifact(path)
    except CompileError as error:
        return Checked((_problem(error),), (), dict.fromkeys(targets, False))
    chip = artifact.target
    problems = [_problem(error, chip.name) for error in _placing(artifact.program, chip)]
    problems += [
        Problem(path, f"is compiled for {chip.name}", f"compile its source for {name}", name)
        for name in targets
        if load_target(name) != chip
    ]
    others = {p.target for p in problems if p.target is not None}
    return Checked(
        tuple(problems), (), {name: name not in others for name in (chip.name, *sorted(others))}
    )


def _imported(path: str, contract: Contract | None, feedback: int | None) -> _Imported:
    if Path(path).suffix.lower() == ".nir":
        try:
            loaded = load_nir(read_whole(path), path)
        except CompileError as error:
            return _Imported(errors=(error,))
        errors = _graph_errors(loaded, path, contract, feedback)
        if errors:
            return _Imported(repairs=loaded.repairs, errors=tuple(errors))
    try:
        source = read_source(path, contract, feedback)
    except CompileError as error:
        return _Imported(errors=(error,))
    encoding = source.contract.encoding
    steps = encoding.steps if encoding else None
    return _Imported(source.program, steps, (*source.left_out, *source.repairs))


def _graph_errors(
    loaded: Loaded, path: str, contract: Contract | None, feedback: int | None
) -> list[CompileError]:
    """Of nodes, then of the contract, then of the graph that they make."""
    errors, used = list(loaded.problems), None
    try:
        used = used_contract(loaded.graph, path, contract, feedback)
    except CompileError as error:
        errors.append(error)
    return _once([*errors, *import_problems(loaded.graph, used)])


def _lowering(program: Program, chip: Target, options: Options) -> list[CompileError]:
    """What the passes of ``chip`` say of the program and, if anything, of each population alone."""
    try:
        return _placing(lower(program, chip, options)[-1].program, chip)
    except CompileError as error:
        whole = error
    errors: list[CompileError] = []
    for part in alone(program):
        try:
            lower(part, chip, options)
        except CompileError as error:
            errors.append(error)
    return _once([*errors, whole])


def _placing(program: Program, chip: Target) -> list[CompileError]:
    needs = fit(program, chip)
    if needs is None or needs.fits:
        return []
    largest = max(needs.layers, key=lambda layer: layer.cores)
    what = f"needs {needs.cores} cores of {chip.name}'s {needs.cores_available}"
    hint = f"{largest.layer} needs {largest.cores} of them"
    return [CompileError(what, where="program", hint=hint)]


def _once(errors: Sequence[CompileError]) -> list[CompileError]:
    return list({str(error): error for error in errors}.values())
