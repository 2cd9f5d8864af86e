"""In which of torch's integers something is kept, and in which a population is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sast_compile.ir.neuron import MulShift, State
from sast_compile.ir.ops import Consts, Neuron
from sast_compile.ir.population import most_of
from sast_compile.ir.types import Element, Int

SIGNED = {8: torch.int8, 16: torch.int16, 32: torch.int32, 64: torch.int64}
NUMPY: dict[torch.dtype, type[np.generic]] = {
    torch.uint8: np.uint8,
    torch.int8: np.int8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
}


def kind_of(element: Element) -> torch.dtype:
    """The narrowest type that holds ``element``; torch computes with none unsigned above 8 bits."""
    assert isinstance(element, Int)
    if not element.signed and element.bits <= 8:
        return torch.uint8
    need = element.bits + (not element.signed)
    return next(kind for bits, kind in SIGNED.items() if need <= bits)


def holding(magnitude: int) -> torch.dtype:
    """int32 where nothing larger than ``magnitude`` occurs and that fits, else int64."""
    return torch.int32 if magnitude < 1 << 31 else torch.int64


def magnitude(element: Element) -> int:
    """The greatest magnitude of an integer type."""
    assert isinstance(element, Int)
    return max(-element.low, element.high)


def population_kind(op: Neuron, consts: Consts, drives: Sequence[Element]) -> torch.dtype:
    """The type in which nothing on the way of one step of ``op`` overflows."""
    given = [magnitude(element) for element in drives]
    if op.synapses:
        given.append(sum(_register(state) for state in op.synapses))
    moved = 0  # by how much a reset and a comparison move v
    if op.fire is not None and op.reset is not None:
        moved = most_of(op.fire.threshold, consts) * op.fire.unit + most_of(op.reset.amount, consts)
    return holding(
        max(
            _most(state, consts, drive, moved if name == "v" else 0)
            for (name, state), drive in zip(op.named_states(), given, strict=True)
        )
    )


def _most(state: State, consts: Consts, drive: int, moved: int) -> int:
    """No less than the largest magnitude on the way of one step of ``state``."""
    register = _register(state)
    span = 2 * register + 1
    bias = most_of(state.bias, consts) << max(state.bias_exponent, 0)
    step = most_of(state.gain, consts) * drive + bias + moved
    assert state.clamp is not None
    if state.clamp.rule == "wrap_once" and step > span:
        return 1 << 63  # one wrap may not bring it back, so it has no bound
    kept = state.decay.bits if isinstance(state.decay, MulShift) else 0
    return ((register + moved) << kept) + step + 2 * span


def _register(state: State) -> int:
    assert state.clamp is not None
    return max(-state.clamp.low, state.clamp.high, 1)
