"""The drift of a network against loops over every value, for every size of chunk."""

from __future__ import annotations

import gc
import json
import math
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_nets

from sast_compile.backends import reference
from sast_compile.compile import Compiled, compile_model
from sast_compile.data.stored import in_memory
from sast_compile.errors import CompileError
from sast_compile.ir.types import scale_column
from sast_compile.report.drift.document import document
from sast_compile.report.drift.layers import (
    NEAR,
    SATURATED,
    LayerDrift,
    Moments,
    layer_drift,
    moments,
)
from sast_compile.report.drift.measure import HARD, INTEGERS, SURROGATE, Drift, drift, sqnr
from sast_compile.report.drift.picture import in_words, picture, write_pictures
from sast_compile.report.drift.programs import as_compared
from sast_compile.samples import Samples, samples_of
from sast_compile.trace import Layer

STEPS = 15


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    path = tmp_path_factory.mktemp("drift") / "net.nir"
    return compile_model(small_nets.write_graph(path), bits=3)


def drawn(compiled: Compiled, count: int = 40, labels: bool = True) -> Samples:
    rng = np.random.default_rng(3)
    x = (rng.random((count, STEPS, 6)) < 0.2).astype(np.uint8)
    return samples_of(
        compiled.source.program, x, "drawn", rng.integers(0, 3, count) if labels else None
    )


def measured(compiled: Compiled, samples: Samples, most: int | None = None) -> Drift:
    assert compiled.artifact is not None
    return drift(compiled.source, compiled.artifact, samples, most)


# one layer


def layers(seed: int = 0) -> tuple[Layer, Layer, np.ndarray]:
    """Two records of 5 samples, 7 steps, (2, 3) neurons: v as compared with 2.0, spikes by it."""
    rng = np.random.default_rng(seed)
    v = rng.normal(1.6, 0.5, (5, 7, 2, 3))
    whole = np.rint((v + rng.normal(0.02, 0.2, v.shape)) / 0.25).astype(np.int32)
    v[:, :, 0, 0], whole[:, :, 0, 0] = 0, 0  # silent in both
    v[:, :, 0, 1], whole[:, :, 0, 1] = 9, 8  # silent in the integers only
    whole[:, :, 1, 2] = 99  # saturated in the integers only
    before = Layer((v >= 2).astype(np.uint8), {"v": v})
    after = Layer((whole * 0.25 >= 2.1).astype(np.uint8), {"v": whole})
    return before, after, whole


def by_loops(before: Layer, after: Layer, whole: np.ndarray) -> dict[str, Any]:
    """Value by value, in plain Python."""
    found: dict[str, Any] = {"all": [], "agreed": [], "near": [], "flips": []}
    samples, steps, *shape = before.spikes.shape
    for sample in range(samples):
        for neuron in np.ndindex(*shape):
            flipped = False
            for step in range(steps):
                at = (sample, step, *neuron)
                v = before.states["v"][at] / 2.0
                error = whole[at] * 0.25 / 2.0 - v
                found["all"].append(error)
                if not flipped:
                    found["agreed"].append(error)
                    if abs(v - 1) <= NEAR:
                        found["near"].append(error)
                if before.spikes[at] != after.spikes[at]:
                    flipped = True
                    found["flips"].append((step, sample, neuron))
    return found


def one(seed: int = 0) -> tuple[LayerDrift, dict[str, Any]]:
    before, after, whole = layers(seed)
    step, height = np.asarray(0.25), np.asarray(2.0)
    return layer_drift("n", before, after, step, height), by_loops(before, after, whole)


