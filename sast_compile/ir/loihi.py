"""Loihi's neuron, one composition of the IR's records.

lava-nc 0.10, AbstractPyLifModelFixed.subthr_dynamics: ds_offset = 1, dm_offset = 0, a decay comes
before what is added, u wraps once, v clips; currents and thresholds are shifted left by 6.
"""

from __future__ import annotations

from sast_compile.ir.neuron import Clamp, Fire, MulShift, Param, Reset, State
from sast_compile.ir.ops import Neuron

ALIGNMENT = 6  # lava.proc.lif.models: act_shift and vth_shift
U = Clamp(rule="wrap_once", low=-(2**23) + 1, high=2**23)
V = Clamp(rule="saturate", low=-(2**23) + 1, high=2**23 - 1)


def loihi_neuron(
    shape: tuple[int, ...],
    *,
    du: Param,
    dv: Param | None,
    threshold: Param,
    bias: Param = 0,
    bias_exponent: int = 0,
    start: int = 0,
) -> Neuron:
    """The population with these registers; ``dv`` None is a voltage without leak."""
    return Neuron(
        shape=shape,
        synapses=(State(decay=MulShift(decay=du, offset=1), gain=1 << ALIGNMENT, clamp=U),),
        voltage=State(
            decay=None if dv is None else MulShift(decay=dv),
            bias=bias,
            bias_exponent=bias_exponent,
            clamp=V,
        ),
        fire=Fire(compare=">", threshold=threshold, unit=1 << ALIGNMENT),
        reset=Reset(kind="zero"),
        start=start,
    )


def as_loihi(op: Neuron) -> Neuron:
    """Loihi's neuron with the registers of ``op``: equal to ``op`` exactly if that is one."""
    return loihi_neuron(
        op.shape,
        du=rate(op.synapses[0]) if op.synapses else 0,
        dv=None if op.voltage.decay is None else rate(op.voltage),
        threshold=op.fire.threshold if op.fire else 1,
        bias=op.voltage.bias,
        bias_exponent=op.voltage.bias_exponent,
        start=op.start,
    )


def rate(state: State) -> Param:
    """The decay register of ``state``; 0 if it has none of this kind."""
    return state.decay.decay if isinstance(state.decay, MulShift) else 0
