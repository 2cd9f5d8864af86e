"""The registers of a Loihi neuron, read from a composed one: any other composition is refused.

Two neurons beside Loihi's own are taken: one that does not fire, which is Loihi's with a threshold
that its v never reaches, and one with another reset, which a Process of ours computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from sast_compile.contract import ResetKind, ResetWhen
from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.loihi import as_loihi, rate
from sast_compile.ir.neuron import Param, Record, Ref, Reset
from sast_compile.ir.ops import Consts, Neuron, lookup

DECAY = (0, 4095)
THRESHOLD = (1, 131071)
BIAS_MANTISSA = (-4096, 4095)
BIAS_EXPONENT = (-7, 7)  # 3 bits; Lava takes a sign too, and shifts right (floor)
AMOUNT = (1, 1 << 24)  # what a reset subtracts from v, whose own range is as wide
LOIHIS_RESET = Reset(kind="zero")

Register: TypeAlias = int | npt.NDArray[np.int32]  # one number, or one of every neuron


@dataclass(frozen=True, eq=False)
class OwnReset:
    """A reset that stock Lava lacks: what `processes.lif_each` holds."""

    kind: ResetKind
    when: ResetWhen
    amount: Register

    @property
    def largest(self) -> int:
        return int(np.max(self.amount))

    def __str__(self) -> str:
        return f"reset {self.kind!r} ({self.when})"


@dataclass(frozen=True, eq=False)
class Population:
    """What a stock LIFReset process holds; column 0 of a sample is computed in step ``start``.

    ``fires`` is False for a readout: its threshold is the highest there is, and a run in which it
    is passed is refused. ``reset`` is None where it is Loihi's, to 0 in the step of the spike.
    """

    name: str
    shape: tuple[int, ...]
    du: Register
    dv: Register
    vth: Register
    bias_mant: Register
    bias_exp: int
    start: int
    fires: bool = True
    reset: OwnReset | None = None

    @property
    def differs(self) -> bool:
        """Whether a register of which a stock process has one is not the same in all neurons."""
        return any(isinstance(register, np.ndarray) for register in (self.du, self.dv, self.vth))


def population(name: str, op: Neuron, consts: Consts) -> Population:
    """The registers of ``op``; Unsupported or TargetLimit for a neuron that Lava does not hold."""
    for difference in _differences(op, _wanted(op)):
        raise Unsupported(
            f"{difference}, so this is not Loihi's neuron, which is all that Lava's LIFReset holds",
            where=name,
            hint="compile for loihi2, or run it on another back end",
        )
    registers, voltage = _Registers(name, consts), op.voltage
    du = registers.read("u decay", rate(op.synapses[0]), DECAY)
    dv = registers.read("v decay", rate(voltage), DECAY)
    threshold = op.fire.threshold if op.fire else THRESHOLD[1]
    vth = registers.read("threshold", threshold, THRESHOLD)
    bias = registers.read("bias mantissa", voltage.bias, BIAS_MANTISSA)
    exponent = int(registers.read("bias exponent", voltage.bias_exponent, BIAS_EXPONENT))
    fires, reset = op.fire is not None, _own_reset(op.reset, registers)
    return Population(name, op.shape, du, dv, vth, bias, exponent, op.start, fires, reset)


def _wanted(op: Neuron) -> Neuron:
    """Loihi's neuron, with those parts of ``op`` that Lava can hold although they are not Loihi's.

    The amount of a reset to zero means nothing.
    """
    loihi, reset = as_loihi(op), op.reset
    if op.fire is None:
        return replace(loihi, fire=None, reset=None)
    if reset is None:
        return loihi
    return replace(loihi, reset=Reset(kind=reset.kind, when=reset.when, amount=reset.amount))


def _own_reset(reset: Reset | None, registers: _Registers) -> OwnReset | None:
    if reset is None or (reset.kind, reset.when) == (LOIHIS_RESET.kind, LOIHIS_RESET.when):
        return None
    if reset.kind == "zero":
        return OwnReset(reset.kind, reset.when, 0)
    return OwnReset(reset.kind, reset.when, registers.read("reset amount", reset.amount, AMOUNT))


def _differences(found: object, wanted: object, path: str = "") -> Iterator[str]:
    """Each place where a record is not the wanted one, in words."""
    if isinstance(found, Record) and isinstance(wanted, Record) and type(found) is type(wanted):
        for field in wanted.__struct_fields__:
            here = f"{path}.{field}" if path else field
            yield from _differences(getattr(found, field), getattr(wanted, field), here)
    elif isinstance(found, tuple) and isinstance(wanted, tuple) and len(found) == len(wanted):
        for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
            yield from _differences(a, b, f"{path}[{index}]")
    elif found != wanted or type(found) is not type(wanted):
        yield f"{path} is {_words(found)} where Loihi has {_words(wanted)}"


def _words(value: object) -> str:
    if isinstance(value, Record):
        return f"a {value.__struct_config__.tag}"
    if isinstance(value, tuple):
        return f"{len(value)} of them"
    return "none" if value is None else repr(value)


class _Registers:
    """Reads parameters as registers and checks that they fit; errors name the population."""

    def __init__(self, name: str, consts: Consts) -> None:
        self.name, self.consts = name, consts

    def read(self, what: str, param: Param, limits: tuple[int, int]) -> Register:
        """The number, or the array where it differs between neurons."""
        values = lookup(param, self.consts).data if isinstance(param, Ref) else np.asarray(param)
        if values.dtype.kind == "f":
            raise Unsupported(
                f"the {what} is a float", where=self.name, hint="compile to integers first"
            )
        low, high = limits
        least, greatest = int(values.min()), int(values.max())
        for value in (least, greatest):
            if not low <= value <= high:
                # Lava itself checks no range: a mantissa of 70000 silently becomes 4464 (int16).
                raise TargetLimit(
                    f"{what} {value} is outside Loihi's {low}..{high}",
                    where=self.name,
                    hint="scale weights, bias and threshold of this layer down together",
                )
        return least if least == greatest else values.astype(np.int32)
