"""Recorders: they keep what a population does in a compact buffer and write one file at its end.

Lava's Monitor keeps float64 and hands its data out one element at a time, about 7 microseconds
each: fetching costs more than running.
"""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, RefPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class SpikeRecorder(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """Writes ``path`` (.npz): ``spikes`` as uint8 (count, *shape), from step ``first`` on."""

    def __init__(self, *, shape: tuple[int, ...], first: int, count: int, path: str) -> None:
        super().__init__(shape=shape, first=first, count=count, path=path)
        self.s_in = InPort(shape=shape)


class StateRecorder(AbstractProcess):  # type: ignore[misc]
    """Writes what `SpikeRecorder` does, and ``u`` and ``v`` after each step as int32."""

    def __init__(self, *, shape: tuple[int, ...], first: int, count: int, path: str) -> None:
        super().__init__(shape=shape, first=first, count=count, path=path)
        self.s_in = InPort(shape=shape)
        self.u = RefPort(shape=shape)
        self.v = RefPort(shape=shape)


class PyRecorder(PyLoihiProcessModel):  # type: ignore[misc]
    """What both models share: a row of each array a step, the file with the last row."""

    names: tuple[tuple[str, type], ...] = ()
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params) -> None:  # type: ignore[no-untyped-def]
        super().__init__(proc_params)
        shape = (proc_params["count"], *proc_params["shape"])
        self.kept: dict[str, Any] = {name: np.zeros(shape, kind) for name, kind in self.names}

    def in_window(self) -> bool:
        return 0 <= self.row() < len(self.kept["spikes"])

    def row(self) -> int:
        return int(self.time_step - self.proc_params["first"])

    def run_spk(self) -> None:
        spikes = self.s_in.recv()  # received in every step, or the sender would block
        if self.in_window():
            self.kept["spikes"][self.row()] = spikes

    def write_after_last_row(self) -> None:
        if self.row() == self.proc_params["count"] - 1:
            np.savez(self.proc_params["path"], **self.kept)


@implements(proc=SpikeRecorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySpikeRecorder(PyRecorder):
    """Spikes only: no management phase, which is the dear part of a step."""

    names = (("spikes", np.uint8),)

    def run_spk(self) -> None:
        super().run_spk()
        self.write_after_last_row()


@implements(proc=StateRecorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyStateRecorder(PyRecorder):
    """Reads u and v in the management phase behind each step, as Lava's Monitor does."""

    names = (("spikes", np.uint8), ("u", np.int32), ("v", np.int32))
    u: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)
    v: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)

    def post_guard(self) -> bool:
        return self.in_window()

    def run_post_mgmt(self) -> None:
        self.kept["u"][self.row()] = self.u.read()
        self.kept["v"][self.row()] = self.v.read()
        self.write_after_last_row()
