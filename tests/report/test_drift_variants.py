"""What costs what: each variant against torch, with that one thing replaced by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the oracle is a torch module: the torch extra")

from float_programs import Array, FloatLayer, events, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields
from network_sources import STEPS, compiled, grid_layers, source, with_thresholds

from sast_compile.backends import reference
from sast_compile.compile import lower
from sast_compile.errors import Unsupported
from sast_compile.frontend.source import Source
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import BitShift, Ref, Reset
from sast_compile.ir.program import Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.levels import hard_spikes
from sast_compile.passes import Options
from sast_compile.report.drift.programs import (
    as_compared,
    float_form,
    height,
    step_of_v,
    with_leaks,
)
from sast_compile.report.drift.variants import (
    factor,
    fine,
    on_multiples,
    only_states,
    only_thresholds,
    only_weights,
)
from sast_compile.target import Target, load_target

LOIHI2, PAPER = load_target("loihi2"), load_target("paper-sim")
RESETS = [("zero", "before_decay"), ("zero", "after_fire"), ("subtract", "after_fire")]


def layers_of(seed: int, x: Array, reset: tuple[str, str], bias: bool = False) -> list[FloatLayer]:
    """Two leaky layers, both of which fire on ``x``; no v lies exactly at a threshold."""
    rng = np.random.default_rng(seed)
    bare = [
        FloatLayer(
            rng.normal(0.3, 1, (outputs, inputs)),
            alpha=float(rng.uniform(0.5, 0.98)),
            bias=rng.normal(0, 0.2, outputs) if bias else 0.0,
            reset=reset[0],  # type: ignore[arg-type]
            when=reset[1],  # type: ignore[arg-type]
        )
        for inputs, outputs in pairwise((8, 9, 5))
    ]
    return with_thresholds(bare, x, [0.5, 0.5], nudge=1e-7, least=0.2)


def thresholds_only(floats: Program, integers: Program, target: Target = LOIHI2) -> Program:
    return only_thresholds(floats, integers, with_leaks(floats, target, options(8)))


def options(bits: int) -> Options:
    """One scale and one threshold for each layer: what the oracles below can be told."""
    return Options(bits, STEPS, rounding="nearest")


def made(layers: list[FloatLayer], target: Target, bits: int) -> tuple[Source, Program, Program]:
    """The source, its float form and its integers."""
    given_ = source(layers)
    integers = lower(given_.program, target, options(bits))[-1].program
    return given_, float_form(given_.program, target), integers


def spikes(program: Program, x: Array) -> dict[str, Array]:
    return {name: layer.spikes for name, layer in reference.run(program, x).layers.items()}


def assert_same(found: dict[str, Array], wanted: dict[str, Array]) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert array.any(), name
        assert np.array_equal(found[name], array), name


CASES = [(t, r, s) for t in (LOIHI2, PAPER) for r in RESETS for s in (0, 1)]
BY_CASE = pytest.mark.parametrize(
    ("target", "reset", "seed"), CASES, ids=[f"{t.name}-{'-'.join(r)}-{s}" for t, r, s in CASES]
)


@BY_CASE
def test_nothing_rounded_is_the_float_network(
    target: Target, reset: tuple[str, str], seed: int
) -> None:
    x = events((6, STEPS, 8), 0.4, seed)
    given_, floats, _ = made(layers_of(seed, x, reset, bias=True), target, 4)
    assert_same(spikes(floats, x), dict(hard_spikes(given_, x) or {}))


@BY_CASE
def test_only_the_weights(target: Target, reset: tuple[str, str], seed: int) -> None:
    x = events((6, STEPS, 8), 0.4, seed)
    layers = layers_of(seed, x, reset)
    given_, floats, integers = made(layers, target, 3)
    consts = [weights_of(integers, name) for name in ("fc1", "fc2")]
    changed = [
        replace(layer, weights=const.data * const.type.scale)
        for layer, const in zip(layers, consts, strict=True)
    ]
    wanted = dict(hard_spikes(source(changed), x) or {})
    assert_same(spikes(only_weights(floats, integers), x), wanted)
    assert not np.array_equal(wanted["lif2"], (hard_spikes(given_, x) or {})["lif2"])


@BY_CASE
def test_only_the_leaks(target: Target, reset: tuple[str, str], seed: int) -> None:
    x = events((6, STEPS, 8), 0.4, seed)
    layers = layers_of(seed, x, reset)
    _, floats, integers = made(layers, target, 8)
    bits = {"loihi2": 12, "paper-sim": 8}[target.name]
    decays = [integers.neurons[name].voltage.decay.decay for name in ("lif1", "lif2")]  # type: ignore[union-attr]
    changed = [
        replace(layer, alpha=1 - decay / 2**bits)
        for layer, decay in zip(layers, decays, strict=True)
    ]
    assert [a.alpha for a in changed] != [a.alpha for a in layers]
    wanted = dict(hard_spikes(source(changed), x) or {})
    assert_same(spikes(with_leaks(floats, target, options(8)), x), wanted)


@pytest.mark.parametrize("seed", range(4))
def test_only_the_thresholds_and_biases(seed: int) -> None:
    """Without exponents the registers of the threshold are half an 8-bit step apart."""
    x = events((300, STEPS, 8), 0.4, seed)
    layers = layers_of(seed, x, RESETS[0], bias=True)
    coarse = with_fields(LOIHI2, weights=with_fields(LOIHI2.weights, exponent_high=0))
    given_, floats, integers = made(layers, coarse, 8)
    changed = []
    for name, layer in zip(("lif1", "lif2"), layers, strict=True):
        neuron, scale = integers.neurons[name], float(step_of_v(integers, name))
        bias = integers.consts[neuron.voltage.bias.name].data  # type: ignore[union-attr]
        changed.append(
            replace(
                layer,
                threshold=neuron.fire.threshold * 64 * scale,  # type: ignore[union-attr, operator]
                bias=bias * 2.0**neuron.voltage.bias_exponent * scale,
                compare=">",
            )
        )
    wanted = dict(hard_spikes(source(changed), x) or {})
    found = spikes(thresholds_only(floats, integers), x)
    assert_same(found, wanted)
    before = hard_spikes(given_, x) or {}
    assert any(not np.array_equal(before[name], found[name]) for name in found)


def by_hand(
    layers: list[FloatLayer], program: Program, x: Array, bits: int, floor: bool
) -> dict[str, Array]:
    """Integer states of the scale of ``program``, fine parameters, in Python's own integers."""
    sent, found = x, {}
    for number, layer in enumerate(layers, 1):
        name = f"lif{number}"
        step = np.broadcast_to(step_of_v(program, name), program.neurons[name].shape)
        low, high = -(2 ** (bits - 1)) + (not floor), 2 ** (bits - 1) - 1
        weight = np.rint(np.asarray(layer.weights) / step[:, None]).astype(np.int64)
        kept = 2**24 - round((1 - float(layer.alpha)) * 2**24)  # type: ignore[arg-type]
        least = np.ceil(float(layer.threshold) / step)  # type: ignore[arg-type]
        bias = np.rint(np.asarray(layer.bias) / step).astype(np.int64)
        v = np.zeros((len(x), len(weight)), np.int64)
        out = np.zeros((*x.shape[:2], len(weight)), np.uint8)
        for t in range(x.shape[1]):
            product = v * kept
            leaked = product >> 24 if floor else np.sign(product) * (np.abs(product) >> 24)
            v = np.clip(leaked + sent[:, t].astype(np.int64) @ weight.T + bias, low, high)
            out[:, t] = v >= least
            v = np.where(out[:, t] > 0, 0, v)
        sent = found[name] = out
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("target", "bits"), [(LOIHI2, 24), (PAPER, 16)], ids=["loihi2", "paper"])
def test_only_the_states_against_loops(target: Target, bits: int, seed: int) -> None:
    x = events((6, STEPS, 8), 0.4, seed)
    layers = layers_of(seed, x, RESETS[0], bias=True)
    _, floats, integers = made(layers, target, 2)
    wanted = by_hand(layers, integers, x, bits, floor=target is PAPER)
    assert_same(spikes(only_states(floats, integers), x), wanted)


