"""Lava's private environment: Python 3.10 with pinned packages, made once, found afterwards.

It lies in ``$SAST_LAVA_ENV``, or in the clone's ``.venv-lava``, or in the user's data folder. It
counts only with the stamp that is written last, and only if the pins are those of this version: a
half-made or outdated environment is never used.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from sast_compile.errors import BackendUnavailable

Progress: TypeAlias = Callable[[str], None]

PINS = Path(__file__).with_name("requirements.txt")
STAMP = "sast-lava-pins"  # holds the hash of the pins that were installed
VERSION = (3, 10)
WAY_OUT = "run `sast-compile setup-lava` (it needs a Python 3.10 once)"
PROBE = "import sys; print(*sys.version_info[:2])"
PROBE_SECONDS = 20.0
TRIAL = "import lava.proc.lif.models, lava.proc.dense.models, msgspec, typing_extensions"


@dataclass(frozen=True)
class LavaStatus:
    """Whether Lava can run here, with which Python, and if not: why and what to do."""

    python: Path | None
    detail: str

    def __str__(self) -> str:
        return f"ready: {self.python}" if self.python else self.detail


def lava_python() -> Path:
    """The Python that runs Lava; BackendUnavailable with the way out if there is none."""
    if lava_is_here():
        return Path(sys.executable)
    reasons = []
    for folder in _places():
        reason = _flaw(folder)
        if reason is None:
            return _python_of(folder)
        reasons.append(reason)
    raise BackendUnavailable("; ".join(reasons), where="lava", hint=WAY_OUT)


def lava_is_here() -> bool:
    """Whether this very Python can run Lava: then no other environment is needed."""
    try:
        return sys.version_info[:2] == VERSION and find_spec("lava.magma") is not None
    except ModuleNotFoundError:
        return False


def lava_status() -> LavaStatus:
    """What ``doctor`` says about Lava."""
    try:
        return LavaStatus(lava_python(), "ready")
    except BackendUnavailable as error:
        return LavaStatus(None, f"{error.what}; {error.hint}")


def setup_lava(progress: Progress = lambda text: None) -> Path:
    """The Python of the private environment, which is made if it is not there yet.

    Needs the network once. Two set-ups at a time wait for each other. Raises BackendUnavailable if
    there is no Python 3.10, the folder is not ours to fill, or an installation fails.
    """
    folder = environment_folder()
    with _locked(folder, progress):
        if _flaw(folder) is not None:
            _make(folder, progress)
    return _python_of(folder)


def environment_folder() -> Path:
    """Where `setup_lava` makes the environment."""
    named = os.environ.get("SAST_LAVA_ENV")
    if named:
        return Path(named).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser().absolute() / "sast-compile" / "lava"


def find_python() -> Path:
    """A Python 3.10 that runs; BackendUnavailable, saying where was looked, if there is none."""
    tried = []
    for candidate in _candidates():
        if _is_wanted(candidate):
            return Path(candidate)
        tried.append(candidate)
    looked = f"; these do not answer as such: {', '.join(tried)}" if tried else ""
    raise BackendUnavailable(
        "no Python 3.10 found in $SAST_LAVA_PYTHON, on PATH, among pyenv's versions or by uv"
        + looked,
        where="lava",
        hint="install one (`pyenv install 3.10`, `uv python install 3.10`, or your system's"
        " python3.10 with venv) or name it in $SAST_LAVA_PYTHON",
    )


def _places() -> list[Path]:
    """Where an environment may lie: the named one alone, else the clone's, else the user's."""
    if os.environ.get("SAST_LAVA_ENV"):
        return [environment_folder()]
    root = Path(__file__).parents[3]
    clone = [root / ".venv-lava"] if (root / "pyproject.toml").is_file() else []
    return [*(place for place in clone if place.is_dir()), environment_folder()]


def _flaw(folder: Path) -> str | None:
    """Why the environment in ``folder`` cannot be used; None if it can."""
    if not folder.is_dir():
        return f"no Lava environment in {folder}"
    stamp = folder / STAMP
    if not stamp.is_file():
        return f"the Lava environment in {folder} is not complete"
    if stamp.read_text(encoding="utf-8").strip() != _pins_hash():
        return f"the Lava environment in {folder} was made with other pins"
    if not _python_of(folder).exists():  # a link to a Python that has been removed
        return f"the Lava environment in {folder} has lost its Python"
    return None


def _python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def _pins_hash() -> str:
    return hashlib.sha256(PINS.read_bytes()).hexdigest()


def _make(folder: Path, progress: Progress) -> None:
    """Makes the environment in its final place (it cannot be moved) and stamps it last."""
    _check_is_ours(folder)
    (folder / STAMP).unlink(missing_ok=True)
    base = find_python()
    progress(f"making an environment with {base}")
    _call([str(base), "-m", "venv", "--clear", str(folder)], progress)
    python = str(_python_of(folder))
    pip = [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    progress("installing Lava and what it needs")
    _call([*pip, "install", "--progress-bar", "off", "-r", str(PINS)], progress)
    progress("trying Lava")
    _call([python, "-I", "-c", TRIAL], progress)
    partial = folder / f"{STAMP}.tmp"
    partial.write_text(_pins_hash() + "\n", encoding="utf-8")
    partial.replace(folder / STAMP)


def _check_is_ours(folder: Path) -> None:
    """Refuses to clear a folder that holds anything but a virtual environment."""
    filled = folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
    if filled and not (folder / "pyvenv.cfg").is_file():
        raise BackendUnavailable(
            f"{folder} exists and is no Python environment; it is left as it is",
            where="lava",
            hint="point $SAST_LAVA_ENV to an empty or new folder",
        )


def _call(command: list[str], progress: Progress) -> None:
    """Runs ``command`` to its end, its lines to ``progress``; BackendUnavailable if it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment(),
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                progress(line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        last = "".join(f"\n  {line}" for line in lines[-12:])
        raise BackendUnavailable(
            f"`{' '.join(command)}` failed with exit code {process.returncode}{last}",
            where="lava",
            hint="the environment is not used until a set-up succeeds; mend this and try again",
        )


def clean_environment() -> dict[str, str]:
    """Our environment variables without those that lead another Python astray."""
    astray = re.compile(r"PYTHON.*|VIRTUAL_ENV|__PYVENV_LAUNCHER__")
    return {k: v for k, v in os.environ.items() if not astray.fullmatch(k)}


def _candidates() -> Iterator[str]:
    """Commands and files that may be a Python 3.10, the named one first and then alone."""
    named = os.environ.get("SAST_LAVA_PYTHON")
    if named:
        yield named
        return
    if sys.version_info[:2] == VERSION:
        yield sys.executable
    on_path = shutil.which("python3.10")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    found = [p for p in pyenv.glob("versions/3.10.*/bin/python") if p.exists()]
    yield from (str(p) for p in sorted(found, key=_patch, reverse=True))
    if shutil.which("uv"):
        yield from _output(["uv", "python", "find", "3.10"]).splitlines()[:1]


def _patch(python: Path) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", python.parents[1].name))


def _is_wanted(python: str) -> bool:
    """Whether ``python`` really runs and is a 3.10: pyenv's shims exist but do not answer."""
    return _output([python, "-I", "-c", PROBE]).split() == [str(n) for n in VERSION]


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=clean_environment(),
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@contextmanager
def _locked(folder: Path, progress: Progress) -> Iterator[None]:
    """Holds a lock on the folder around ``folder``; the kernel frees it if we are killed."""
    import fcntl  # not on Windows, where Lava is not supported either

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.parent, os.O_RDONLY)  # a directory can be locked: no file is left over
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another set-up to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
