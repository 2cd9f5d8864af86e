"""Runs programs on an emulator whose arenas lie between pages that no one may touch.

    python guarded_arena.py begin|end MISSING

The arena begins behind the first page or ends before the last one; so many bytes of what was asked
for are missing. Prints "equal"; an access to a guard ends the process.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np
from emulated_chains import Chain, assert_same, planes

from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator, threads

PAGE, LINE, NO_ACCESS = mmap.PAGESIZE, 64, 0
protect = ctypes.CDLL(None).mprotect


def guarded(size: int, at_the_end: bool) -> np.ndarray:
    """``size`` bytes, rounded up to whole lines, between two guards."""
    size = -(-size // LINE) * LINE
    pages = -(-size // PAGE)
    whole = np.frombuffer(mmap.mmap(-1, (pages + 2) * PAGE), np.uint8)
    for page in (0, pages + 1):
        assert protect(ctypes.c_void_p(whole.ctypes.data + page * PAGE), PAGE, NO_ACCESS) == 0
    begin = (pages + 1) * PAGE - size if at_the_end else PAGE
    whole[begin : begin + size] = 255  # nothing may count on zeros
    return whole[begin : begin + size]


def main() -> None:
    """Compares with the interpreter."""
    at_the_end, missing = sys.argv[1] == "end", int(sys.argv[2])
    threads.memory_of = lambda size: guarded(size - missing, at_the_end)
    matrix = Chain(1, (90,)).dense("fc", 530).lif("a", 40)
    picture = Chain(0, (2, 9, 8)).conv("c", 8, (3, 3)).lif("a", 20)
    cases = [(chain.program(), chain.events(3, 70, 0.2)) for chain in (matrix, picture)]
    for program, events in (*cases, *map(planes, range(3))):
        found = Emulator(program, "states", 1).run(events)
        assert_same(found, reference.run(program, events, "states"))
    print("equal")


if __name__ == "__main__":
    main()
