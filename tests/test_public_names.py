"""The names that a Python user needs are at the top, and cost nothing until they are used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import small_nets
from command_line import environment

import sast_compile

PACKAGE = Path(sast_compile.__file__).parent


def test_every_name_is_there_and_is_what_its_module_defines() -> None:
    assert sast_compile.__all__ == sorted(sast_compile.__all__, key=str)
    pytest.importorskip("torch", reason="export and register_neuron need the torch extra")
    for name, home in sast_compile._HOMES.items():
        module = importlib.import_module(f"sast_compile.{home}")
        assert getattr(sast_compile, name) is getattr(module, name)
        assert getattr(sast_compile, name).__doc__
    assert set(sast_compile._HOMES) == set(sast_compile.__all__)
    assert set(sast_compile.__all__) <= set(dir(sast_compile))


def test_a_type_checker_sees_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: (node.module or "").removeprefix("sast_compile.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == sast_compile._HOMES
    assert (PACKAGE / "py.typed").is_file()


def test_no_submodule_hides_behind_a_public_name() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert not modules & set(sast_compile.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'sast_compile' has no attribute 'compile_modle'"):
        _ = sast_compile.compile_modle  # type: ignore[attr-defined]


def test_the_example_of_the_docstring_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sast_compile.__doc__ is not None
    example = sast_compile.__doc__.partition("::\n")[2].partition("\nEach name")[0]
    code = "\n".join(line.removeprefix("    ") for line in example.splitlines())
    code = code.replace("models/digits/model.pt", "net.nir").replace("samples=100", "4, []")
    monkeypatch.chdir(tmp_path)
    small_nets.write_graph(tmp_path / "net.nir")
    exec(compile(code, "example", "exec"), {})
    assert "program net" in capsys.readouterr().out


def test_importing_the_package_imports_nothing_else() -> None:
    code = """
import sys
before = set(sys.modules)
import sast_compile
new = {name.partition(".")[0] for name in set(sys.modules) - before}
assert new <= {"sast_compile", "__future__", "importlib", "typing", "typing_extensions"} | set(
    sys.stdlib_module_names
), new
loaded = {name for name in sys.modules if name.startswith("sast_compile")}
assert loaded == {"sast_compile", "sast_compile.version"}
from sast_compile import verify, compile_model
assert callable(verify) and callable(compile_model)
assert "torch" not in sys.modules and "lava" not in sys.modules and "typer" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


def test_without_torch_its_names_say_so() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import sast_compile\n"
        "try: sast_compile.export\n"
        "except sast_compile.CompileError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sast_compile: export needs torch, which is not installed here")
