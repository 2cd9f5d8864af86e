"""The scales of a population's rows: how many, which, and what the threshold makes of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from float_programs import LOIHI2, FloatLayer, float_chain, lowered, until, weights_of
from msgspec.structs import replace

from sast_compile.ir.neuron import Ref
from sast_compile.ir.program import Program, check
from sast_compile.ir.types import Int, scale_column
from sast_compile.passes.choose_scales import Block, chosen, rounded_rows
from sast_compile.passes.membrane_error import Independent, Nearest
from sast_compile.target import load_target

PAPER = load_target("paper-sim")
RNG = np.random.default_rng(0)
ROWS = RNG.normal(0, 1, (12, 30)) * 2.0 ** RNG.uniform(-3, 3, (12, 1))  # rows of unlike size


@pytest.mark.parametrize("parts", [1, 2, 3, 12])
def test_no_other_choice_of_so_many_scales_errs_less(parts: int) -> None:
    block = Block(ROWS, Independent(0.2, 0.1))
    found = chosen([block], Int(4), parts)
    assert len(set(found.scales)) <= parts
    largest = np.abs(ROWS).max() / 7
    ladder = [largest * 2.0 ** (-k / 4) for k in range(13)]
    errors = np.array([rounded_rows(block, Int(4), scale)[1] for scale in ladder])
    if parts < 12:
        least = min(errors[list(c)].min(axis=0).sum() for c in combinations(range(13), parts))
    else:
        least = errors.min(axis=0).sum()
    assert found.errors.sum() <= least * (1 + 1e-12)
    off = (ROWS - found.integers[0] * found.scales[:, None]) ** 2
    assert np.allclose(found.errors, 0.2 * off.sum(axis=1) + 0.1 * _sums(found) ** 2)


def _sums(found: object) -> np.ndarray:
    integers, scales = found.integers[0], found.scales  # type: ignore[attr-defined]
    return np.asarray((ROWS - integers * scales[:, None]).sum(axis=1))


def test_more_scales_pay_where_rows_differ() -> None:
    errors = [chosen([Block(ROWS, Nearest())], Int(4), n).errors.sum() for n in (1, 2, 4, 12)]
    assert errors[0] > errors[1] > errors[2] > errors[3]


def thresholds(program: Program) -> np.ndarray:
    """lif1's thresholds in model units, by neuron."""
    op = program.neurons["lif1"]
    assert op.fire is not None
    height = op.fire.threshold
    register = program.consts[height.name].data if isinstance(height, Ref) else height
    (edge,) = program.by_name["lif1"].inputs
    gain = float(op.voltage.gain) * (float(op.synapses[0].gain) if op.synapses else 1.0)  # type: ignore[arg-type]
    unit = scale_column(program.types[edge.node]) / gain
    return np.asarray(np.asarray(register, np.float64) * op.fire.unit * unit)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize(("target", "most"), [(LOIHI2, 4), (PAPER, 12)])
def test_the_thresholds_of_the_parts_are_exact(bits: int, target: object, most: int) -> None:
    before = float_chain(FloatLayer(ROWS, 0.5, 3.7))  # a leak that every register holds
    program = lowered(before, target.passes, bits=bits, steps=20, target=target).program  # type: ignore[attr-defined,arg-type]
    scale = weights_of(program, "fc1").type.scale
    assert isinstance(scale, tuple)
    assert 1 < len(set(scale)) <= most
    moved = np.array([np.frexp(s)[0] != 0.5 for s in scale])  # a power of two is taken as it is
    assert moved.sum() > 6
    assert thresholds(program)[moved] == pytest.approx(np.full(moved.sum(), 3.7), rel=1e-9)
    assert thresholds(program) == pytest.approx(np.full(12, 3.7), rel=0.01)


def test_a_readout_and_a_file_of_one_threshold_keep_one_scale() -> None:
    before = float_chain(FloatLayer(ROWS))
    silent = replace(before.neurons["lif1"], fire=None, reset=None)
    readout = check(before.with_ops({"lif1": silent}))
    for program, target in ((readout, LOIHI2), (before, load_target("loihi2-netx"))):
        quantized = lowered(program, until("quantize_weights"), target=target).program
        assert isinstance(weights_of(quantized, "fc1").type.scale, float)
