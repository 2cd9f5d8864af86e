"""What each element of one row of a picture adds to a row of sums, as tables.

An active element in column X of channel c reaches some neighbouring outputs, with all their
channels: a block of neighbouring sums, to which a block of weights is added. The blocks of all rows
of the kernel lie one behind the other. Where the border cuts a block it stays inside the row, with
zeros for the outputs that it does not reach; so sums have no margins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sast_compile.ir.conv import Conv2d, Geometry
from sast_compile.ir.types import Array

PIECE = 8  # sums that a block is padded to a multiple of


@dataclass(frozen=True, eq=False)
class Taps:
    """For element e of a row: its sums begin at ``sum_at[e]``, its blocks at ``block_at[e]``.

    Row ``ky`` of the kernel is ``ky block`` behind that; ``block`` weights are added.
    """

    weights: Array
    sum_at: Array
    block_at: Array
    block: int


def fits(op: Conv2d, shape: Geometry) -> bool:
    """Whether `taps_of` can be made: neighbours must stay neighbours."""
    reach = -(-shape.kernel[3] // op.stride[1])
    return op.groups == 1 and op.dilation == (1, 1) and shape.output[2] >= reach


def taps_of(op: Conv2d, shape: Geometry, weight: Array, columns: int, pool: int) -> Taps:
    """The tables of a row of ``columns`` pixels, ``pool`` of which make one of the input's.

    ``weight``: (outputs, channels, rows, columns); elements lie pixel by pixel, then by channel.
    """
    outputs, channels, height, width = shape.kernel
    reach = -(-width // op.stride[1])  # outputs in a row that one pixel can reach
    pixel = np.arange(columns) // pool
    shifted = pixel + op.padding[1][0]
    lowest = -(-(shifted - width + 1) // op.stride[1])
    begin = np.clip(lowest, 0, shape.output[2] - reach)
    first = shifted - begin * op.stride[1]  # the kernel's column at the block's first output
    first[pixel >= shape.input[2]] = -1  # the pool drops it: it reaches nothing
    variants, which = np.unique(first, return_inverse=True)
    block = -(-reach * outputs // PIECE) * PIECE
    blocks = np.zeros((len(variants), channels, height, block), weight.dtype)
    for variant, start in enumerate(variants):
        for place in range(reach):
            column = start - place * op.stride[1]
            if start >= 0 and 0 <= column < width:
                part = slice(place * outputs, (place + 1) * outputs)
                blocks[variant, :, :, part] = weight[:, :, :, column].transpose(1, 2, 0)
    channel = np.arange(channels)
    block_at = (which.reshape(-1, 1) * channels + channel) * height * block
    sum_at = np.repeat(begin * outputs, channels)
    return Taps(blocks, sum_at.astype(np.int32), block_at.ravel().astype(np.int32), block)