def test_a_layer_against_loops() -> None:
    found, wanted = one()
    for name in ("all", "agreed", "near"):
        got, values = getattr(found.membrane, name), wanted[name]
        assert got.n == len(values) > 5
        assert got.mean == pytest.approx(np.mean(values))
        assert got.deviation == pytest.approx(np.std(values))
    assert 5 < len(wanted["agreed"]) < len(wanted["all"])
    flips = found.flips
    assert flips is not None
    assert flips.lost + flips.added == len(wanted["flips"])
    before, after, _ = layers()
    assert flips.lost == int(((before.spikes == 1) & (after.spikes == 0)).sum())
    assert flips.samples == len({sample for _, sample, _ in wanted["flips"]})
    assert flips.first is not None
    first = (flips.first.step, flips.first.sample, flips.first.neuron)
    assert first == min(wanted["flips"])
    counts = [sum(step == t for step, _, _ in wanted["flips"]) for t in range(7)]
    assert flips.by_step.tolist() == counts
    assert flips.kept.matched == int((before.spikes & after.spikes).sum())
    assert flips.kept.union == int((before.spikes | after.spikes).sum())


def test_silent_and_saturated_neurons() -> None:
    found, _ = one()
    flips = found.flips
    assert flips is not None
    assert found.silent(flips.before).tolist() == [[True, False, False], [False] * 3]
    assert found.silent(flips.after).tolist() == [[True, True, False], [False] * 3]
    assert found.saturated(flips.before).tolist() == [[False, True, False], [False] * 3]
    assert found.saturated(flips.after).tolist() == [[False] * 3, [False, False, True]]
    in_twenty = replace(found, slots=20).saturated(np.array([18, 19]))
    assert in_twenty.tolist() == [False, SATURATED * 20 <= 19]
    assert found.rate(flips.after) == flips.after.sum() / (5 * 7 * 6)


def test_two_sets_of_samples_are_one() -> None:
    before, after, _ = layers()
    step, height = np.asarray(0.25), np.asarray(2.0)

    def cut(layer: Layer, span: slice) -> Layer:
        return Layer(layer.spikes[span], {"v": layer.states["v"][span]})

    whole = layer_drift("n", before, after, step, height)
    spans = [slice(0, 2), slice(2, 5)]
    parts = [layer_drift("n", cut(before, s), cut(after, s), step, height, s.start) for s in spans]
    assert_same_layer(parts[0] + parts[1], whole)
    reversed_ = parts[1] + parts[0]  # the first flip is by step and sample, not by order
    assert reversed_.flips is not None
    assert whole.flips is not None
    assert reversed_.flips.first == whole.flips.first


def assert_same_layer(a: LayerDrift, b: LayerDrift) -> None:
    assert (a.layer, a.slots) == (b.layer, b.slots)
    for name in ("all", "agreed", "near"):
        one_, other = getattr(a.membrane, name), getattr(b.membrane, name)
        assert one_.n == other.n
        assert (one_.mean, one_.squares) == pytest.approx((other.mean, other.squares))
    assert np.array_equal(a.membrane.bins, b.membrane.bins)
    assert a.flips is not None
    assert b.flips is not None
    for name in ("kept", "lost", "added", "samples", "first"):
        assert getattr(a.flips, name) == getattr(b.flips, name), name
    for name in ("before", "after", "by_step"):
        assert np.array_equal(getattr(a.flips, name), getattr(b.flips, name)), name


def test_a_layer_that_never_fires_is_measured_in_model_units() -> None:
    v = np.arange(6.0).reshape(1, 3, 2)
    found = layer_drift("n", Layer(v, {"v": v}), Layer(v, {"v": v + 1}), np.asarray(2.0), None)
    assert found.flips is None
    assert found.membrane.all == moments(2 * (v + 1) - v)
    assert found.membrane.near == Moments()
    assert math.isnan(found.membrane.near.deviation)
    assert in_words(found).endswith("in model units")


# a network


