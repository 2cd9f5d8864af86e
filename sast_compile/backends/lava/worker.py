"""The other side of `private_process`: runs the jobs of a folder on Lava and ends.

It starts in a Python of its own, as the leader of a process group. Lava forks a process for every
Dense, every population and every recorder: they must not outlive it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from multiprocessing import shared_memory
from pathlib import Path

import msgspec

from sast_compile.backends.lava.jobs import TIMINGS, grouped, read_jobs
from sast_compile.backends.lava.timings import Timings

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(folder: str, token: str, parent: int) -> None:
    """Runs the jobs in ``folder`` and exits: with 0 and all results written, or with 1."""
    end_with(parent)
    keep_together(token)
    code = 1
    try:
        run_jobs(Path(folder))
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)  # Lava's __del__ methods would wait for its processes, which are gone


def run_jobs(folder: Path) -> None:
    from sast_compile.backends.lava.runner import run_graph

    jobs = read_jobs(folder)
    timings = Timings()
    for group in grouped(jobs):
        timings += run_graph({index: jobs[index] for index in group}, folder)
    (folder / TIMINGS).write_bytes(msgspec.json.encode(timings))


def end_with(parent: int) -> None:
    """Makes this process end with ``parent``, and every process it forks end with it.

    The kernel kills them, so it also holds where they sit in a semaphore. Linux only; elsewhere
    the time limit of the parent is all there is.
    """
    if not sys.platform.startswith("linux"):
        return
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    ancestor = [parent]

    def remember() -> None:
        ancestor[0] = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != ancestor[0]:  # it ended before we asked
            os._exit(1)

    tie()
    os.register_at_fork(before=remember, after_in_child=tie)  # a fork does not inherit the wish


def keep_together(token: str) -> None:
    """Keeps this run's sockets in its folder and names its shared memory ``sast_<token>_*``.

    Whoever cleans up after a killed run then knows which files of /dev/shm were its own. Sockets
    get a path relative to the working directory, the folder: an absolute one may be too long for a
    socket. All four names are private to the standard library of the one Python that Lava runs on,
    3.10: shared_memory._make_filename, synchronize.SemLock._make_name, util.get_temp_dir.
    """
    prefix = f"/sast_{token}_"
    shared_memory._SHM_NAME_PREFIX = prefix  # type: ignore[attr-defined]
    shared_memory._SHM_SAFE_NAME_LENGTH = len(prefix) + 8  # type: ignore[attr-defined]
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    config |= {"semprefix": prefix.rstrip("_"), "tempdir": "."}
