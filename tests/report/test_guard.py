"""What may be lost on validation: held, refused with the layer that costs most, or not told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small_nets
from msgspec.structs import replace as with_fields

from sast_compile.backends import reference
from sast_compile.compile import Compiled, compile_model
from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.program import Program
from sast_compile.report import guard
from sast_compile.report.guard import held_drop
from sast_compile.report.proportions import mcnemar
from sast_compile.samples import Samples, samples_of

COUNT = 300
EVENTS = (np.random.default_rng(1).random((COUNT, 20, 6)) < 0.2).astype(np.uint8)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    path = tmp_path_factory.mktemp("guard") / "net.nir"
    return compile_model(small_nets.write_graph(path), bits=2)


@pytest.fixture
def asked(net: Compiled, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Validation data whose labels are the float network's decisions; what was asked of it."""
    labels = decided(net.source.program, EVENTS)
    seen: list[tuple[Any, ...]] = []

    def samples(*arguments: Any) -> Samples:
        seen.append(arguments)
        return samples_of(net.source.program, EVENTS, "drawn", labels)

    monkeypatch.setattr(guard, "samples_for", samples)
    return seen


def decided(program: Program, x: np.ndarray) -> np.ndarray:
    return np.asarray(reference.run(program, x)["lif2"].spikes.sum(axis=1).argmax(axis=1))


def half_float(net: Compiled, layer: str, feeder: str) -> Program:
    """The integers, but for the floats of one layer and of the projection into it."""
    assert net.artifact is not None
    program, floats = net.artifact.program, net.source.program
    key = floats.by_name[feeder].op.weight.name  # type: ignore[union-attr]
    population = with_fields(floats.neurons[layer], start=program.neurons[layer].start)
    return program.with_ops(
        {layer: population, feeder: floats.by_name[feeder].op}, {key: floats.consts[key]}
    )


def lost(net: Compiled) -> float:
    """How many points the integers lose, counted here."""
    assert net.artifact is not None
    same = decided(net.artifact.program, EVENTS) == decided(net.source.program, EVENTS)
    return 100 * float(np.mean(~same))


def test_what_is_allowed_is_held_and_said(net: Compiled, asked: list[tuple[Any, ...]]) -> None:
    drop = held_drop(net, 99)
    assert drop.points == pytest.approx(lost(net))
    assert drop.points > 2
    assert drop.before.right == COUNT
    assert drop.after.right == COUNT - drop.change.lost
    assert drop.change.p == mcnemar(drop.change.lost, 0)
    assert f"{drop.points:.2f} points lost" in str(drop)
    assert f"n = {COUNT}" in str(drop)
    assert asked == [(*asked[0][:4], "validation")]  # never the test split
    assert asked[0][3] is None  # all of it


def test_exactly_what_is_allowed_is_held(net: Compiled, asked: list[tuple[Any, ...]]) -> None:
    points = held_drop(net, 99).points
    assert held_drop(net, points).held
    with pytest.raises(CompileError):
        held_drop(net, np.nextafter(points, 0))


def test_a_refusal_names_the_layer_that_costs_most(
    net: Compiled, asked: list[tuple[Any, ...]]
) -> None:
    """Here by hand, with the floats of one layer in the integers' place."""
    with pytest.raises(CompileError) as caught:
        held_drop(net, 0.5)
    wanted = decided(net.source.program, EVENTS)
    regained = {
        name: int((decided(half_float(net, name, feeder), EVENTS) == wanted).sum())
        for name, feeder in (("lif1", "fc1"), ("lif2", "fc2"))
    }
    worst = max(regained, key=lambda name: regained[name])
    assert len(set(regained.values())) == 2
    assert caught.value.where == worst
    assert f"{worst} costs most" in caught.value.what
    assert f"{lost(net):.2f} points lost" in caught.value.what
    assert "0.5 allowed" in caught.value.what
    assert caught.value.hint is not None
    assert f"--bits 3 or more, for {worst} above all" in caught.value.hint


def test_at_the_chips_widest_weights_more_bits_are_no_way_out(
    net: Compiled, asked: list[tuple[Any, ...]]
) -> None:
    assert net.artifact is not None
    widest = replace(net.artifact, provenance=with_fields(net.artifact.provenance, bits=8))
    with pytest.raises(CompileError) as caught:
        held_drop(replace(net, artifact=widest), 0.5)
    assert caught.value.hint is not None
    assert "--bits" not in caught.value.hint
    assert "train with the chip's rounding" in caught.value.hint


def test_a_layer_that_regains_nothing_is_not_blamed(
    net: Compiled, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "fine", lambda floats, integers, layers: integers)
    with pytest.raises(CompileError, match="no layer alone would regain any of it") as caught:
        held_drop(net, 0.5)
    assert caught.value.where is None


def test_where_no_layer_can_be_finer_the_loss_is_still_refused(
    net: Compiled, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise Unsupported("this leak has no finer one")

    monkeypatch.setattr(guard, "fine", refuse)
    with pytest.raises(CompileError, match="points lost"):
        held_drop(net, 0.5)


@pytest.mark.parametrize(("allowed", "tells"), [(0.5, False), (1.9, False), (2.1, True)])
def test_too_few_samples_are_said(
    net: Compiled, asked: list[tuple[Any, ...]], allowed: float, tells: bool
) -> None:
    """Of 300 samples six must be lost, and none gained, before it is no chance: 2 points."""
    drop = replace(held_drop(net, 99), allowed=allowed)
    assert drop.tells is tells
    assert ("tells no loss below 2 points from chance" in str(drop)) is not tells


def test_without_labelled_data_nothing_is_guarded(net: Compiled) -> None:
    with pytest.raises(CompileError, match="--max-drop needs labelled data, and there are 16 ran"):
        held_drop(net, 1)


def test_what_cannot_be_guarded(net: Compiled) -> None:
    with pytest.raises(CompileError, match="needs all passes"):
        held_drop(replace(net, artifact=None), 1)
    with pytest.raises(CompileError, match="holds integers"):
        held_drop(replace(net, source=replace(net.source, graph=None)), 1)


def test_the_same_as_plain_data(net: Compiled, asked: list[tuple[Any, ...]]) -> None:
    drop = held_drop(net, 99)
    found = drop.document()
    assert set(found) == {"origin", "before", "after", "change", "points", "allowed", "tells"}
    assert found["after"]["right"] == drop.after.right
    assert set(found["change"]) == {"n", "lost", "gained", "low", "high", "p"}
