"""The Lava processes that hold a population and a projection; imports Lava."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from sast_compile.backends.lava.graph import Projection
from sast_compile.backends.lava.processes.connections import (
    DelayDenseColumns,
    DelaySparseColumns,
    DenseColumns,
    SparseColumns,
)
from sast_compile.backends.lava.processes.lif_each import LIFEach, LIFOwnReset
from sast_compile.backends.lava.registers import Population
from sast_compile.backends.lava.unrolled import Matrix

SIGN_MODES = {
    "mixed": SignMode.MIXED,
    "excitatory": SignMode.EXCITATORY,
    "inhibitory": SignMode.INHIBITORY,
}
ONCE = (1 << 31) - 1  # an interval longer than any run: the reset at column 0 is the only one


def lif_process(population: Population, interval: int | None, first_step: int = 1) -> Any:
    """The stock LIF; with ``interval``, the LIFReset that clears u and v before column 0.

    ``first_step`` is the step in which column 0 leaves the source. Registers that differ between
    neurons make it a `LIFEach`; a reset that Intel's LIF lacks, a Process of ours.
    """
    registers: dict[str, Any] = {
        "shape": population.shape,
        "du": population.du,
        "dv": population.dv,
        "vth": population.vth,
        "bias_mant": population.bias_mant,
        "bias_exp": population.bias_exp,
        "name": population.name,
    }
    own, alike = population.reset, not population.differs
    if interval is None and own is None and alike:
        return LIF(**registers)
    every = interval or ONCE
    phase = (first_step + population.start) % every
    registers |= {"reset_interval": every, "reset_offset": phase}
    if own is None:
        return LIFReset(**registers) if alike else LIFEach(**registers)
    return LIFOwnReset(reset_kind=own.kind, reset_when=own.when, amount=own.amount, **registers)


def connection_process(projection: Projection, interval: int | None, column_step: int) -> Any:
    """The stock connection, silent where a sample of ``interval`` steps has no column to send.

    ``column_step`` is a step in which the target computes column 0; with ``interval`` None there is
    one sample without an end, before which nothing happens.
    """
    weights = projection.weights
    held = {
        "weights": _csr(weights, weights.values) if isinstance(weights, Matrix) else weights,
        "weight_exp": projection.weight_exp,
        "num_weight_bits": projection.num_weight_bits,
        "sign_mode": SIGN_MODES[projection.sign_mode],
        "num_message_bits": projection.message_bits,
        "name": projection.name,
    }
    lag = max(projection.lag, 0) if interval else 0
    held |= _waiting(projection)
    unrolled, waits = isinstance(weights, Matrix), projection.delay > 1
    if not lag and not waits:
        return Sparse(**held) if unrolled else Dense(**held)
    return COLUMNS[unrolled, waits](interval=interval or 1, first=column_step, lag=lag, **held)


COLUMNS: dict[tuple[bool, bool], type[Any]] = {  # unrolled, waits
    (False, False): DenseColumns,
    (False, True): DelayDenseColumns,
    (True, False): SparseColumns,
    (True, True): DelaySparseColumns,
}


def _waiting(projection: Projection) -> dict[str, Any]:
    """The delay of every synapse beyond the connection's own step."""
    weights, beyond = projection.weights, projection.delay - 1
    if not beyond:
        return {}
    if isinstance(weights, Matrix):
        return {"delays": _csr(weights, np.full(weights.values.shape, beyond, np.int64))}
    return {"delays": np.full(weights.shape, beyond, np.int64)}


def _csr(matrix: Matrix, values: npt.NDArray[Any]) -> Any:
    return csr_matrix((values, (matrix.rows, matrix.columns)), shape=matrix.shape)
