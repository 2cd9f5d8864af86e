"""Convolutions in Lava, unrolled into Sparse, against the reference interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from loihi_programs import loihi_neuron
from msgspec.structs import replace

from sast_compile.backends import reference
from sast_compile.backends.lava import lava_python, run_many
from sast_compile.compare import compare_traces
from sast_compile.errors import BackendUnavailable
from sast_compile.ir.conv import geometry
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Dense, Flatten, Input, Neuron, Op
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType

PROGRAMS, SAMPLES, STEPS = 8, 2, 12


def shaped(shape: tuple[int, ...], neuron: Neuron) -> Neuron:
    return replace(neuron, shape=shape)


def conv_program(seed: int) -> Program:
    """input -> convolution -> population -> dense -> population, on a random geometry."""
    rng = np.random.default_rng(seed)
    groups, bits = int(rng.integers(1, 3)), int(rng.choice([3, 4, 8]))
    kernel = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (2 * groups, 1, 3, 2))
    op = Conv2d(
        weight=Ref("k"),
        stride=(int(rng.integers(1, 3)), 1),
        padding=((1, 0), (int(rng.integers(0, 2)), 1)),
        dilation=(1, int(rng.integers(1, 3))),
        groups=groups,
        exponent=int(rng.integers(0, 9 - bits + 2)),
    )
    shape = geometry(op, (groups, 6, 7), kernel.shape).output
    size = int(np.prod(shape))
    dense = rng.integers(-8, 8, (4, size))
    ops: list[tuple[str, Op]] = [
        ("x", Input(shape=(groups, 6, 7))),
        ("a", op),
        ("s", shaped(shape, loihi_neuron(1, vth=2 ** (bits - 1) << op.exponent, dv=300, start=1))),
        ("flat", Flatten()),
        ("b", Dense(weight=Ref("w"), exponent=5)),
        ("t", loihi_neuron(4, vth=300, dv=200, start=2)),
    ]
    before = [name for name, _ in ops]
    nodes = [
        Node(name, op_, (Edge(before[i - 1], int(name in "ab")),) if i else ())
        for i, (name, op_) in enumerate(ops)
    ]
    consts = {
        "k": Const(TensorType(kernel.shape, Int(bits)), kernel),
        "w": Const(TensorType(dense.shape, Int(4)), dense),
    }
    return check(Program(f"conv{seed}", tuple(nodes), ("t",), consts))


@pytest.mark.lava
def test_random_convolutions_are_identical() -> None:
    try:
        lava_python()
    except BackendUnavailable as absent:
        pytest.skip(f"LAVA DID NOT RUN: {absent}")
    programs = [conv_program(seed) for seed in range(PROGRAMS)]
    rng = np.random.default_rng(0)
    jobs = [
        (p, (rng.random((SAMPLES, STEPS, *p.types["x"].shape)) < 0.4).astype(int)) for p in programs
    ]
    runs = run_many(jobs, record="states")
    for (program, events), trace in zip(jobs, runs.traces, strict=True):
        wanted = reference.run(program, events, record="states")
        for layer in compare_traces(wanted, trace):
            assert layer.identical, (program.name, layer)
            assert layer.spikes > 0, (program.name, layer)
            assert set(layer.values) == {"spikes", "u", "v"}
