"""Rules of the project that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sast_compile.catalog import target_names
from sast_compile.passes import PASSES
from sast_compile.target import load_target

ROOT = Path(__file__).parents[1]
CODE = sorted((ROOT / "sast_compile").rglob("*.py"))
MOST_LINES = 400
# the target that a command or a call takes where the user names none
DEFAULTS = {"sast_compile/catalog.py": 1}
EMPTY_NAMES = {"utils", "util", "manager", "handler", "helper", "helpers", "common", "misc"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def docstrings(tree: ast.AST) -> set[int]:
    """The ids of the constants that are documentation."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
    }


def names_of_targets_in(path: Path) -> list[int]:
    """The lines in which a shipped target's name is a string that code may act on."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = docstrings(tree)
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and node.value in target_names()
        and id(node) not in documentation
    ]


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_no_code_knows_a_target_by_name(path: Path) -> None:
    lines = names_of_targets_in(path)
    assert len(lines) <= DEFAULTS.get(name_of(path), 0), f"{name_of(path)}: lines {lines}"


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_no_code_compares_a_targets_name(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        sides: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [node.subject]
        elif isinstance(node, ast.Subscript):
            sides = [node.slice]
        for side in sides:
            text = ast.unparse(side)
            assert not re.fullmatch(r"(\w+\.)*(target|chip)\.(name|title)(\.\w+\(.*\))?", text), (
                f"{name_of(path)}:{side.lineno} decides by {text}"
            )


def test_the_rule_would_see_a_breach(tmp_path: Path) -> None:
    path = tmp_path / "breach.py"
    path.write_text('"""loihi2"""\nif target.name == "loihi2":\n    pass\n', encoding="utf-8")
    assert names_of_targets_in(path) == [2]


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_files_are_short_documented_and_well_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < MOST_LINES
    assert not text or ast.get_docstring(ast.parse(text)), f"{name_of(path)} says not what it is"
    assert not EMPTY_NAMES & set(path.stem.lower().split("_"))


def test_every_pass_has_a_file_and_a_function_of_its_name() -> None:
    for name, run in PASSES.items():
        assert run.__name__ == name
        assert run.__module__ == f"sast_compile.passes.{name}"
        assert run.__doc__


@pytest.mark.parametrize("name", target_names())
def test_a_shipped_target_runs_passes_that_exist(name: str) -> None:
    assert set(load_target(name).passes) <= set(PASSES)
