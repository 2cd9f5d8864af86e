"""The emulator beside the interpreter: every value, state and tally of random programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, float_chain, lowered
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from program_strategies import INTEGER_FAMILIES, events, programs

pytest.importorskip("llvmlite", reason="the emulator is the fast extra: llvmlite")

from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator, missing, run
from sast_compile.backends.emulator.processor import Processor
from sast_compile.errors import Unsupported
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Dense, Flatten, Input
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.trace import Trace

OTHERS = [Processor("haswell", vector=256), Processor("x86-64")]  # no AVX-512; no AVX at all


def assert_same(found: Trace, wanted: Trace) -> None:
    assert list(found.layers) == list(wanted.layers)
    for name, layer in wanted.layers.items():
        mine = found[name]
        assert mine.spikes.dtype == layer.spikes.dtype
        np.testing.assert_array_equal(mine.spikes, layer.spikes, err_msg=name)
        assert set(mine.states) == set(layer.states)
        for state, values in layer.states.items():
            assert mine.states[state].dtype == values.dtype
            np.testing.assert_array_equal(mine.states[state], values, err_msg=f"{name} {state}")
        assert mine.tally == layer.tally


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_programs_of_every_chip(data: Any) -> None:
    program = data.draw(programs(families=INTEGER_FAMILIES))
    assume(missing(program) is None)
    batch = data.draw(events(program))
    assert_same(run(program, batch, "states"), reference.run(program, batch, "states"))


def planes(seed: int, flat: bool = False) -> tuple[Program, Mapping[str, np.ndarray]]:
    """Convolutions of any geometry, pools, a matrix behind them, and a loop."""
    rng = np.random.default_rng(seed)
    groups, stride = int(rng.choice([1, 2])), int(rng.choice([1, 2]))
    size = int(rng.choice([1, 3]))
    consts: dict[str, Const] = {}

    def weight(name: str, *shape: int) -> Ref:
        data = rng.integers(-128, 128, shape)
        consts[name] = Const(TensorType(shape, Int(8)), data)
        return Ref(name)

    bits = int(rng.choice([1, 4]))
    nodes = [Node("x", Input(shape=(4, 9, 8), bits=bits))]

    def node(name: str, op: Any, *edges: Edge) -> str:
        nodes.append(Node(name, op, edges))
        return name

    pads = (int(rng.integers(0, 2)), int(rng.integers(0, 2)))
    conv = Conv2d(weight=weight("w1", 6, 4 // groups, size, size), stride=(stride, 1),
                  padding=(pads, pads), groups=groups, exponent=1)  # fmt: skip
    shape = conv.result(consts, TensorType((4, 9, 8), Int(bits, signed=False))).shape
    node("conv", conv, Edge("x", int(rng.integers(0, 3))))
    threshold = int(rng.integers(1, 200))
    node("a", loihi_neuron(shape, du=4095, dv=300, threshold=threshold, start=1), Edge("conv", 1))
    pool = SumPool2d(kernel=(2, 2), stride=(2, 2), padding=((1, 0), (0, 0)))
    node("pool", pool, Edge("a"))
    pooled = pool.result({}, TensorType(shape, Int(1, signed=False))).shape
    second = Conv2d(weight=weight("w2", 5, 6, 2, 2), dilation=(1, 1))
    out = second.result(consts, TensorType(pooled, Int(3, signed=False))).shape
    node("conv2", second, Edge("pool", 1))
    node("b", loihi_neuron(out, du=2000, dv=0, threshold=300, start=2), Edge("conv2"))
    node("flat", Flatten(), Edge("b", 1))
    node("fc", Dense(weight=weight("w3", 40, int(np.prod(out)))), Edge("flat"))
    node("c", loihi_neuron((40,), du=4095, dv=100, threshold=50, start=3), Edge("fc"))
    program = check(Program("planes", tuple(nodes), ("c",), consts))
    events_ = {
        "x": rng.integers(0, 1 << bits, (5, 12, 4, 9, 8)) * (rng.random((5, 12, 4, 9, 8)) < 0.3)
    }
    return program, events_


@pytest.mark.parametrize("seed", range(12))
def test_convolutions_and_pools(seed: int) -> None:
    program, batch = planes(seed)
    wanted = reference.run(program, batch, "states")
    assert all(layer.spikes.any() for layer in wanted.layers.values())
    assert_same(run(program, batch, "states"), wanted)


@pytest.mark.parametrize("processor", OTHERS, ids=lambda p: p.name)
@pytest.mark.parametrize("seed", range(3))
def test_processors_without_wide_vectors(processor: Processor, seed: int) -> None:
    program, batch = planes(seed)
    emulator = Emulator(program, "states", 1, processor)
    assert_same(emulator.run(batch), reference.run(program, batch, "states"))


def wide(inputs: int = 700, outputs: int = 300) -> tuple[Program, np.ndarray]:
    """More active rows than 16 bits can add, all at the end of the grid."""
    rng = np.random.default_rng(0)
    layer = FloatLayer(rng.choice([-1.0, 1.0, 0.99], (outputs, inputs)), alpha=0.9, threshold=3.0)
    program = lowered(float_chain(layer), LOIHI2.passes, steps=10).program
    return program, (rng.random((6, 10, inputs)) < 0.9).astype(np.uint8)


@pytest.mark.parametrize("processor", [None, *OTHERS], ids=str)
def test_sums_of_more_rows_than_16_bits_hold(processor: Processor | None) -> None:
    program, x = wide()
    wanted = reference.run(program, x, "states")
    assert wanted["lif1"].spikes.any()
    assert_same(Emulator(program, "states", 1, processor).run(x), wanted)


def test_any_number_of_threads_gives_the_same() -> None:
    program, x = wide(50, 20)
    x = np.concatenate([x[:, :, :50]] * 5)
    one = Emulator(program, "states", 1).run(x)
    for threads in (2, 3, 16):
        assert_same(Emulator(program, "states", threads).run(x), one)
    assert_same(Emulator(program, "states", 2).run(x[:1]), reference.run(program, x[:1], "states"))


@pytest.mark.parametrize("record", ["outputs", "spikes"])
def test_less_may_be_recorded(record: Any) -> None:
    program, batch = planes(1)
    assert_same(run(program, batch, record), _without_tally(reference.run(program, batch, record)))


def _without_tally(trace: Trace) -> Trace:
    from dataclasses import replace

    return Trace({n: replace(layer, tally=None) for n, layer in trace.layers.items()})


def test_one_changed_weight_is_seen() -> None:
    program, batch = planes(2)
    data = program.consts["w1"].data.copy()
    data.flat[7] += 1 if data.flat[7] < 127 else -1
    consts = {"w1": Const(program.consts["w1"].type, data)}
    changed = run(program.with_ops({}, consts), batch, "states")
    with pytest.raises(AssertionError):
        assert_same(changed, reference.run(program, batch, "states"))


def test_floats_are_left_to_the_interpreter() -> None:
    program = float_chain(FloatLayer(np.eye(2)))
    with pytest.raises(Unsupported, match="computes in floats; hint: the reference interpreter"):
        run(program, np.zeros((1, 2, 2)))
