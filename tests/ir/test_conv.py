"""Convolutions against torch's, and as the list of their synapses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sast_compile.backends import reference
from sast_compile.errors import TypeMismatch
from sast_compile.ir.conv import convolve, geometry, synapses
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d
from sast_compile.ir.text import parse_program, print_program

RNG = np.random.default_rng(0)
CASES = range(60)


def random_case(case: int) -> tuple[Conv2d, np.ndarray, np.ndarray]:
    """A convolution with its weight and its input (samples, C, Y, X)."""
    rng = np.random.default_rng(case)
    groups, inner, outer = (int(n) for n in rng.integers(1, 4, 3))
    kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, 4, 2)) for _ in range(3))
    padding = tuple(tuple(int(n) for n in rng.integers(0, 3, 2)) for _ in range(2))
    rows, columns = (int(n) for n in rng.integers(8, 13, 2))
    op: Any = Conv2d(
        weight=Ref("w"), stride=stride, dilation=dilation, padding=padding, groups=groups
    )
    weight = rng.integers(-9, 10, (groups * outer, inner, *kernel))
    return op, weight, rng.integers(0, 3, (2, groups * inner, rows, columns))


@pytest.mark.parametrize("case", CASES)
def test_torch_computes_the_same(case: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is the oracle of convolutions")
    op, weight, x = random_case(case)
    (top, bottom), (left, right) = op.padding
    padded = torch.nn.functional.pad(torch.tensor(x).double(), (left, right, top, bottom))
    wanted = torch.nn.functional.conv2d(
        padded,
        torch.tensor(weight).double(),
        stride=op.stride,
        dilation=op.dilation,
        groups=op.groups,
    )
    got = convolve(op, x, weight)
    assert got.any()
    assert np.array_equal(got, wanted.numpy())
    assert got.shape[1:] == geometry(op, x.shape[1:], weight.shape).output


@pytest.mark.parametrize("case", CASES)
def test_the_synapses_add_up_to_the_convolution(case: int) -> None:
    op, weight, x = random_case(case)
    shape = geometry(op, x.shape[1:], weight.shape)
    target, source, kernel = synapses(op, shape)
    for sample, wanted in zip(x, convolve(op, x, weight), strict=True):
        got = np.zeros(wanted.size, np.int64)
        np.add.at(got, target, weight.ravel()[kernel] * sample.ravel()[source])
        assert np.array_equal(got, wanted.ravel())


PROGRAM = """
program edge
  x = input {shape=(1, 3, 4)} : u1[1,3,4]
  a = conv2d x {weight=@w; stride=(2, 1); padding=((1, 0), (0, 0)); exponent=1} : s5[2,2,3] * 0.5
  s = neuron a {shape=(2, 2, 3); voltage=state(clamp=clamp(rule='saturate', low=-99, high=99));
    fire=fire(compare='>=', threshold=6); reset=reset(kind='zero')} : u1[2,2,3]
  return s
@w : s4[2,1,2,2] = [[[[1, 2], [3, -4]]], [[[0, 0], [0, 5]]]]
"""


def test_a_program_by_hand() -> None:
    program = parse_program(PROGRAM)
    assert parse_program(print_program(program)) == program
    x = np.zeros((1, 1, 1, 3, 4), np.int64)
    x[0, 0, 0, 0] = [1, 1, 0, 0]
    x[0, 0, 0, 1] = [0, 0, 1, 0]
    spikes = reference.run(program, x)["s"].spikes[0, 0]
    # row 0 reads the padding and row 0: 3-4, 3, 0 times 2; row 1 reads rows 1 and 2: 0, 2, 1
    assert spikes[0].tolist() == [[0, 1, 0], [0, 0, 0]]
    # the second kernel is its lower right corner, 5 times 2
    assert spikes[1].tolist() == [[1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("shape", "weight", "words"),
    [
        ((4,), (2, 4, 1, 1), "does not fit an input"),
        ((3, 4), (2, 3, 2, 1), "larger than the padded input"),
        ((3, 4, 4), (2, 2, 1, 1), "3 channels to 2 in 1 groups"),
        ((1, 2, 2), (1, 1, 3, 3), "larger than the padded input"),
    ],
)
def test_what_does_not_fit(shape: tuple[int, ...], weight: tuple[int, ...], words: str) -> None:
    with pytest.raises(TypeMismatch, match=words):
        geometry(Conv2d(weight=Ref("w")), shape, weight)
