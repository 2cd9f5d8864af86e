"""Weights on Loihi's grid: what a connection stores so that Lava's truncation changes nothing.

lava-nc 0.10, weightutils: ``clip_weights`` to [-256, 255] (mixed signs), [0, 255] (excitatory) or
[-255, 0] (inhibitory); ``truncate_weights`` then clears the low ``8 - num_weight_bits`` bits of the
magnitude, of mixed weights one more, with floor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.types import Const, Int

SignMode: TypeAlias = Literal["mixed", "excitatory", "inhibitory"]

SYNAPSE_BITS = 8
GRIDS: dict[SignMode, tuple[int, int, int]] = {  # least, greatest, low bits that are 0
    "excitatory": (0, 255, 0),
    "inhibitory": (-255, 0, 0),
    "mixed": (-256, 254, 1),
}


@dataclass(frozen=True, eq=False)
class Stored:
    """``values = weight << step`` (below 0: a right shift that loses nothing), on a grid."""

    values: npt.NDArray[np.int32]
    step: int
    bits: int
    sign_mode: SignMode


def stored(dense: str, weight: Const) -> Stored:
    """``weight`` as a synapse holds it; TargetLimit naming ``dense`` if 8 bits do not.

    A type of b signed bits is the upper b of 9, of b unsigned bits the upper b of 8: then any
    values fit. Of a wider type the values decide.
    """
    element = weight.type.element
    if not isinstance(element, Int):
        raise Unsupported("its weights are floats", where=dense, hint="compile to integers first")
    if element.bits <= SYNAPSE_BITS:
        step = SYNAPSE_BITS + element.signed - element.bits
        mode: SignMode = "mixed" if element.signed else "excitatory"
        return Stored(_shifted(weight.data, step), step, element.bits, mode)
    for step, mode in _fits(weight.data.astype(np.int64)):
        return Stored(_shifted(weight.data, step), step, SYNAPSE_BITS, mode)
    raise TargetLimit(
        f"its weights {weight.data.min()}..{weight.data.max()} have {element.bits} bits, a Loihi"
        " synapse holds 8: 0..255 of one sign, of both signs the even ones of -256..254, times a"
        " power of 2",
        where=dense,
        hint="quantize with --bits 8 or fewer",
    )


def _fits(data: npt.NDArray[np.int64]) -> Iterator[tuple[int, SignMode]]:
    """The steps and grids on which all of ``data`` lies, the largest step of a grid first."""
    common = int(np.bitwise_or.reduce(data, axis=None))
    zeros = (common & -common).bit_length() - 1 if common else 0
    for mode, (least, greatest, spare) in GRIDS.items():
        for step in range(spare, spare - zeros - 1, -1):
            values = _shifted(data, step)
            if least <= values.min() and values.max() <= greatest:
                yield step, mode


def _shifted(data: npt.NDArray[np.generic], step: int) -> npt.NDArray[np.int32]:
    wide = data.astype(np.int64)
    values = (wide << step if step >= 0 else wide >> -step).astype(np.int32)
    values.flags.writeable = False
    return values
