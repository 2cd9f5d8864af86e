"""A neuron, composed: synaptic states and a voltage, a comparison and a reset.

Loihi's, Xylo's, Speck's and a microcontroller's neurons are values of the same few records; the
equations of each part are in its docstring, and `backends/reference/equations.py` defines them in
code. A parameter is one number for the population, or a constant with one number per neuron.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from sast_compile.contract import Compare, ResetKind, ResetWhen

Natural: TypeAlias = Annotated[int, Meta(ge=0)]
Positive: TypeAlias = Annotated[int, Meta(ge=1)]
Exponent: TypeAlias = Annotated[int, Meta(ge=-62, le=62)]  # of sums that fit 64 bits
Rounding: TypeAlias = Literal["toward_zero", "floor", "half_even"]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen part of an op; its tag is its name in the text form."""


class Ref(Record, frozen=True, tag="ref"):
    """The constant called ``name``: one value per neuron, or a weight."""

    name: str


Param: TypeAlias = int | float | Ref


class Factor(Record, frozen=True, kw_only=True, tag="factor"):
    """Decay of a float state: ``x <- alpha x``."""

    alpha: Param


class MulShift(Record, frozen=True, kw_only=True, tag="mul_shift"):
    """Decay by a multiplication: ``x <- round(x (2^bits - decay - offset) / 2^bits)``."""

    decay: Param
    offset: Natural = 0
    bits: Annotated[int, Meta(ge=1, le=62)] = 12
    rounding: Rounding = "toward_zero"


class BitShift(Record, frozen=True, kw_only=True, tag="bit_shift"):
    """Decay by a shift: ``x <- x - d``, ``d = x >> dash`` (floor), but at least ``min_step``.

    Where ``d`` is 0 and x is not, ``d = min_step sign(x)``: Xylo's state creeps on to 0.
    """

    dash: Param
    min_step: Annotated[int, Meta(ge=0, le=1)] = 0  # more would carry a small x across 0


Decay: TypeAlias = Factor | MulShift | BitShift


class Clamp(Record, frozen=True, kw_only=True, tag="clamp"):
    """What happens outside [low, high].

    ``forbid``: it never does, by proof; ``saturate``: the nearer end; ``wrap``: modulo the number
    of values; ``wrap_once``: that number is added or subtracted once (Loihi's u in Lava).
    """

    rule: Literal["forbid", "saturate", "wrap", "wrap_once"]
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > 0 or self.high < 0:
            raise ValueError(f"clamp [{self.low}, {self.high}] does not contain 0")


class State(Record, frozen=True, kw_only=True, tag="state"):
    """One state variable x, driven by the terms c_1..c_n of a step (floats: no clamp).

    - ``sum``:       ``x <- clamp(decay(x) + gain sum(c) + bias 2^bias_exponent)``
    - ``each``:      the terms are added one by one, in order, with a clamp after each
    - ``increment``: ``d = clamp(clamp(decay(x) - x) + gain sum(c))``, ``d = clamp(d + bias)``,
      ``x <- clamp(x + d)``; the inner clamp of the leak always wraps
    ``decays="last"`` moves the decay behind the addition: x is used after it.
    A negative bias_exponent shifts right (floor).
    """

    decay: Decay | None = None
    decays: Literal["first", "last"] = "first"
    gain: Param = 1
    adds: Literal["sum", "each", "increment"] = "sum"
    bias: Param = 0
    bias_exponent: Exponent = 0
    clamp: Clamp | None = None


class Fire(Record, frozen=True, kw_only=True, tag="fire"):
    """A spike when ``v > threshold unit`` (or >=), and more, up to ``limit``, for what is left.

    n = the number of times the reset amount (for a zero reset: the threshold) can be taken from v
    while it still passes the comparison.
    """

    compare: Compare
    threshold: Param
    unit: Positive = 1
    limit: Positive = 1


class Reset(Record, frozen=True, kw_only=True, tag="reset"):
    """What a spike does to v, and when; ``amount`` is in units of v.

    ``zero``: v = 0; ``subtract``: v -= n amount. ``after_fire``: in the step of the spike;
    ``before_decay``: at the start of the next step; ``after_decay``: in the next step, the decayed
    v is what is reset; ``after_input``: in the next step, v with all that drives it (floats only).
    ``floor``: v is raised to this after a reset that acts after the spike.
    """

    kind: ResetKind
    when: ResetWhen = "after_fire"
    amount: Param = 0
    floor: Param | None = None