def test_a_network_against_its_two_runs(net: Compiled) -> None:
    samples = drawn(net)
    found = measured(net, samples)
    assert net.artifact is not None
    program, x = net.artifact.program, samples.events
    hard = reference.run(net.source.program, x, "states")
    chip = reference.run(as_compared(program), x, "states")
    for layer in found.layers:
        scale = program.neurons[layer.layer].voltage_scale(
            program.types[program.by_name[layer.layer].inputs[0].node]
        )
        error = chip[layer.layer].states["v"] * scale - hard[layer.layer].states["v"]
        assert layer.membrane.all.mean == pytest.approx(error.mean())
        assert layer.membrane.all.deviation == pytest.approx(error.std())
        assert layer.flips is not None
        assert layer.flips.lost + layer.flips.added > 0
    right = {
        name: trace["lif2"].spikes.sum(axis=1).argmax(axis=1) == samples.labels
        for name, trace in ((HARD, hard), (INTEGERS, chip))
    }
    for name, which in right.items():
        share = found.share(found.models[name])
        assert share is not None
        assert (share.right, share.n) == (int(which.sum()), 40)
    change = found.change(found.models[INTEGERS])
    assert change is not None
    assert change.lost == int((right[HARD] & ~right[INTEGERS]).sum())
    assert change.gained == int((~right[HARD] & right[INTEGERS]).sum())
    decided = [t["lif2"].spikes.sum(axis=1).argmax(axis=1) for t in (hard, chip)]
    assert found.flipped(found.models[INTEGERS]) == int((decided[0] != decided[1]).sum()) > 0
    assert SURROGATE not in found.models  # a .nir has no smooth spikes


def test_the_operations_before_and_after(net: Compiled) -> None:
    samples = drawn(net)
    found = measured(net, samples)
    assert net.artifact is not None
    for program, made in ((net.source.program, found.before), (net.artifact.program, found.after)):
        sent = {"fc1": samples.events, "fc2": reference.run(program, samples.events)["lif1"].spikes}
        counts = {}
        for name, spikes in sent.items():
            op = program.by_name[name].op
            stands = program.consts[op.weight.name].data != 0  # type: ignore[union-attr]
            counts[name] = int((spikes.astype(int) @ stands.T).sum())
        assert (made.input, made.hidden) == (counts["fc1"], counts["fc2"])


def test_the_noise_of_the_weights(net: Compiled) -> None:
    assert net.artifact is not None
    program = net.artifact.program
    const = program.consts[program.by_name["fc1"].op.weight.name]  # type: ignore[union-attr]
    wanted = small_nets.weights(5, 6) * 1.0
    noise = wanted - const.data * scale_column(const.type)
    db = 10 * np.log10((wanted**2).sum() / (noise**2).sum())
    assert sqnr(net.source.program, program, "lif1") == pytest.approx(db)
    assert sqnr(net.source.program, net.source.program, "lif1") == math.inf


