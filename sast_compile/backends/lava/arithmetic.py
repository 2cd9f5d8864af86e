"""The proof that Lava's 32-bit sums are those of a program: nothing leaves int32, for any input.

lava-nc 0.10, AbstractPyLifModelFixed.subthr_dynamics: ``(a_in << 6)`` and the sums that become u
and v are int32, and wrap in silence. Inside of int32, u wraps once and v saturates as the program
says, and the interpreter computes both; beyond it nothing defines what is right.
"""

from __future__ import annotations

import numpy as np

from sast_compile.backends.lava.registers import Population
from sast_compile.errors import TargetLimit
from sast_compile.ir.loihi import ALIGNMENT

INT32 = 1 << 31
TURN = 1 << 24  # what a wrap of u takes off or adds, once
HALF = TURN >> 1


def check_int32(population: Population, low: int, high: int) -> None:
    """TargetLimit if a current in [low, high] may take a sum of ``population`` out of int32."""
    drive = max(-low, high) << ALIGNMENT
    du = int(np.min(population.du))  # the least leak
    u = largest_u(du, drive)
    if max(_before_wrap(du, u, drive), HALF + u + _added_to_v(population)) < INT32:
        return
    raise TargetLimit(
        f"its current may reach {low}..{high}, with which (current << 6) or a sum after it may"
        " exceed the 32 bits in which Lava adds",
        where=population.name,
        hint="take a smaller weight exponent and threshold, or fewer inputs",
    )


def check_product(dense: str, low: int, high: int) -> None:
    """TargetLimit if a product of weights and graded values, before its shift, may leave int32.

    lava-nc 0.10, AbstractPyDenseModelBitAcc.run_spk: ``weights.dot(s_in)`` of int32 is int32.
    """
    if max(-low, high) >= INT32:
        raise TargetLimit(
            f"its sum before the shift by the weight exponent may reach {low}..{high}, more than"
            " the 32 bits in which Lava adds graded values",
            where=dense,
            hint="take fewer bits for the input, or a larger weight exponent",
        )


def largest_u(du: int, drive: int) -> int:
    """The largest |u| after any number of steps with ``|current << 6| <= drive``.

    A wrap takes what is above 2^23 down by 2^24, once. So |u| <= 2^23 stays as it is while a step
    reaches 2^24 + 2^23 at most; a larger drive settles where it adds in a step what the wrap and
    the leak, 1 - kept = (du + 1) / 4096, take away.
    """
    if _before_wrap(du, HALF, drive) <= TURN + HALF:
        return HALF
    return max(HALF, -(-((drive - TURN) << 12) // (du + 1)))


def _before_wrap(du: int, u: int, drive: int) -> int:
    return ((u * (4095 - du)) >> 12) + drive


def _added_to_v(population: Population) -> int:
    """The largest magnitude of a bias and of a reset that is added with it."""
    reset = population.reset
    return (4096 << 7) + (reset.largest if reset else 0)
