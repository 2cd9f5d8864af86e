"""``sast-compile`` in this process (fast) and as a user starts it (true)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from sast_compile.cli import main
from sast_compile.compile import compile_model
from sast_compile.errors import CompileError

ROOT = Path(__file__).parents[1]
# what would colour or reshape the output of a command, whatever the machine that runs the tests
LOUD = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "NO_COLOR", "COLUMNS", "TERMINAL_WIDTH")


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line of an error, without its first word; everything else must be silent.

        But for the table of contracts that follows on a graph without one.
        """
        assert self.out == ""
        assert self.err.startswith("error: ")
        line, _, rest = self.err.partition("\n")
        assert not rest or ("carries no contract" in line and rest.startswith("\nthe choices"))
        return line.removeprefix("error: ").strip()


Command: TypeAlias = Callable[..., Ended]


def in_process(capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs a command line here: ``sast("verify", path)``."""

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, *capsys.readouterr())

    return run


def environment(**changes: str) -> dict[str, str]:
    """The environment of a quiet user, who has this checkout installed."""
    quiet = {k: v for k, v in os.environ.items() if k not in LOUD}
    return {**quiet, "PYTHONPATH": os.fspath(ROOT), "PYTHONWARNINGS": "error", **changes}


def started(
    *arguments: object, cwd: Path, code: str | None = None, **changes: str
) -> subprocess.Popen[str]:
    """A running ``sast-compile``; ``code`` is Python that prepares the process and calls main."""
    call = ["-c", code] if code is not None else ["-m", "sast_compile"]
    return subprocess.Popen(
        [sys.executable, *call, *map(str, arguments)],
        cwd=cwd, env=environment(**changes), encoding="utf-8", errors="surrogateescape",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def as_process(*arguments: object, cwd: Path, **options: Any) -> Ended:
    """The same, run to its end."""
    with started(*arguments, cwd=cwd, **options) as process:
        out, err = process.communicate(timeout=120)
        return Ended(process.returncode, out, err)


def files(folder: Path) -> dict[str, int]:
    """Every file below ``folder``, hidden ones too, with its time of writing."""
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()
    }


def document(ended: Ended, code: int = 0) -> Any:
    """The JSON that a command printed, and nothing else."""
    assert (ended.code, ended.err) == (code, "")
    return json.loads(ended.out)


def assert_refused(sast: Command, arguments: list[object], words: list[str], code: int = 1) -> None:
    """The command line says all ``words`` in one message, and leaves every file as it was."""
    before = files(Path())
    ended = sast(*arguments)
    assert ended.code == code
    for word in words:
        assert word in ended.message
    assert files(Path()) == before


def assert_refused_in_python(model: Path, words: list[str], **options: Any) -> None:
    """`compile_model` says the same, as a CompileError."""
    with pytest.raises(CompileError) as caught:
        compile_model(model, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
