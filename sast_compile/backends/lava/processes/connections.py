"""Stock connections that are silent in the first columns of a sample, as if it were the first one.

Samples run behind one another without a gap, while spikes of the sample before are still on their
way. A path that brings to column k the spikes of column ``k - lag`` brings nothing of its own
sample to the first ``lag`` columns: what a stock connection would send there is of the sample
before, or of the steps before the first one, and it is all that is ever wrong. So clearing what is
about to be sent, in just those columns, is exact.

The stock Reset can clear ``a_buff`` too, but it sends three messages in a row through one RefPort,
and CspSelector may miss the last (see runner._end): the graph would hang.

``implements_process = None``: a model that inherits one cannot be given another (Lava's decorator
`implements`), but for this.
"""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc
from lava.proc.sparse.process import DelaySparse, Sparse


class DenseColumns(Dense):  # type: ignore[misc]  # Lava has no types
    """The stock Dense; silent where ``(t - first) % interval < lag``.

    ``first`` is a step in which the target computes column 0, ``interval`` the length of a sample.
    """

    def __init__(self, *, interval: int, first: int, lag: int, **kwargs: object) -> None:
        super().__init__(interval=interval, first=first, lag=lag, **kwargs)


class SparseColumns(Sparse):  # type: ignore[misc]
    """The stock Sparse; silent where `DenseColumns` is."""

    def __init__(self, *, interval: int, first: int, lag: int, **kwargs: object) -> None:
        super().__init__(interval=interval, first=first, lag=lag, **kwargs)


class DelayDenseColumns(DelayDense):  # type: ignore[misc]
    """The stock DelayDense; silent where `DenseColumns` is."""

    def __init__(self, *, interval: int, first: int, lag: int, **kwargs: object) -> None:
        super().__init__(interval=interval, first=first, lag=lag, **kwargs)


class DelaySparseColumns(DelaySparse):  # type: ignore[misc]
    """The stock DelaySparse; silent where `DenseColumns` is."""

    def __init__(self, *, interval: int, first: int, lag: int, **kwargs: object) -> None:
        super().__init__(interval=interval, first=first, lag=lag, **kwargs)


class ByColumn:
    """The rule of silence, and the stock model's step behind it.

    In step t a model sends what arrived before, held in ``a_buff``, and then receives:
    AbstractPyDenseModelBitAcc.run_spk and its three siblings.
    """

    a_buff: Any
    proc_params: Any
    time_step: int

    def run_spk(self) -> None:
        column = (self.time_step - self.proc_params["first"]) % self.proc_params["interval"]
        if column < self.proc_params["lag"]:
            self.silence()
        super().run_spk()  # type: ignore[misc]  # the stock model, next in line

    def silence(self) -> None:
        self.a_buff = np.zeros_like(self.a_buff)


class ByColumnDelayed(ByColumn):
    """The same for a buffer with a column for each step to come, of which the first is sent now.

    The stock model makes the matrix of weights by delay anew in every step, for weights that do
    not change: here it is made once, by the stock method.
    """

    made: Any = None

    def silence(self) -> None:
        self.a_buff[:, 0] = 0

    def get_delay_wgts_mat(self, weights: Any, delays: Any, max_delay: int) -> Any:
        if self.made is None:
            stock = super().get_delay_wgts_mat  # type: ignore[misc]
            self.made = stock(weights, delays, max_delay)
        return self.made


@implements(proc=DenseColumns, protocol=LoihiProtocol)
class PyDenseColumns(ByColumn, PyDenseModelBitAcc):  # type: ignore[misc]
    """Intel's, silent by column; its tags and resources are inherited."""

    implements_process = None


@implements(proc=SparseColumns, protocol=LoihiProtocol)
class PySparseColumns(ByColumn, PySparseModelBitAcc):  # type: ignore[misc]
    """Intel's, silent by column; its tags and resources are inherited."""

    implements_process = None


@implements(proc=DelayDenseColumns, protocol=LoihiProtocol)
class PyDelayDenseColumns(ByColumnDelayed, PyDelayDenseModelBitAcc):  # type: ignore[misc]
    """Intel's, silent by column; its tags and resources are inherited."""

    implements_process = None


@implements(proc=DelaySparseColumns, protocol=LoihiProtocol)
class PyDelaySparseColumns(ByColumnDelayed, PyDelaySparseModelBitAcc):  # type: ignore[misc]
    """Intel's, silent by column; its tags and resources are inherited."""

    implements_process = None