def by_rows(program: Program) -> Program:
    """The same, with weights and thresholds of the first two neurons in steps of half the size."""
    ops: dict[str, Any] = {}
    consts = {}
    for number in (1, 2):
        const, neuron = weights_of(program, f"fc{number}"), program.neurons[f"lif{number}"]
        assert neuron.fire is not None
        twice = 1 + (np.arange(len(const.data)) < 2)
        scale = tuple((const.type.scale / twice).tolist())
        type_ = TensorType(const.type.shape, Int(9), scale)
        key = program.by_name[f"fc{number}"].op.weight.name  # type: ignore[union-attr]
        consts[key] = Const(type_, const.data * twice[:, None])
        heights = neuron.fire.threshold * twice
        consts[f"h{number}"] = Const(TensorType(heights.shape, Int(24)), heights)
        fire = with_fields(neuron.fire, threshold=Ref(f"h{number}"))
        ops[f"lif{number}"] = with_fields(neuron, fire=fire)
    return check(program.with_ops(ops, consts))


@pytest.mark.parametrize("seed", range(3))
def test_scales_of_their_own_for_each_row(seed: int) -> None:
    x = events((6, STEPS, 8), 0.4, seed)
    layers = layers_of(seed, x, RESETS[0])
    _, floats, integers = made(layers, LOIHI2, 4)
    rows = by_rows(integers)
    assert_same(spikes(only_weights(floats, rows), x), spikes(only_weights(floats, integers), x))
    found = spikes(thresholds_only(floats, rows), x)
    assert_same(found, spikes(thresholds_only(floats, integers), x))
    assert_same(spikes(only_states(floats, rows), x), by_hand(layers, rows, x, 24, floor=False))
    fine_rows = only_states(floats, rows)
    for name in ("lif1", "lif2"):
        step = step_of_v(rows, name)
        assert step[1] * 2 == step[2]
        assert np.allclose(step_of_v(fine_rows, name), step, rtol=1e-12)


