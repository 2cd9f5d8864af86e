"""Object code on disk: found again, never trusted, bounded, and done without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from emulated_chains import Chain, assert_same

pytest.importorskip("llvmlite", reason="the emulator is the fast extra: llvmlite")

from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator
from sast_compile.backends.emulator.machine import native, objects

CHAIN = Chain(0, (20,)).dense("fc", 9).lif("a", 20)
PROGRAM, EVENTS = CHAIN.program(), CHAIN.events(2, 6, 0.3)


def equal() -> None:
    found = Emulator(PROGRAM, "states", 1).run(EVENTS)
    assert_same(found, reference.run(PROGRAM, EVENTS, "states"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAST_CACHE", str(tmp_path))
    return tmp_path / "emulator"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    done: list[object] = []
    plain = native._optimized

    def counted(module: object, machine: object) -> None:
        done.append(module)
        plain(module, machine)

    monkeypatch.setattr(native, "_optimized", counted)
    return done


def test_code_is_found_again(cache: Path, compilations: list[object]) -> None:
    equal()
    equal()
    assert len(compilations) == 1
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_code_is_made_anew(damage: str, cache: Path, compilations: list[object]) -> None:
    equal()
    (path,) = cache.iterdir()
    data = bytearray(path.read_bytes())
    whole = bytes(data)
    if damage == "flipped":
        data[-300] ^= 255
    path.write_bytes({"cut": data[:-100], "flipped": data, "empty": b""}[damage])
    equal()
    assert len(compilations) == 2
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: list[object]
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SAST_CACHE", str(tmp_path / "file"))
    equal()
    equal()
    assert len(compilations) == 2


def test_what_was_used_longest_ago_goes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "KEPT", 2)
    for number, key in enumerate(("a", "b")):
        objects.store(key, b"code of " + key.encode())
        os.utime(cache / f"{key}.o", (number, number))
    assert objects.load("a") == b"code of a"  # b is the oldest now
    objects.store("c", b"code of c")
    assert sorted(path.stem for path in cache.iterdir()) == ["a", "c"]


def test_many_processes_share_it(cache: Path) -> None:
    script = (
        "from emulated_chains import Chain; from sast_compile.backends.emulator import Emulator;"
        "chain = Chain(0, (20,)).dense('fc', 9).lif('a', 20);"
        "trace = Emulator(chain.program(), 'states', 1).run(chain.events(2, 6, 0.3));"
        "print(trace['a'].spikes.sum())"
    )
    tests = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}"}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE)
        for _ in range(6)
    ]
    said = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert len(said) == 1
    assert [path.suffix for path in cache.iterdir()] == [".o"]
