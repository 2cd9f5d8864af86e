"""Bits by layer chosen on validation, where it is known by hand which layer can be narrow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import small_nets

from sast_compile.backends import reference
from sast_compile.compile import Compiled, compile_model
from sast_compile.errors import CompileError
from sast_compile.ir.program import Program
from sast_compile.report import guard
from sast_compile.report.mixed import mixed
from sast_compile.samples import Samples, samples_of
from sast_compile.target import load_target

COUNT = 200
EVENTS = (np.random.default_rng(1).random((COUNT, 20, 6)) < 0.2).astype(np.uint8)
GRID = np.random.default_rng(7).integers(-1, 2, (5, 6)) / 2  # is exact at 2 bits
LOIHI2 = load_target("loihi2")


class Net:
    """A net whose first layer loses nothing at 2 bits; labels are what its floats decide."""

    def __init__(self, path: Path) -> None:
        layers = small_nets.graph(small_nets.contract(), fc1=nir.Linear(GRID))
        self.path = small_nets.write_graph(path, layers)
        self.asked: list[tuple[Any, ...]] = []
        self.floats = decided(compile_model(self.path).source.program)

    def __call__(self, bits: int, bits_of: Mapping[str, int]) -> Compiled:
        return compile_model(self.path, bits=bits, bits_of=bits_of)

    def lost(self, bits_of: Mapping[str, int]) -> float:
        """Points, counted here by the interpreter."""
        artifact = self(8, bits_of).artifact
        assert artifact is not None
        return 100 * float(np.mean(decided(artifact.program) != self.floats))


def decided(program: Program) -> np.ndarray:
    return np.asarray(reference.run(program, EVENTS)["lif2"].spikes.sum(axis=1).argmax(axis=1))


def size(bits_of: Mapping[str, int]) -> int:
    """Bytes of 5 x 6 and 3 x 5 weights."""
    return math.ceil(30 * bits_of["lif1"] / 8) + math.ceil(15 * bits_of["lif2"] / 8)


@pytest.fixture(scope="module")
def module_net(tmp_path_factory: pytest.TempPathFactory) -> Net:
    return Net(tmp_path_factory.mktemp("mixed") / "net.nir")


@pytest.fixture
def net(module_net: Net, monkeypatch: pytest.MonkeyPatch) -> Net:
    def samples(*arguments: Any) -> Samples:
        module_net.asked.append(arguments)
        return samples_of(arguments[0], EVENTS, "drawn", module_net.floats)

    monkeypatch.setattr(guard, "samples_for", samples)
    return module_net


def test_the_layer_that_loses_nothing_is_narrow(net: Net) -> None:
    """And the other has the fewest bits that hold, found here by trying all."""
    lost = {bits: net.lost({"lif1": 2, "lif2": bits}) for bits in range(2, 9)}
    allowed = 1.5
    assert lost[8] <= allowed < lost[2]
    fewest = min(bits for bits, points in lost.items() if points <= allowed)
    found = mixed(net, LOIHI2, None, allowed)
    assert found.chosen.bits_of == {"lif1": 2, "lif2": fewest}
    assert found.chosen.points == pytest.approx(lost[fewest])
    assert found.chosen in found.front
    assert {asked[4] for asked in net.asked} == {"validation"}  # never the test split
    assert {asked[3] for asked in net.asked} == {None}  # all of it


@pytest.mark.parametrize("room", [12, 19, 23, 45])
def test_the_budget_is_kept_to_the_byte(net: Net, room: int) -> None:
    """8 + 15 bytes are a first layer at 2 bits and a second at 8: no loss but that of 8 bits."""
    found = mixed(net, LOIHI2, room, None)
    chosen = found.chosen
    assert chosen.size == size(chosen.bits_of) <= room
    for point in found.front:
        assert point.size == size(point.bits_of)
        assert point.points == pytest.approx(net.lost(point.bits_of))
        if point.size <= room:
            assert chosen.worth <= point.worth
    if room >= 23:
        assert chosen.points <= net.lost({"lif1": 2, "lif2": 8})


@pytest.mark.slow
def test_no_point_of_the_front_beats_another(net: Net) -> None:
    front = mixed(net, LOIHI2, 45, None).front
    assert len(front) > 3
    for a in front:
        for b in front:
            better = a.size < b.size or a.points < b.points or a.agreement > b.agreement
            assert a is b or better


@pytest.mark.slow
def test_each_layer_alone(net: Net) -> None:
    found = mixed(net, LOIHI2, 45, None)
    assert [(one.layer, one.bits) for one in found.alone] == [
        (layer, bits) for layer in ("lif1", "lif2") for bits in range(8, 1, -1)
    ]
    for one in found.alone:
        bits_of = {"lif1": 8, "lif2": 8} | {one.layer: one.bits}
        assert one.point.bits_of == bits_of
        assert one.saved == size({"lif1": 8, "lif2": 8}) - size(bits_of)
        assert one.point.points == pytest.approx(net.lost(bits_of))
    agreements = {one.point.agreement for one in found.alone if one.layer == "lif1"}
    assert len(agreements) == 1  # exact at every width
    second = [one.point for one in found.alone if one.layer == "lif2"]
    assert second[0].agreement > second[-1].agreement


@pytest.mark.slow
def test_the_same_every_time(net: Net) -> None:
    assert mixed(net, LOIHI2, 30, 2.0) == mixed(net, LOIHI2, 30, 2.0)


@pytest.mark.parametrize(
    ("budget", "max_drop", "message"),
    [
        (None, None, "--bits auto needs --budget, --max-drop, or both"),
        (11, None, "take 12 bytes at 2 bits, more than the 11 asked; hint: --budget 12 or more"),
        (12, 0.1, "nothing measured within 12 bytes loses at most 0.1 points: least "),
    ],
)
@pytest.mark.slow
def test_refusals(net: Net, budget: int | None, max_drop: float | None, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        mixed(net, LOIHI2, budget, max_drop)


def test_what_cannot_be_measured(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(bits: int, bits_of: Mapping[str, int]) -> Compiled:
        return replace(net(bits, bits_of), artifact=None)

    with pytest.raises(CompileError, match="--bits auto needs all passes"):
        mixed(stopped, LOIHI2, 45, None)
    monkeypatch.undo()
    with pytest.raises(CompileError, match="--bits auto needs labelled data"):
        mixed(net, LOIHI2, 45, None)