def test_fine_parameters_in_one_layer_leave_the_others_alone() -> None:
    x = events((6, STEPS, 8), 0.4, 1)
    _, floats, integers = made(layers_of(1, x, RESETS[0]), LOIHI2, 2)
    first, second = (fine(floats, integers, [name]) for name in ("lif1", "lif2"))
    chip, states = spikes(integers, x), spikes(only_states(floats, integers), x)
    assert np.array_equal(spikes(first, x)["lif1"], states["lif1"])
    assert np.array_equal(spikes(second, x)["lif1"], chip["lif1"])
    assert first.neurons["lif2"] == integers.neurons["lif2"]
    assert not np.array_equal(states["lif1"], chip["lif1"])


def test_on_the_chips_grid_nothing_costs_anything() -> None:
    active: list[bool] = []

    @settings(max_examples=60, deadline=None)
    @given(data=st.data(), bits=st.integers(2, 8))
    def law(data: st.DataObject, bits: int) -> None:
        bare = data.draw(grid_layers(bits))
        inputs = np.asarray(bare[0].weights).shape[1]
        x = events((3, STEPS, inputs), 0.5, data.draw(st.integers(0, 2**32 - 1)))
        given_ = source(with_thresholds(bare, x, [0.4] * len(bare)))
        floats, integers = float_form(given_.program, LOIHI2), compiled(given_, bits)
        wanted = spikes(floats, x)
        variants = {
            "weights": only_weights(floats, integers),
            "leaks": with_leaks(floats, LOIHI2, options(8)),
            "thresholds": thresholds_only(floats, integers),
            "states": only_states(floats, integers),
        }
        for kind, variant in variants.items():
            found = spikes(variant, x)
            for name, array in wanted.items():
                assert np.array_equal(found[name], array), (kind, name)
        active.append(all(array.any() for array in wanted.values()))

    law()
    assert np.mean(active) > 0.6


@BY_CASE
def test_v_is_recorded_as_it_was_compared(
    target: Target, reset: tuple[str, str], seed: int
) -> None:
    """Every recorded v of a spike passes the threshold, and no other does; no spike changes."""
    x = events((6, STEPS, 8), 0.4, seed)
    _, floats, integers = made(layers_of(seed, x, reset), target, 4)
    for program in (floats, integers):
        seen = reference.run(as_compared(program), x, "states")
        assert_same({n: layer.spikes for n, layer in seen.layers.items()}, spikes(program, x))
        for name, layer in seen.layers.items():
            fire = program.neurons[name].fire
            assert fire is not None
            high = fire.threshold * fire.unit  # type: ignore[operator]
            v = layer.states["v"]
            assert np.array_equal(v > high if fire.compare == ">" else v >= high, layer.spikes > 0)


