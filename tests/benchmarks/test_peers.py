"""What the peers are given, and that their agreement is measured."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks.emulator.peers import Peer, equal_share
from benchmarks.emulator.plain import plain_layers, twin, write_plain
from benchmarks.emulator.tables import SAME
from benchmarks.emulator.workloads import bernoulli, conv_program, dense_program
from sast_compile.backends import reference
from sast_compile.errors import BackendUnavailable
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.ops import Neuron
from sast_compile.ir.program import Program

STEPS = 50


def without_leaks(program: Program) -> Program:
    """No leak, no rounding: then the twin and the program are one function."""
    ops = {
        name: loihi_neuron(op.shape, du=4095, dv=0, threshold=_threshold(op) // 4, start=op.start)
        for name, op in program.neurons.items()
    }
    return program.with_ops(ops)


def _threshold(op: Neuron) -> int:
    assert op.fire is not None
    assert isinstance(op.fire.threshold, int)
    return op.fire.threshold


@pytest.mark.parametrize("program", [dense_program((2312, 64), "a"), conv_program()], ids="ab")
def test_without_leaks_the_twin_fires_as_the_program(program: Program) -> None:
    plain = without_leaks(program)
    (shape,) = (program.types[name].shape for name in program.inputs)
    events = bernoulli((1, STEPS, *shape), 0.02)
    ours, floats = reference.run(plain, events), reference.run(twin(plain), events)
    for name in program.neurons:
        assert 0 < ours[name].spikes.mean() < 1
        assert np.array_equal(ours[name].spikes, floats[name].spikes), name


def test_the_layers_are_the_programs() -> None:
    kinds = [layer["kind"] for layer in plain_layers(twin(conv_program()))]
    block = ["conv", "lif", "sum_pool"]
    assert kinds == [*block * 3, "flatten", "dense", "lif", "dense", "lif"]


def test_equal_spikes_over_all_spikes() -> None:
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert equal_share(a, b) == 1 / 3
    assert equal_share(a & b & ~a, ~a & a) == 1


@pytest.fixture
def this_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This environment as that of snnTorch, which it has."""
    pytest.importorskip("snntorch")
    python = tmp_path / "snntorch/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "snntorch/ready").touch()
    monkeypatch.setenv("SAST_PEERS_ENV", str(tmp_path))
    return tmp_path


@pytest.fixture
def program() -> Program:
    return dense_program((2312, 512, 256), "p")


@pytest.fixture
def peer(this_python: Path, program: Program) -> Iterator[Peer]:
    network = this_python / "network.npz"
    write_plain(network, twin(program), bernoulli((3, STEPS, 2312), 0.02))
    with Peer("snntorch", network) as started:
        yield started


def test_a_peer_is_timed_and_its_spikes_are_compared(peer: Peer, program: Program) -> None:
    events = bernoulli((3, STEPS, 2312), 0.02)
    ours, floats = reference.run(program, events), reference.run(twin(program), events)
    found = peer.agreement(2, ours, floats)
    assert min(found.with_twin.values()) >= SAME
    assert 0.9 < found.with_ours["n1"] < 1
    assert found.spikes["n1"] == int(floats["n1"].spikes[:2].sum())
    op = program.neurons["n1"]
    assert op.fire is not None
    higher = replace(op, fire=replace(op.fire, threshold=_threshold(op) + 400))
    other = reference.run(twin(program.with_ops({"n1": higher})), events)
    assert peer.agreement(2, ours, other).with_twin["n1"] < 0.95
    assert peer.rate(2, 1, 0.01) > 0
    assert peer.best_batch((2, 3), 1, 0.01) in (1, 2, 3)


def test_what_goes_wrong_in_a_peer_is_said(peer: Peer) -> None:
    with pytest.raises(BackendUnavailable, match="no such request: dance"):
        peer._ask(do="dance")
    peer.process.kill()
    peer.process.wait()
    with pytest.raises(BackendUnavailable, match="snnTorch: ended"):
        peer.rate(1, 1, 0.01)


def test_a_peer_that_does_not_start_says_why(this_python: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"(?s)ended.*No such file.*nothing\.npz"):
        Peer("snntorch", this_python / "nothing.npz")


def test_an_absent_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAST_PEERS_ENV", os.fspath(tmp_path))
    with pytest.raises(BackendUnavailable, match=r"Norse: .*norse is not there.*make peers"):
        Peer("norse", tmp_path / "network.npz")
