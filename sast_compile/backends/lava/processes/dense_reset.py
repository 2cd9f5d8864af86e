"""A Dense that forgets between samples, as LIFReset does."""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.models import AbstractPyDenseModelBitAcc
from lava.proc.dense.process import Dense


class DenseReset(Dense):  # type: ignore[misc]  # Lava has no types
    """The stock Dense; the current it holds back is 0 in steps ``t % interval == offset``.

    For connections within a layer: PyDenseModelBitAcc.run_spk sends in step t what arrived in step
    t - 1, so the first column of a sample would receive the last spikes of the sample before. The
    stock Reset can clear ``a_buff`` too, but it sends three messages in a row through one RefPort,
    and CspSelector may miss the last (see runner._end): the graph would hang.
    """

    def __init__(self, *, reset_interval: int, reset_offset: int, **kwargs: object) -> None:
        super().__init__(reset_interval=reset_interval, reset_offset=reset_offset, **kwargs)


@implements(proc=DenseReset, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyDenseReset(AbstractPyDenseModelBitAcc):  # type: ignore[misc]
    """The stock bit-accurate model, behind a clearing."""

    a_buff: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=16)

    def run_spk(self) -> None:
        if self.time_step % self.proc_params["reset_interval"] == self.proc_params["reset_offset"]:
            self.a_buff = np.zeros_like(self.a_buff)
        super().run_spk()
