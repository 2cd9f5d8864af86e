"""The micro-kernels do the work that their rates are stated for."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="the micro-kernels need the fast extra")

from benchmarks.emulator.kernels import ALIGNED, Kernel, Kernels
from benchmarks.emulator.limits import Load, load
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Dense, Flatten, Input
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.report.synops import Operations

KERNELS = Kernels()
BYTES = KERNELS.bytes


def ran(kernel: Kernel, data: np.ndarray, items: int, times: int) -> np.ndarray:
    """``data`` (bytes) after the kernel ran on an aligned copy of it."""
    memory = np.zeros(data.size + ALIGNED, np.uint8)
    first = -memory.ctypes.data % ALIGNED
    memory[first : first + data.size] = data
    kernel(memory.ctypes.data + first, items, times)
    return memory[first : first + data.size]


def test_every_weight_of_every_row_is_added() -> None:
    kernel, width = KERNELS.byte_rows()
    items, times = 5, 3
    rows = np.random.default_rng(0).integers(0, 256, (items, width)).astype(np.uint8)
    spare = np.zeros(KERNELS.sums * BYTES, np.uint8)  # the sums are stored over the first rows
    found = ran(kernel, np.concatenate([rows.ravel(), spare]), items, times)
    lanes = rows.view(np.int16)
    both = times * lanes.sum(axis=0, dtype=np.int16)
    upper = times * (lanes >> 8).sum(axis=0, dtype=np.int16)
    sums = found.view(np.int16)[: 2 * lanes.shape[1]].reshape(2, -1)
    assert np.array_equal(sums, [both, upper])
    lower = times * rows.view(np.int8)[:, ::2].sum(axis=0, dtype=np.int16)
    unsigned_carry = times * 256 * (rows.view(np.int8)[:, ::2] < 0).sum(axis=0).astype(np.int16)
    assert np.array_equal(sums[0] - (sums[1] << 8) - unsigned_carry, lower)


def test_every_byte_is_read() -> None:
    kernel, width = KERNELS.reads()
    data = np.zeros((4, width), np.uint8)
    places = np.random.default_rng(0).choice(data.size, 40, replace=False)
    data.ravel()[places] = 1
    found = ran(kernel, data.ravel(), 4, 1)
    assert np.array_equal(found[:width], np.bitwise_or.reduce(data, axis=0))


@pytest.mark.parametrize("guarded", [False, True])
def test_a_neuron_is_loihis(guarded: bool) -> None:
    """Small values, so no guard acts; lanes behind those that the result is stored over."""
    kernel, lanes, width = KERNELS.neurons(guarded)
    rng = np.random.default_rng(0)
    u, v = rng.integers(-200_000, 200_000, (2, lanes)).astype(np.int32)
    current = rng.integers(-500, 500, lanes).astype(np.int16)
    block = np.zeros(width, np.uint8)
    block[:BYTES], block[BYTES : 2 * BYTES] = u.view(np.uint8), v.view(np.uint8)
    block[2 * BYTES : 2 * BYTES + 2 * lanes] = current.view(np.uint8)
    found = ran(kernel, block, 1, 2).view(np.int32)
    fired = 0
    for _ in range(2):
        u = np.trunc(u * 0.75).astype(np.int64) + (current.astype(np.int64) << 6)
        v = np.trunc(v * 0.9375).astype(np.int64) + u
        fired += int((v > 4149 << 6).sum())
        v[v > 4149 << 6] = 0
    assert fired > 0
    assert np.array_equal(found[2:lanes], u[2:])
    assert np.array_equal(found[lanes : 2 * lanes], v)


@pytest.mark.parametrize("start", [2**23 + 2**10, -(2**23) - 2**10])
def test_the_guards_wrap_u_and_clip_v(start: int) -> None:
    """From u and v out of range, and a current to the same side."""
    kernel, lanes, width = KERNELS.neurons(guarded=True)
    sign = 1 if start > 0 else -1
    current, v = sign * (2**15 - 1), -sign * 2**25
    block = np.zeros(width, np.uint8)
    block[:BYTES] = np.full(lanes, start, np.int32).view(np.uint8)
    block[BYTES : 2 * BYTES] = np.full(lanes, v, np.int32).view(np.uint8)
    block[2 * BYTES : 2 * BYTES + 2 * lanes] = np.full(lanes, current, np.int16).view(np.uint8)
    found = ran(kernel, block, 1, 1).view(np.int32)
    u = int(start * 0.75) + (current << 6)
    assert abs(u) > 2**23
    u -= sign * 2**24
    assert found[2] == u
    assert found[lanes] == (-(2**23) + 1 if sign > 0 else 0)  # v fires at the upper end


def test_the_bound_of_a_program_by_hand() -> None:
    """2x4x4 to 3x4x4 by 1x1, to 5: operations by kind, updates, guards by the ranges."""
    consts = {
        "c": Const(TensorType((3, 2, 1, 1), Int(8)), np.ones((3, 2, 1, 1))),
        "w": Const(TensorType((5, 48), Int(8)), np.full((5, 48), 127)),
    }
    nodes = (
        Node("x", Input(shape=(2, 4, 4))),
        Node("conv", Conv2d(weight=Ref("c")), (Edge("x"),)),
        Node("n1", loihi_neuron((3, 4, 4), du=4095, dv=4095, threshold=1), (Edge("conv"),)),
        Node("flat", Flatten(), (Edge("n1"),)),
        Node("fc", Dense(weight=Ref("w"), exponent=6), (Edge("flat"),)),
        Node("n2", loihi_neuron((5,), du=0, dv=0, threshold=1), (Edge("fc"),)),
    )
    program = check(Program("p", nodes, ("n2",), consts))
    run = (Operations("conv", 40, 0), Operations("fc", 0, 60))
    found = load(program, run, samples=2, steps=10)
    assert found == Load(dense=30, convolved=20, neurons=480, guarded=50)
    rates = {"rows": 10.0, "adds": 4.0, "neurons": 48.0, "guarded": 5.0, "L2": 3.0}
    assert found.seconds(rates) == 30 / 10 + 20 / 4 + 480 / 48 + 50 / 5
    assert found.seconds(rates, "L2") == 30 / 3 + 20 / 4 + 480 / 48 + 50 / 5
