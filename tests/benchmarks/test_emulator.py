"""The benchmark itself: its workloads, its rounds, and one quick run."""

from __future__ import annotations

import os
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

pytest.importorskip("llvmlite", reason="the emulator needs the fast extra")

from benchmarks.emulator.emulated import emulator
from benchmarks.emulator.fresh import measured, write_workload
from benchmarks.emulator.handover import emulate
from benchmarks.emulator.rounds import Rates, Setting, interleaved, ratio
from benchmarks.emulator.workloads import LARGEST, MODELS, conv_workload, dense_workload
from sast_compile import compile_model
from sast_compile.errors import BackendUnavailable
from sast_compile.ir.ops import Conv2d, Dense
from sast_compile.report.synops import fan_out

ROOT = Path(__file__).parents[2]


def test_a_few_percent_of_every_layer_fire() -> None:
    for work in (dense_workload(2), conv_workload(1)):
        trace = emulate(emulator(work.program, "spikes"), work.events)
        for name in work.program.neurons:
            assert 0.025 < trace[name].spikes.mean() < 0.085, (work.letter, name)


@pytest.mark.slow
def test_the_largest_model_is_the_largest() -> None:
    neurons, synapses = {}, {}
    for path in MODELS.glob("*/model.nir"):
        artifact = compile_model(path, "loihi2", bits=8).artifact
        assert artifact is not None
        program, model = artifact.program, path.parent.name
        neurons[model] = sum(prod(op.shape) for op in program.neurons.values())
        synapses[model] = sum(
            int(fan_out(program, n).sum())
            for n in program.nodes
            if isinstance(n.op, Dense | Conv2d)
        )
    assert max(neurons, key=lambda m: neurons[m]) == LARGEST
    assert max(synapses, key=lambda m: synapses[m]) == LARGEST


def test_rounds_are_interleaved_and_a_failure_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order: list[str] = []

    def steady() -> Rates:
        order.append("steady")
        return {Setting("steady", 1): float(len(order))}

    def failing() -> Rates:
        order.append("failing")
        if len(order) > 2:
            raise BackendUnavailable("gone", where="failing")
        return {Setting("failing", 1): 1.0}

    found = interleaved([steady, failing], 3)
    assert order == ["steady", "failing", "steady", "failing", "steady"]
    assert found == {Setting("steady", 1): [1.0, 3.0, 5.0]}
    assert "SKIPPED failing: gone" in capsys.readouterr().err


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    found = ratio([10, 20, 90], [1, 10, 3])
    assert (found.median, found.least, found.most) == (10, 2, 30)


def test_a_fresh_process_has_a_result_without_torch(tmp_path: Path) -> None:
    work = dense_workload(1)
    write_workload(tmp_path / "w.npz", work.program, work.events)
    found = measured(tmp_path / "w.npz", 1)
    for (one,) in found.values():
        assert 0 < one.first < 60
        assert not one.torch
        if one.memory is not None:
            assert 1e6 < one.memory < 2e9


@pytest.mark.slow
def test_a_quick_run_prints_and_writes_and_skips_aloud(tmp_path: Path) -> None:
    absent = {name: str(tmp_path / "absent") for name in ("SAST_LAVA_ENV", "SAST_PEERS_ENV")}
    document = tmp_path / "performance.md"
    document.write_text("# Speed\n\nby hand\n", encoding="utf-8")
    command = ["-m", "benchmarks.emulator", "--quick", "--workloads", "a", "--write"]
    done = subprocess.run(
        [sys.executable, *command, str(document)],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | absent,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for who in ("lava", "snnTorch", "Norse", "sinabs", "SpikingJelly"):
        assert f"SKIPPED {who}: " in done.stderr
    assert "| emulator | 4 | 2 |" in done.stdout
    assert "| inputs active, % | 50 |" in done.stdout
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# Speed\n\nby hand\n\n<!-- measured -->\n")
    assert done.stdout.strip() in text
    assert (tmp_path / "pictures/performance.png").read_bytes().startswith(b"\x89PNG")