@pytest.mark.parametrize("size", [1, 7, 40])
def test_the_size_of_a_chunk_changes_nothing(
    net: Compiled, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sast_compile.report.drift import measure

    samples = drawn(net)
    whole = measured(net, samples)
    told: list[int] = []
    monkeypatch.setattr(measure, "chunk_size", lambda *_: size)
    assert net.artifact is not None
    found = drift(net.source, net.artifact, samples, None, told.append)
    assert told == [min(size, 40 - at) for at in range(0, 40, size)]
    for a, b in zip(found.layers, whole.layers, strict=True):
        assert_same_layer(a, b)
    assert (found.before, found.after) == (whole.before, whole.after)
    for name, model in whole.models.items():
        assert np.array_equal(found.models[name].decisions, model.decisions)
        assert found.models[name].kept == model.kept


@pytest.mark.slow
def test_what_a_chunk_takes_is_within_the_estimate(net: Compiled) -> None:
    from sast_compile.report.drift.measure import _sample_bytes

    assert net.artifact is not None
    program = net.artifact.program
    long = (np.random.default_rng(0).random((40, 2000, 6)) < 0.2).astype(np.uint8)
    samples = samples_of(net.source.program, long, "long")
    measured(net, samples)
    gc.collect()
    tracemalloc.start()
    measured(net, samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 40 * _sample_bytes(net.source.program, program, samples) <= 6 * peak


def test_a_bound_below_one_sample_is_refused(net: Compiled) -> None:
    with pytest.raises(CompileError, match=r"one sample takes .*; 10 bytes are allowed"):
        measured(net, drawn(net), 10)


def test_a_network_of_integers_has_no_float_network(net: Compiled) -> None:
    bare = replace(net.source, graph=None)
    with pytest.raises(CompileError, match="no float model"):
        measured(replace(net, source=bare), drawn(net))


def test_without_labels_only_accuracies_are_missing(net: Compiled) -> None:
    found = document(measured(net, drawn(net, labels=False)))
    assert found["levels"][INTEGERS]["accuracy"] is None
    assert found["levels"][INTEGERS]["against_hard"] is None
    assert found["levels"][INTEGERS]["decisions_flipped"] > 0


# what is said of it

KEYS = {
    "": {"format", "origin", "samples", "steps", "levels", "costs", "fine_in", "unmeasured",
         "layers", "synops"},
    "levels": {"surrogate", "hard", "integers"},
    "levels.integers": {"accuracy", "against_hard", "decisions_flipped", "spikes_kept", "layers"},
    "levels.integers.accuracy": {"right", "n", "value", "low", "high"},
    "levels.integers.against_hard": {"n", "lost", "gained", "value", "low", "high", "p"},
    "levels.integers.spikes_kept": {"matched", "union", "share"},
    "levels.integers.layers": {"lif1", "lif2"},
    "costs": {"weights", "leaks", "thresholds", "states"},
    "fine_in": {"lif1", "lif2"},
    "layers.0": {"layer", "weight_sqnr_db", "membrane", "spikes"},
    "layers.0.membrane": {"unit", "all", "agreed", "near"},
    "layers.0.membrane.all": {"n", "mean", "deviation"},
    "layers.0.spikes": {"neurons", "before", "after", "rate_before", "rate_after",
                        "rate_difference", "matched", "union", "share", "lost", "added",
                        "samples_with_flips", "first", "flips_by_step", "silent", "saturated"},
    "layers.0.spikes.first": {"step", "sample", "neuron", "before", "after"},
    "layers.0.spikes.silent": {"before", "after", "new"},
    "synops.before": {"input", "hidden"},
}  # fmt: skip


def test_the_keys_of_the_document(net: Compiled) -> None:
    found = json.loads(json.dumps(document(measured(net, drawn(net))), allow_nan=False))
    assert found["format"] == "sast-drift/1"
    for path, keys in KEYS.items():
        at = found
        for key in filter(None, path.split(".")):
            at = at[int(key)] if key.isdigit() else at[key]
        assert set(at) == keys, path
    assert found["levels"]["surrogate"] is None
    assert found["levels"]["hard"]["against_hard"] is None
    assert found["layers"][0]["spikes"]["rate_difference"] == pytest.approx(
        found["layers"][0]["spikes"]["rate_after"] - found["layers"][0]["spikes"]["rate_before"]
    )


def test_neurons_that_fell_silent_in_the_document(net: Compiled) -> None:
    layer, _ = one()
    (found,) = document(replace(measured(net, drawn(net)), layers=(layer,), sqnr={"n": math.inf}))[
        "layers"
    ]
    assert found["weight_sqnr_db"] is None
    assert found["spikes"]["silent"] == {"before": 1, "after": 2, "new": 1}
    assert found["spikes"]["saturated"] == {"before": 1, "after": 1, "new": 1}


def test_a_picture_says_in_words_what_it_shows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    found, _ = one()
    paths = write_pictures((found,), tmp_path / "new" / "folder")
    assert paths == [str(tmp_path / "new" / "folder" / "n.png")]
    data = Path(paths[0]).read_bytes()
    assert data == picture(found)  # the same every time
    assert data.startswith(b"\x89PNG")
    assert in_words(found).encode() in data
    assert "spikes lost" in in_words(found)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileError, match="cannot be made"):
        write_pictures((), tmp_path / "file" / "below")


def test_samples_of_two_sets_are_not_mixed_up(net: Compiled) -> None:
    """The first flip's sample counts through all chunks."""
    samples = drawn(net)
    quiet = np.zeros_like(samples.events)
    quiet[33] = samples.events[33]
    alone = Samples({"input": in_memory(quiet)}, 40, samples.labels, "one of them")
    found = measured(net, alone)
    flips = found.layers[0].flips
    assert flips is not None
    assert flips.first is not None
    assert flips.first.sample == 33
    assert flips.samples == 1
