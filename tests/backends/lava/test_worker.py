"""However a run of Lava ends, nothing of it is left: no process, no shared memory, no files."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from loihi_programs import random_chain

from sast_compile.backends.lava import lava_status, run
from sast_compile.backends.lava.private_process import SHARED_MEMORY, group, run_worker
from sast_compile.errors import BackendUnavailable

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into Linux's /proc"),
    pytest.mark.skipif(
        lava_status().python is None, reason=f"NO LAVA ENVIRONMENT: {lava_status()}"
    ),
]

FOR_EVER = """
import sys; sys.path[:0] = sys.argv[1:]
import secrets, tempfile
import numpy as np
from loihi_programs import random_chain
from sast_compile.backends.lava import run
tempfile.tempdir = {folder!r}
secrets.token_hex = lambda count: {token!r}
program, events = random_chain(0)
run(program, np.repeat(events, 5000, axis=0))
"""


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of the runs of one test; all their processes have it in TMPDIR."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(secrets, "token_hex", lambda count: token(tmp_path))
    yield tmp_path
    assert eventually(lambda: not living(tmp_path)), "processes are left"
    assert eventually(lambda: not segments(tmp_path)), "shared memory is left"


def token(mark: Path) -> str:
    return f"{abs(hash(mark)):016x}"[-8:]


def living(mark: Path) -> list[int]:
    """The processes that a run of this test has started and that are alive."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={mark}".encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it has just ended, or is another user's
    return found


def segments(mark: Path) -> list[Path]:
    return list(SHARED_MEMORY.glob(f"*{token(mark)}*"))


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def stepping(mark: Path) -> bool:
    """Whether Lava's processes are there and talk through shared memory."""
    return len(living(mark)) > 8 and len(segments(mark)) > 8


def run_for_ever(time_limit: float = 60.0) -> None:
    program, events = random_chain(0)
    run(program, np.repeat(events, 5000, axis=0), time_limit=time_limit)


def test_a_time_limit_ends_the_run_and_all_its_processes(mark: Path) -> None:
    started: list[bool] = []
    watch = threading.Thread(target=lambda: started.append(eventually(lambda: stepping(mark))))
    watch.start()
    with pytest.raises(BackendUnavailable, match="not done after 5 s and was stopped"):
        run_for_ever(time_limit=5.0)
    assert not living(mark)
    assert not segments(mark)
    assert not list(mark.glob("sast-lava-*"))
    watch.join()
    assert started == [True]  # it was Lava that was stopped, not its start


def kill_when_stepping(mark: Path, which: Callable[[list[int]], int]) -> threading.Thread:
    def kill() -> None:
        if eventually(lambda: stepping(mark)):
            time.sleep(0.3)
            os.kill(which(sorted(living(mark))), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def worker_of(processes: list[int]) -> int:
    return next(p for p in processes if parent_of(p) == os.getpid())


def child_of(processes: list[int]) -> int:
    """The last process that the worker forked: one of Lava's, not the memory's manager."""
    return max(p for p in processes if parent_of(p) == worker_of(processes))


def test_a_lava_process_that_dies_is_reported_at_once(mark: Path) -> None:
    """Lava itself would wait for it for ever."""
    thread = kill_when_stepping(mark, child_of)
    with pytest.raises(BackendUnavailable, match=r"a Lava process died\n.*exit code -9"):
        run_for_ever()
    thread.join()
    assert not living(mark)
    assert not segments(mark)


def test_a_worker_that_is_killed_is_reported(mark: Path) -> None:
    thread = kill_when_stepping(mark, worker_of)
    with pytest.raises(BackendUnavailable, match="Lava ended with signal SIGKILL"):
        run_for_ever()
    thread.join()
    assert not segments(mark)


def test_a_worker_that_fails_is_reported_with_its_last_lines(mark: Path) -> None:
    python = lava_status().python
    assert python is not None
    with pytest.raises(BackendUnavailable, match=r"exit code 1\n(.*\n)*.*jobs\.json"):
        run_worker(python, mark, 30.0)  # an empty folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_process_that_asked(mark: Path, number: signal.Signals) -> None:
    """Ctrl-C is handled here; of the others this process learns nothing, so the kernel must."""
    root = Path(__file__).parents[3]
    script = FOR_EVER.format(folder=str(mark), token=token(mark))
    command = [sys.executable, "-c", script, str(root), str(root / "tests")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert eventually(lambda: stepping(mark))
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert not living(mark)
        assert not segments(mark)
        assert not list(mark.glob("sast-lava-*"))


def test_an_interrupt_that_left_the_wait_locked_blocks_nothing(tmp_path: Path) -> None:
    """Seen once: Ctrl-C between the two lines of CPython's Popen._wait that take and guard it."""
    token_ = token(tmp_path)
    with group([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, token_) as process:
        process._waitpid_lock.acquire()  # type: ignore[attr-defined]
    assert process.returncode == -signal.SIGTERM
