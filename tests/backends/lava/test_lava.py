"""Lava computes what the reference interpreter defines: spikes, u and v, every layer and step."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lava_equality import Case, assert_equal_on_lava, differences
from loihi_programs import LoihiLayer, chain, loihi_neuron, random_chain

from sast_compile.backends import reference
from sast_compile.backends.lava import lava_status, run, run_many
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Dense, Flatten, Input
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(lava_status().python is None, reason=f"NO LAVA: {lava_status()}"),
]


@pytest.mark.parametrize("block", range(4))
def test_random_programs(block: int) -> None:
    seeds = range(block * 12, block * 12 + 12)
    cases = [random_chain(s, recurrent=s % 4 == 3, input_bits=(1, 1, 4)[s % 3]) for s in seeds]
    tallies = assert_equal_on_lava(cases)
    assert all(tally.spikes > 0 for case in tallies for tally in case.values())


ONES = np.ones((1, 3, 2), int)


def test_every_weight_width_sign_mode_and_exponent() -> None:
    """The extremes of each grid, and every exponent: truncation changes nothing that we emit."""
    cases = []
    for bits, signed in product(range(1, 9), (True, False)):
        element = Int(bits, signed)
        weights = np.array([[element.low, element.high], [element.high, element.high], [0, 1]])
        weights = np.clip(weights, element.low, element.high)
        step = (9 if signed else 8) - bits
        layer = LoihiLayer(
            weights, bits=bits, signed=signed, exponent=step + (bits + 3 * signed) % 8, dv=99, vth=9
        )
        cases.append((chain(f"w{bits}{signed}", [layer]), ONES))
    tallies = assert_equal_on_lava(cases)
    assert sum(t.spikes for case in tallies for t in case.values()) > 50


def one(weight: int, events: Sequence[int], **registers: Any) -> Case:
    """A single neuron behind one 8-bit synapse, driven by the spikes or values ``events``."""
    layer = replace(LoihiLayer(np.array([[weight]])), **registers)
    bits = max(events).bit_length()
    return chain("one", [layer], input_bits=bits), np.array(events)[None, :, None]


def test_the_corners_of_the_neuron() -> None:
    steps = 40
    silent, always = [0] * (steps - 1) + [1], [1] * steps
    cases = {
        # v climbs by 2 a step to the threshold, 20: a tie and no spike; the next step fires
        "tie": one(1, always, exponent=1, vth=20),
        "bias_down": one(1, silent, vth=131071, bias=-4096, bias_exponent=7),
        "bias_up": one(1, silent, vth=2, bias=4095, bias_exponent=0),
        "negative": one(-127, always, exponent=1, dv=1234, vth=131071, bias=-1),
        "synaptic": one(3, [1, 0, 0, 0] * (steps // 4), exponent=3, du=300, dv=40, vth=3),
        "slow": one(100, [1, 0] * (steps // 2), exponent=1, du=0, vth=40000),
        "forgets": one(127, [1] + [0] * (steps - 1), exponent=8, dv=4095, vth=131071),
        "top": one(127, always, exponent=8, vth=131071),
        "bottom": one(-128, always, exponent=8, vth=131071),
        "wraps_up": one(127, [7] * steps, exponent=7, du=0, dv=4095, vth=131071),
        "wraps_down": one(-128, [7] * steps, exponent=7, du=1, dv=0, vth=131071),
        "lowest_threshold": one(1, always, exponent=1, vth=1),
    }
    tallies = assert_equal_on_lava(list(cases.values()))
    seen = dict(zip(cases, [t["s1"] for t in tallies], strict=True))
    assert seen["tie"].ties == seen["tie"].spikes == 3
    assert seen["negative"].negatives == seen["bias_down"].negatives == steps
    assert seen["bias_up"].spikes == seen["lowest_threshold"].spikes == steps
    assert seen["synaptic"].spikes > 0
    assert seen["slow"].spikes > 0
    assert seen["top"].clamped["v"] > 0
    assert seen["top"].spikes > 0
    assert seen["bottom"].clamped["v"] > 0
    assert seen["wraps_up"].clamped["u"] > 0
    assert seen["wraps_down"].clamped["u"] > 0


@pytest.mark.parametrize("recurrent", [False, True])
def test_samples_behind_one_another_are_as_alone(recurrent: bool) -> None:
    """The staggered windows: no sample feels the one before, not even through a loop."""
    program, events = random_chain(7, steps=5, samples=4, recurrent=recurrent)
    together = run(program, events).trace
    alone = run_many([(program, events[i : i + 1]) for i in range(4)]).traces
    for name, layer in together.layers.items():
        assert layer.spikes.any()
        for index, single in enumerate(alone):
            np.testing.assert_array_equal(layer.spikes[index], single[name].spikes[0])
            np.testing.assert_array_equal(layer.states["u"][index], single[name].states["u"][0])
            np.testing.assert_array_equal(layer.states["v"][index], single[name].states["v"][0])
    assert_equal_on_lava([(program, events)])


def test_few_and_different_steps() -> None:
    """Samples shorter than the network is deep, down to one step; in one call, several graphs."""
    program, events = random_chain(10, steps=12, samples=3)
    assert len(program.neurons) == 3
    looped, others = random_chain(11, steps=12, samples=4, recurrent=True)
    cases = [
        (p, e[:, :steps]) for p, e in [(program, events), (looped, others)] for steps in (1, 2, 3)
    ]
    tallies = assert_equal_on_lava(cases)
    assert sum(t.spikes for case in tallies for t in case.values()) > 0


def two_inputs() -> Case:
    """x (2, 3) flattened and graded y into one population, and x into a second one."""
    rng = np.random.default_rng(5)

    def weights(outputs: int, inputs: int) -> Const:
        return Const(
            TensorType((outputs, inputs), Int(8)), rng.integers(-128, 128, (outputs, inputs))
        )

    consts = {"wx": weights(5, 6), "wy": weights(5, 2), "wz": weights(4, 5), "wq": weights(4, 6)}
    nodes = (
        Node("x", Input(shape=(2, 3))),
        Node("y", Input(shape=(2,), bits=5, signed=True)),
        Node("flat", Flatten(), (Edge("x"),)),
        Node("ax", Dense(weight=Ref("wx"), exponent=2), (Edge("flat", 1),)),
        Node("ay", Dense(weight=Ref("wy"), exponent=2), (Edge("y"),)),
        Node("a", Add(), (Edge("ax"), Edge("ay", 1))),
        Node("s", loihi_neuron(5, vth=150, dv=100), (Edge("a"),)),
        Node("aq", Dense(weight=Ref("wq"), exponent=1), (Edge("flat", 1),)),
        Node("q", loihi_neuron(4, vth=90), (Edge("aq"),)),
        Node("az", Dense(weight=Ref("wz"), exponent=4), (Edge("s", 1),)),
        Node("z", loihi_neuron(4, start=2, vth=200), (Edge("az"),)),
    )
    program = check(Program("two_inputs", nodes, ("z", "q"), consts))
    events = {
        "x": rng.integers(0, 2, (3, 20, 2, 3)),
        "y": rng.integers(-16, 16, (3, 20, 2)),
    }
    return program, events


def test_several_inputs_meet_graded_values_and_a_flatten() -> None:
    (tallies,) = assert_equal_on_lava([two_inputs()])
    assert all(tally.spikes > 0 for tally in tallies.values())


@pytest.mark.parametrize("record", ["outputs", "spikes", "states"])
def test_record_says_what_is_kept(record: reference.Record) -> None:
    program, events = two_inputs()
    found, expected = run(program, events, record).trace, reference.run(program, events, record)
    assert set(found.layers) == set(expected.layers)
    for name, layer in expected.layers.items():
        np.testing.assert_array_equal(found[name].spikes, layer.spikes)
        assert set(found[name].states) == set(layer.states)


def test_one_weight_one_grid_step_off_is_found() -> None:
    """The negative control, in every layer: an equality that cannot fail proves nothing."""
    program, events = random_chain(2)
    expected = reference.run(program, events, "states")
    mutants = {f"s{k}": _one_step_off(program, f"w{k}") for k in range(1, len(program.neurons) + 1)}
    traces = run_many([(mutant, events) for mutant in mutants.values()]).traces
    for (layer, _), trace in zip(mutants.items(), traces, strict=True):
        found = differences(trace, expected)
        assert found[layer] > 0
        assert next(name for name, count in found.items() if count) == layer


def _one_step_off(program: Program, weight: str) -> Program:
    const = program.consts[weight]
    data = const.data.astype(int)
    data[:, 0] += np.where(data[:, 0] < const.type.element.high, 1, -1)  # type: ignore[union-attr]
    return replace(program, consts={**program.consts, weight: Const(const.type, data)})


def test_in_process_and_out_of_process_are_the_same() -> None:
    """In Lava's own Python `run` needs no other process."""
    python = lava_status().python or Path(sys.executable)
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from loihi_programs import random_chain\n"
        "from sast_compile.backends.lava.environment import lava_is_here\n"
        "from sast_compile.backends.lava import run\n"
        "trace = run(*random_chain(3)).trace\n"
        "print(lava_is_here(), sum(int(n.spikes.sum()) for n in trace.layers.values()))\n"
        "print(sum(int(n.states['v'].sum()) for n in trace.layers.values()))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [str(python), "-I", "-c", script, str(root), str(root / "tests")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    layers = run(*random_chain(3)).trace.layers.values()
    here, spikes, voltages = done.stdout.split()
    assert here == "True"
    assert int(spikes) == sum(int(layer.spikes.sum()) for layer in layers) > 0
    assert int(voltages) == sum(int(layer.states["v"].sum()) for layer in layers)
