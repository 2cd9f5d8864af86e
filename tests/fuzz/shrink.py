"""A greedy shrinker: the smallest program and events that it finds which still differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from fuzz.smaller import (
    Pair,
    fewer_events,
    fewer_neurons,
    fewer_populations,
    fewer_samples,
    fewer_steps,
    fewer_terms,
    plainer_registers,
    shorter_delays,
    smaller_weights,
)
from sast_compile.errors import CompileError
from sast_compile.ir.program import check

Differs: TypeAlias = Callable[[Sequence[Pair]], Sequence[bool]]  # for each pair, whether it does
Kind: TypeAlias = Callable[[Pair], Iterator[Pair]]

VALUES: tuple[Kind, ...] = (fewer_samples, fewer_steps, plainer_registers, fewer_events,
                            smaller_weights)  # fmt: skip
ALL: tuple[Kind, ...] = (fewer_samples, fewer_steps, fewer_populations, fewer_terms, fewer_neurons,
                         plainer_registers, shorter_delays, fewer_events,
                         smaller_weights)  # fmt: skip
BATCH = 16
ROUNDS = 4


def shrunk(pair: Pair, differs: Differs, kinds: Sequence[Kind] = ALL) -> Pair:
    """The smallest pair found that ``differs``; ``pair`` itself must."""
    for _ in range(ROUNDS):
        before = pair
        for kind in kinds:
            pair = _by(kind, pair, differs)
        if pair is before:
            break
    return pair


def _by(kind: Kind, pair: Pair, differs: Differs) -> Pair:
    """``pair`` made smaller in one way, again and again, as long as it differs."""
    while True:
        smaller = _first(filter(_legal, kind(pair)), differs)
        if smaller is None:
            return pair
        pair = smaller


def _first(candidates: Iterator[Pair], differs: Differs) -> Pair | None:
    while batch := list(islice(candidates, BATCH)):
        for candidate, does in zip(batch, differs(batch), strict=True):
            if does:
                return candidate
    return None


def _legal(pair: Pair) -> bool:
    try:
        check(pair[0])
    except CompileError:
        return False
    return True
