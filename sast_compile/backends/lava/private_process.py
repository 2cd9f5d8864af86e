"""Runs the worker in Lava's own Python: over files, within a time limit, and leaves nothing.

The worker leads a session and process group of its own. Whatever happens here (time limit, crash,
Ctrl-C), the whole group is ended, SIGTERM first and then SIGKILL, and the shared memory that it
made is removed: its names carry the token of this run. If this process itself is killed, the
kernel ends the worker and all that it forked (`worker.end_with`), and multiprocessing's resource
tracker, which is left over, removes the shared memory and ends.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sast_compile.backends.lava.environment import clean_environment
from sast_compile.errors import BackendUnavailable

PACKAGE = Path(__file__).parents[2]
SHARED_MEMORY = Path("/dev/shm")
GRACE = 1.0  # seconds between SIGTERM and SIGKILL, and for the group to be gone after it
LAST_LINES = 12
STDERR = "stderr.txt"
BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from sast_compile.backends.lava.worker import main;"
    " main(sys.argv[2], sys.argv[3], int(sys.argv[4]))"
)


def run_worker(python: Path, folder: Path, time_limit: float) -> None:
    """Returns when the worker has run the jobs in ``folder``, which then holds the results.

    ``time_limit`` is in seconds. Raises BackendUnavailable, with the last lines that the worker
    wrote, if it fails or takes longer; nothing of it is left in any case.
    """
    token = secrets.token_hex(4)
    command = [str(python), "-I", "-c", BOOT, str(_source(folder)), str(folder), token]
    with group(command, folder, token) as process:
        try:
            code = process.wait(time_limit)
        except subprocess.TimeoutExpired:
            raise BackendUnavailable(
                f"Lava was not done after {time_limit:g} s and was stopped{_last_lines(folder)}",
                where="lava",
                hint="fewer samples, or a longer time limit",
            ) from None
    if code != 0:
        raise BackendUnavailable(
            f"Lava ended with {_ending(code)}{_last_lines(folder)}", where="lava"
        )


@contextmanager
def group(command: Sequence[str], folder: Path, token: str) -> Iterator[subprocess.Popen[bytes]]:
    """``command`` as a process group of its own, which ends with this context, come what may.

    The command gets our process id as its last argument; its errors go to a file in ``folder``,
    not to a pipe, which a process that was left over would keep open.
    """
    with (folder / STDERR).open("wb") as errors:
        process = subprocess.Popen(
            [*command, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=_environment(folder),
            cwd=folder,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            try:
                _end(process)
            finally:  # even if a second Ctrl-C comes
                _remove_shared_memory(token)


def _source(folder: Path) -> Path:
    """A folder to import this very package from, and nothing else of this environment."""
    path = folder / "source"
    path.mkdir()
    (path / "sast_compile").symlink_to(PACKAGE.resolve())
    return path


def _environment(folder: Path) -> dict[str, str]:
    """Ours, but temporary files go where we remove them, and a process is one thread."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return clean_environment() | threads | {"TMPDIR": str(folder)}


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
    finally:
        _signal(process, signal.SIGKILL)
        _reap(process)
    deadline = time.monotonic() + GRACE
    while _signal(process, 0) and time.monotonic() < deadline:
        time.sleep(0.01)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Collects the killed process. Not by Popen.wait, which could block for ever.

    CPython's Popen._wait takes its lock before the try that gives it back: a Ctrl-C in between
    leaves the lock held.
    """
    if process.returncode is None:
        process.returncode = -signal.SIGKILL
        with suppress(ChildProcessError):  # collected just before the Ctrl-C
            process.returncode = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])


def _signal(process: subprocess.Popen[bytes], number: int) -> bool:
    """Sends a signal to the group; whether it still has members."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS: EPERM where only zombies are left
        return False
    return True


def _remove_shared_memory(token: str) -> None:
    for path in SHARED_MEMORY.glob(f"*sast_{token}*"):  # segments, and sem.* of semaphores
        path.unlink(missing_ok=True)


def _last_lines(folder: Path) -> str:
    text = (folder / STDERR).read_text(encoding="utf-8", errors="replace")
    lines = text.rstrip().splitlines()[-LAST_LINES:]
    return "".join(f"\n  {line}" for line in lines)


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