def test_the_threshold_of_a_readout_is_none() -> None:
    x = events((2, STEPS, 8), 0.4, 0)
    _, floats, _ = made(layers_of(0, x, RESETS[0]), LOIHI2, 4)
    silent = replace_fire(floats)
    assert height(silent, "lif2") is None
    assert height(floats, "lif2") is not None


def replace_fire(program: Program) -> Program:
    op = with_fields(program.neurons["lif2"], fire=None, reset=None)
    return program.with_ops({"lif2": op})


def test_a_leak_by_shifts_has_no_finer_one() -> None:
    x = events((2, STEPS, 8), 0.4, 0)
    _, floats, integers = made(layers_of(0, x, RESETS[0]), LOIHI2, 4)
    neuron = integers.neurons["lif1"]
    voltage = with_fields(neuron.voltage, decay=BitShift(dash=3))
    shifting = integers.with_ops({"lif1": with_fields(neuron, voltage=voltage)})
    assert factor(shifting, voltage.decay) == 1 - 2**-3
    keeping = integers.with_ops(
        {"lif1": with_fields(neuron, voltage=with_fields(voltage, decay=None))}
    )
    assert fine(floats, keeping, ["lif1"]).neurons["lif1"].voltage.decay is None
    with pytest.raises(Unsupported, match="lif1: this leak has no finer one"):
        fine(floats, shifting, ["lif1"])


def test_a_tie_fires_as_on_the_chip() -> None:
    """A leaky v of exactly the threshold: the float network fires, the register's > does not."""
    x = np.ones((1, 3, 1), np.uint8)
    _, floats, integers = made([FloatLayer([[1.0]], alpha=0.5)], LOIHI2, 8)
    assert spikes(floats, x)["lif1"].ravel().tolist() == [1, 1, 1]
    assert spikes(integers, x)["lif1"].ravel().tolist() == [0, 1, 0]
    assert spikes(thresholds_only(floats, integers), x)["lif1"].ravel().tolist() == [0, 1, 0]


def test_what_makes_good_a_leak_is_no_threshold_of_the_chips() -> None:
    """Thresholds that a pass moved for a leak's sake are those of the chip's leak only."""
    x = events((6, STEPS, 8), 0.4, 1)
    _, floats, integers = made(layers_of(1, x, RESETS[0]), LOIHI2, 8)
    halved = {}
    for name, neuron in integers.neurons.items():
        assert neuron.fire is not None
        register = neuron.fire.threshold // 2 * 2  # type: ignore[operator]
        halved[name] = with_fields(neuron, fire=with_fields(neuron.fire, threshold=register // 2))
        integers = integers.with_ops(
            {name: with_fields(neuron, fire=with_fields(neuron.fire, threshold=register))}
        )
    half = {
        name: with_fields(op, fire=with_fields(op.fire, threshold=op.fire.threshold / 2))  # type: ignore[union-attr, operator, arg-type]
        for name, op in floats.neurons.items()
    }
    moved = only_thresholds(floats, integers.with_ops(halved), floats.with_ops(half))
    assert_same(spikes(moved, x), spikes(only_thresholds(floats, integers, floats), x))


def test_where_v_counts_in_multiples_the_threshold_is_what_it_was() -> None:
    """Without a leak the register stands for all thresholds between two multiples."""
    rng = np.random.default_rng(0)
    _, floats, integers = made([FloatLayer(rng.normal(0.3, 1, (9, 8)))], LOIHI2, 8)
    assert integers.neurons["lif1"].fire != floats.neurons["lif1"].fire
    kept = thresholds_only(floats, integers).neurons["lif1"].fire
    assert kept == floats.neurons["lif1"].fire


@pytest.mark.parametrize(
    ("changes", "multiples"),
    [
        ({}, True),
        ({"bias": 64}, True),
        ({"du": 2048}, False),
        ({"dv": 1}, False),
        ({"bias": 1}, False),
    ],
)
def test_when_v_counts_in_multiples(changes: dict[str, int], multiples: bool) -> None:
    neuron = loihi_neuron((3,), **({"du": 4095, "dv": 0, "threshold": 9} | changes))
    program = Program("x", (), (), {})
    assert on_multiples(program, neuron, 64) is multiples
    subtracting = Reset(kind="subtract", amount=64 if multiples else 65)
    assert on_multiples(program, with_fields(neuron, reset=subtracting), 64) is multiples
