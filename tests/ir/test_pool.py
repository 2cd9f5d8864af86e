"""Sum pools and one-dimensional convolutions against torch, and their synapses."""

from __future__ import annotations

import numpy as np
import pytest

from sast_compile.errors import TypeMismatch
from sast_compile.ir.conv import Conv2d, convolve
from sast_compile.ir.neuron import Ref
from sast_compile.ir.pool import SumPool2d, pool_geometry, pool_synapses, sum_pool
from sast_compile.ir.types import Int, TensorType

torch = pytest.importorskip("torch", reason="the oracle of pooling is torch")
RNG = np.random.default_rng(0)
SHAPES = [((2, 2), (2, 2), 0), ((3, 2), (1, 2), 1), ((2, 3), (3, 1), 1), ((3, 3), (2, 2), 1)]


def pool(kernel: tuple[int, int], stride: tuple[int, int], padding: int) -> SumPool2d:
    return SumPool2d(kernel=kernel, stride=stride, padding=((padding, padding),) * 2)


@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES)
def test_it_sums_the_windows_of_torch(
    kernel: tuple[int, int], stride: tuple[int, int], padding: int
) -> None:
    x = RNG.integers(-3, 4, (5, 3, 7, 8))
    op = pool(kernel, stride, padding)
    averages = torch.nn.AvgPool2d(kernel, stride, padding, divisor_override=1)
    wanted = averages(torch.from_numpy(x).double()).numpy()
    assert np.array_equal(sum_pool(op, x), wanted)
    assert pool_geometry(op, x.shape[1:]).output == wanted.shape[1:]
    target, source, _ = pool_synapses(op, x.shape[1:])
    rebuilt = np.zeros((5, wanted[0].size))
    np.add.at(rebuilt, (slice(None), target), x.reshape(5, -1)[:, source])
    assert np.array_equal(rebuilt.reshape(wanted.shape), wanted)


def test_the_type_holds_every_sum() -> None:
    op = pool((2, 3), (2, 3), 0)
    assert op.result({}, TensorType((4, 4, 6), Int(1, signed=False))).element == Int(3, False)
    assert op.result({}, TensorType((4, 4, 6), Int(4))).element == Int(7)
    with pytest.raises(TypeMismatch, match="pooling does not fit an input"):
        op.result({}, TensorType((4, 4), Int(1, signed=False)))


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_one_row_is_a_convolution_in_one_dimension(
    stride: int, padding: int, dilation: int
) -> None:
    x, weight = RNG.integers(-3, 4, (2, 4, 9)), RNG.integers(-5, 6, (6, 2, 1, 3))
    op = Conv2d(
        weight=Ref("w"),
        stride=(1, stride),
        padding=((0, 0), (padding, padding)),
        dilation=(1, dilation),
        groups=2,
    )
    wanted = torch.nn.functional.conv1d(
        torch.from_numpy(x).double(),
        torch.from_numpy(weight[:, :, 0]).double(),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=2,
    )
    assert np.array_equal(convolve(op, x, weight), wanted.numpy())
