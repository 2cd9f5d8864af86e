"""How far v errs if a weight is rounded, and the rounding under which it errs least.

A row w that becomes w + d moves v by ``sum_j d_j x_j(t)``, x being the inputs' traces
(`responses.py`). Its mean square over a run is ``d H d`` with the second moment ``H = E[x x]``, not
centred: that an error has a mean is as bad as that it varies. The nearest integers minimise
``d d``, which is the same only if no input ever fires together with another.

Each integer is one of the two neighbours of its weight: a weight on the grid stays what it is, and
no integer is a step away from the float that it stands for. Among these the best is searched for
column by column: what a rounded column errs is made good, as far as H allows, by those that are
still to come (GPTQ: Frantar et al. 2022, arXiv 2210.17323; there for the inputs of a linear layer).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from sast_compile.ir.types import Int
from sast_compile.passes.feeders import Floats

BLOCK = 64  # columns whose errors reach the later ones together


class Objective(Protocol):
    """The mean square error of v under one model of the inputs, for rows (rows, inputs)."""

    def rounded(self, rows: Floats, element: Int) -> Floats:
        """Integers for ``rows``, given in steps of the grid."""

    def error(self, off: Floats) -> Floats:
        """d H d of every row d of ``off``."""


@dataclass(frozen=True)
class Nearest:
    """H = 1: the squared error of the weights themselves."""

    def rounded(self, rows: Floats, element: Int) -> Floats:
        return np.asarray(np.clip(np.rint(rows), element.low, element.high))

    def error(self, off: Floats) -> Floats:
        return np.asarray((off**2).sum(axis=1))


@dataclass(frozen=True)
class Independent:
    """Inputs that fire independently at one rate: ``H = variance 1 + mean_square 1 1^T``.

    With d rounded so far and S its sum, the error is least if each of the R columns to come moves
    by ``-S mean_square / (variance + R mean_square)``: no matrix is needed.
    """

    variance: float
    mean_square: float

    @classmethod
    def at_rate(cls, rate: float, response: Floats) -> Independent:
        """Of inputs that fire with probability ``rate`` in a step, over a run of the response."""
        variance = rate * (1 - rate) * np.cumsum(response**2).mean()
        mean_square = rate**2 * (np.cumsum(response) ** 2).mean()
        return cls(float(variance), float(mean_square))

    def rounded(self, rows: Floats, element: Int) -> Floats:
        integers = np.empty_like(rows)
        owed = np.zeros(len(rows))
        inputs = rows.shape[1]
        for column in range(inputs):
            weights = rows[:, column]
            share = self.mean_square / (self.variance + (inputs - column) * self.mean_square)
            integers[:, column] = neighbour(weights - owed * share, weights, element)
            owed += integers[:, column] - weights
        return integers

    def error(self, off: Floats) -> Floats:
        squares = self.variance * (off**2).sum(axis=1)
        return np.asarray(squares + self.mean_square * off.sum(axis=1) ** 2)


@dataclass(frozen=True, eq=False)
class Measured:
    """The second moment of the traces that were seen, (inputs, inputs), positive definite."""

    moment: Floats

    @cached_property
    def _order(self) -> np.ndarray:
        """The columns, those that move v most first: the others are left to make good."""
        return np.argsort(-np.diag(self.moment), kind="stable")

    @cached_property
    def _feedback(self) -> Floats:
        """The upper factor of H's inverse: row j says how later columns answer an error in j."""
        ordered = self.moment[np.ix_(self._order, self._order)]
        return np.asarray(np.linalg.cholesky(np.linalg.inv(ordered)).T)

    def rounded(self, rows: Floats, element: Int) -> Floats:
        weights, feedback = rows[:, self._order], self._feedback
        wanted, integers = weights.copy(), np.empty_like(weights)
        for start in range(0, weights.shape[1], BLOCK):
            end = min(start + BLOCK, weights.shape[1])
            errors = np.empty((len(rows), end - start))
            for j in range(start, end):
                integers[:, j] = neighbour(wanted[:, j], weights[:, j], element)
                errors[:, j - start] = (wanted[:, j] - integers[:, j]) / feedback[j, j]
                wanted[:, j:end] -= errors[:, j - start, None] * feedback[j, j:end]
            wanted[:, end:] -= errors @ feedback[start:end, end:]
        found = np.empty_like(integers)
        found[:, self._order] = integers
        return found

    def error(self, off: Floats) -> Floats:
        return np.asarray(((off @ self.moment) * off).sum(axis=1))


@dataclass(frozen=True, eq=False)
class Groups:
    """The rows in equal parts, each with inputs of its own: the groups of a convolution."""

    parts: tuple[Objective, ...]

    def rounded(self, rows: Floats, element: Int) -> Floats:
        split = zip(self.parts, np.split(rows, len(self.parts)), strict=True)
        return np.concatenate([part.rounded(some, element) for part, some in split])

    def error(self, off: Floats) -> Floats:
        split = zip(self.parts, np.split(off, len(self.parts)), strict=True)
        return np.concatenate([part.error(some) for part, some in split])


def neighbour(wanted: Floats, weights: Floats, element: Int) -> Floats:
    """The integer nearest to ``wanted`` beside ``weights``, inside the grid."""
    beside = np.clip(np.rint(wanted), np.floor(weights), np.ceil(weights))
    return np.asarray(np.clip(beside, element.low, element.high))
