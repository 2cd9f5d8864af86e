"""What reaches a terminal, a pipe or an ASCII log; and what Ctrl-C leaves behind."""

from __future__ import annotations

import os
import pty
import re
import shutil
import sys
from pathlib import Path

import pytest
import small_nets
from command_line import (
    Command,
    as_process,
    environment,
    files,
    started,
)

from sast_compile.artifact import load_artifact

ESCAPE = "\x1b"


# terminals


def test_pipes_get_no_colours_and_no_spinner(here: Path) -> None:
    ended = as_process("net.nir", cwd=here, TERM="xterm-256color")
    assert (ended.code, ended.err) == (0, "")
    assert ESCAPE not in ended.out
    assert "\r" not in ended.out


def test_a_run_is_watched_on_a_terminal_only(here: Path) -> None:
    run = ["run", "net.sast", "--samples", "40", "--max-memory", "200kB"]
    watched = on_terminal(run, here, TERM="xterm-256color", COLUMNS="120")
    assert "samples/s" in watched
    assert "40/40" in watched
    ended = as_process(*run, cwd=here, TERM="xterm-256color")
    assert (ended.code, ended.err) == (0, "")
    assert "samples/s" not in ended.out
    assert "samples/s" not in on_terminal(run, here, TERM="xterm-256color", NO_COLOR="1")


def test_no_color_holds_on_a_terminal(here: Path) -> None:
    assert ESCAPE in on_terminal(["net.nir"], here, TERM="xterm-256color")
    for arguments in (["net.nir"], ["--help"]):
        assert ESCAPE not in on_terminal(arguments, here, TERM="xterm-256color", NO_COLOR="1")


def on_terminal(arguments: list[str], cwd: Path, **changes: str) -> str:
    """What the command writes to a terminal."""
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.chdir(cwd)
        call = [sys.executable, "-m", "sast_compile", *arguments]
        os.execve(sys.executable, call, environment(**changes))
    written = b""
    try:
        while piece := os.read(terminal, 4096):
            written += piece
    except OSError:  # Linux's way to say that the other end was closed
        pass
    os.close(terminal)
    os.waitpid(child, 0)
    assert written
    return written.decode()


ASCII = {
    "LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
}  # fmt: skip
VERBS_IN_ASCII = r"""
import sys
from sast_compile.cli import main
model = "\u00fc \u2603.nir"
for code, arguments in (
    (0, [model, "-o", "\u00fc.sast"]), (0, ["inspect", model]), (0, ["inspect", model, "--json"]),
    (0, ["targets"]), (0, ["--help"]), (0, ["run", "\u00fc.sast"]), (1, ["none " + model]),
    (1, [model, "--target", "\u2603"]), (2, ["\u2603"]), (2, [model, "--bits", "\u2603"]),
):
    given = [a.encode().decode(sys.getfilesystemencoding(), "surrogateescape") for a in arguments]
    try:
        main(given)
    except SystemExit as ended:
        assert ended.code == code, arguments
"""


def test_a_terminal_that_knows_ascii_only_gets_escapes_and_no_traceback(here: Path) -> None:
    shutil.move("net.nir", "ü ☃.nir")
    ended = as_process(cwd=here, code=VERBS_IN_ASCII, **ASCII)
    assert "Traceback" not in ended.err
    assert ended.code == 0
    assert (ended.out + ended.err).isascii()
    assert load_artifact("ü.sast").golden == load_artifact("net.sast").golden


def test_a_reader_that_leaves_ends_the_command_quietly(here: Path) -> None:
    with started("inspect", "net.sast", cwd=here) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) in (0, 1)


# what a file says is shown, never obeyed


def test_text_from_a_file_is_neither_markup_nor_a_terminal_code(sast: Command, here: Path) -> None:
    evil = "1 ms \x1b[31m[bold red]\nforged line"
    encoding = small_nets.Encoding(steps=20, axes="X", values="binary", bin=evil)
    graph = small_nets.graph(small_nets.contract(encoding=encoding))
    small_nets.write_graph(here / "evil.nir", graph)
    shown = sast("inspect", "evil.nir").out
    assert ESCAPE not in shown
    assert "[bold red]" in shown
    assert "\nforged" not in shown
    name = f"a{ESCAPE}[2J"
    renamed = small_nets.graph(
        edges=[("input", name), (name, "output")], **{name: small_nets.lif(6)}
    )
    small_nets.write_graph(here / "evil.nir", renamed)
    assert ESCAPE not in sast("evil.nir", "--contract", "sast", "--dt", "1e-3").message


# Ctrl-C

INTERRUPTED = """
import os, signal, sys

def interrupt(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)

class During:
    def find_spec(self, name, *_):
        if name == moment:
            interrupt()

moment = sys.argv.pop(1)
sys.meta_path.insert(0, During())
if moment == "a pass":
    import sast_compile.passes as passes
    old = passes.PASSES["snap_decays"]
    passes.PASSES["snap_decays"] = lambda *given: (interrupt(), old(*given))[1]
if moment == "the write":
    os.fsync = interrupt
if moment == "the golden run":
    from sast_compile.backends import reference
    reference.run = interrupt
from sast_compile.__main__ import main
main()
"""
MOMENTS = ["sast_compile.cli.app", "h5py", "a pass", "the golden run", "the write"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_in_one_line_and_leaves_nothing_behind(here: Path, moment: str) -> None:
    before = files(here)
    ended = as_process(moment, "net.nir", cwd=here, code=INTERRUPTED)
    assert ended.code == 130
    assert ended.out == ""
    assert re.fullmatch(r"interrupted.*\n", ended.err)
    assert files(here) == before


def test_ctrl_c_from_outside_keeps_the_old_artifact(here: Path) -> None:
    import signal

    code = """
import sys, time
import sast_compile.compile as compile
compile.read_source = lambda *_: (print("ready", flush=True), time.sleep(60))
from sast_compile.__main__ import main
main()
"""
    before = files(here)
    with started("net.nir", "-o", "net.sast", cwd=here, code=code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted; no file is left half-written\n")
    assert files(here) == before
