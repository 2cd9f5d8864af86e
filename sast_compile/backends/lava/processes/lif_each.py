"""LIFs beside the stock one: registers of each neuron, and resets that stock Lava lacks.

u, the leak, the bias, the threshold and the reset between samples are inherited from Intel's
LIFReset in both.

What a spike does to v in `LIFOwnReset` is **ours, and so there is no independent oracle of it.**
Intel's fixed-point LIF resets v to 0 in the step of the spike, and nothing else; here it is written
by us, as in the interpreter. An agreement of the two shows that we understood one thing twice, and
`verify` counts no such population as confirmed. Where stock ATRLIF can compute the same (no leak,
currents below 64, a threshold on the grid), a test holds this Process against it.

``implements_process = None``: a model that inherits one cannot be given another (Lava's decorator
`implements`), but for this.
"""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.variable import Var
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset


class LIFEach(LIFReset):  # type: ignore[misc]  # Lava has no types
    """The stock LIFReset with a du, dv and vth of every neuron.

    The stock Process has one Var of each; the stock equations are numpy's and take arrays as well.
    """

    def __init__(
        self, *, shape: tuple[int, ...], du: Any, dv: Any, vth: Any, **kwargs: object
    ) -> None:
        super().__init__(shape=shape, du=du, dv=dv, vth=vth, **kwargs)
        self.du = Var(shape=shape, init=du)
        self.dv = Var(shape=shape, init=dv)
        self.vth = Var(shape=shape, init=vth)


class LIFOwnReset(LIFEach):
    """The same, but for what a spike does; ``amount`` is in units of v.

    - ``reset_kind``: ``subtract``, v <- v - amount; ``zero``, v <- 0
    - ``reset_when``: ``after_fire``, in the step of the spike; ``before_decay``, at the start of
      the next step; ``after_decay``, in the next step, the decayed v is what is reset
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        reset_kind: str,
        reset_when: str,
        amount: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(shape=shape, **kwargs)
        self.proc_params["reset_kind"] = reset_kind
        self.proc_params["reset_when"] = reset_when
        self.amount = Var(shape=shape, init=amount)
        self.fired = Var(shape=shape, init=0)


@implements(proc=LIFEach, protocol=LoihiProtocol)
class PyLIFEach(PyLifResetModelBitAcc):  # type: ignore[misc]
    """The stock model, its three registers read as arrays."""

    implements_process = None
    du: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=12)
    dv: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=12)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=17)


@implements(proc=LIFOwnReset, protocol=LoihiProtocol)
class PyLIFOwnReset(PyLIFEach):
    """The stock model with a memory of the last spikes; sums stay in int32 (see arithmetic.py)."""

    implements_process = None
    amount: np.ndarray = LavaPyType(np.ndarray, np.int32)
    fired: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def __init__(self, proc_params) -> None:  # type: ignore[no-untyped-def]
        super().__init__(proc_params)
        self.effective_bias: Any = 0
        self.kind, self.when = proc_params["reset_kind"], proc_params["reset_when"]

    def run_spk(self) -> None:
        if self.time_step % self.reset_interval == self.reset_offset:
            self.fired[:] = 0  # u and v are cleared by the stock step, before its dynamics
        if self.when == "before_decay" or (self.kind == "zero" and self.when == "after_decay"):
            self.apply_reset(self.fired > 0)  # the decay of 0 is 0: zero before it or after it
        super().run_spk()

    def scale_bias(self) -> None:
        """What is added to the decayed v in this step: the bias, and a reset that comes late."""
        super().scale_bias()
        if self.kind == "subtract" and self.when == "after_decay":
            self.effective_bias = self.effective_bias - self.fired * self.amount

    def reset_voltage(self, spike_vector: np.ndarray) -> None:
        """Called by the stock step with the spikes of this step, behind the comparison."""
        self.fired[:] = spike_vector
        if self.when == "after_fire":
            self.apply_reset(spike_vector)

    def apply_reset(self, spikes: np.ndarray) -> None:
        if self.kind == "zero":
            self.v[spikes] = 0
        else:
            self.v[spikes] -= self.amount[spikes]
