"""The Lava processes that hold a population and a projection; imports Lava."""

from __future__ import annotations

from typing import Any

from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from sast_compile.backends.lava.graph import Matrix, Projection
from sast_compile.backends.lava.processes.dense_reset import DenseReset
from sast_compile.backends.lava.registers import Population

SIGN_MODES = {"mixed": SignMode.MIXED, "excitatory": SignMode.EXCITATORY}


def lif_process(population: Population, interval: int | None, first_step: int = 1) -> Any:
    """The stock LIF; with ``interval``, the LIFReset that clears u and v before column 0.

    ``first_step`` is the step in which column 0 leaves the source.
    """
    registers = {
        "shape": population.shape,
        "du": population.du,
        "dv": population.dv,
        "vth": population.vth,
        "bias_mant": population.bias_mant,
        "bias_exp": population.bias_exp,
        "name": population.name,
    }
    if interval is None:
        return LIF(**registers)
    phase = (first_step + population.start) % interval
    return LIFReset(reset_interval=interval, reset_offset=phase, **registers)


def dense_process(projection: Projection, interval: int | None, column_step: int) -> Any:
    """The stock Dense or Sparse; within a layer the Dense that clears its buffer between samples.

    ``column_step`` is the step in which the target computes column 0.
    """
    weights = projection.weights
    held = {
        "weights": _csr(weights) if isinstance(weights, Matrix) else weights,
        "weight_exp": projection.weight_exp,
        "num_weight_bits": projection.num_weight_bits,
        "sign_mode": SIGN_MODES[projection.sign_mode],
        "num_message_bits": projection.message_bits,
        "name": projection.name,
    }
    if isinstance(weights, Matrix):
        return Sparse(**held)
    if not projection.lateral or interval is None:
        return Dense(**held)
    return DenseReset(reset_interval=interval, reset_offset=column_step % interval, **held)


def _csr(matrix: Matrix) -> Any:
    return csr_matrix((matrix.values, (matrix.rows, matrix.columns)), shape=matrix.shape)
