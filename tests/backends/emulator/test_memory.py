"""Nothing that the emitters make reads or writes beyond its own memory, and checks can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from emulated_chains import Chain, assert_same, planes

pytest.importorskip("llvmlite", reason="the emulator is the fast extra: llvmlite")

from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator, threads
from sast_compile.backends.emulator.function import Wanted, emit
from sast_compile.backends.emulator.machine.native import assembled
from sast_compile.backends.emulator.machine.processor import Processor
from sast_compile.backends.emulator.projections import pictures
from sast_compile.backends.emulator.projections.taps import Taps, taps_of

TESTS = Path(__file__).parents[2]
AARCH64 = 183  # the machine's number in an ELF header


def picture() -> Chain:
    return Chain(0, (2, 9, 8)).conv("c", 8, (3, 3)).lif("a", 20)


@pytest.mark.parametrize("place", ["sum_at", "block_at"])
def test_checked_code_finds_an_index_that_is_wrong(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: object) -> Taps:
        taps = taps_of(*arguments)  # type: ignore[arg-type]
        getattr(taps, place)[-1] += 100_000
        return taps

    chain = picture()
    x = chain.events(2, 5, 0.3)
    right = Emulator(chain.program(), "states", 1, checked=True).run(x)
    assert_same(right, reference.run(chain.program(), x, "states"))
    monkeypatch.setattr(pictures, "taps_of", wrong)
    with pytest.raises(AssertionError, match=r"an access left (c|kernel of c)"):
        Emulator(chain.program(), "states", 1, checked=True).run(x)


def run_guarded(where: str, missing: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TESTS / "guarded_arena.py", where, str(missing)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )


@pytest.mark.parametrize("where", ["begin", "end"])
def test_the_arena_is_not_left(where: str) -> None:
    done = run_guarded(where, 0)
    assert done.stdout == "equal\n", done.stderr


def test_an_arena_too_small_is_left() -> None:
    """The guard pages do what they are there for."""
    assert run_guarded("end", 8192).returncode < 0


def test_sparse_events_are_read_to_their_end_and_no_further() -> None:
    """A list whose last row is the last of its memory, in checked code."""
    from sast_compile.ir.sparse import from_dense

    chain = Chain(3, (90,)).dense("fc", 20).lif("a", 40)
    x = chain.events(2, 5, 0.3)
    x[-1, -1] = 1
    found = Emulator(chain.program(), "states", 1, checked=True).run(from_dense(x))
    assert_same(found, reference.run(chain.program(), x, "states"))


def test_other_machines_get_code() -> None:
    """An ARM of 64 bits: what can be tested here is that LLVM makes an object of it."""
    program, _ = planes(1)
    arm = Processor("cortex-a72", triple="aarch64-unknown-linux-gnu")
    forms = dict.fromkeys(program.inputs, "dense")
    emitted = emit(program, Wanted(program.outputs, True, forms), arm)  # type: ignore[arg-type]
    code = assembled(emitted.text, arm)
    assert code[:4] == b"\x7fELF"
    assert int.from_bytes(code[18:20], "little") == AARCH64


def test_memory_begins_a_line() -> None:
    for size in (1, 64, 1000):
        memory = threads.memory_of(size)
        assert memory.ctypes.data % 64 == 0
        assert memory.nbytes == size
        assert memory.dtype == np.uint8
