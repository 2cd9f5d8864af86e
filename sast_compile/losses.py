"""What the frameworks' NIR exporters do not write, and what a file then means by default.

Read in the exporters that `presets.py` names, beside the classes that they export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOT = "another: cannot be said"


@dataclass(frozen=True)
class Loss:
    """A choice by the framework's own word, its default there, and how the other is said."""

    what: str
    default: str
    otherwise: str
    fields: tuple[str, ...] = ()  # of a contract, which say it
    kinds: tuple[str, ...] = ()  # of NIR nodes that it concerns; none: all


LOSSES: Mapping[str, tuple[Loss, ...]] = {
    "snntorch": (
        Loss(
            what="reset_mechanism",
            default="subtract",
            otherwise="zero: --contract-set reset=zero, and --contract-set "
            "reset_when=before_decay for Leaky, after_input for RLeaky, Synaptic and RSynaptic; "
            "none: cannot be said",
            fields=("reset",),
        ),
        Loss(
            what="reset_delay",
            default="True",
            otherwise="False: --contract-set reset_when=after_fire; with subtract that is the same "
            "only while what is left after a spike does not exceed the threshold",
            fields=("reset_when",),
        ),
        Loss("inhibition, state_quant and graded_spikes_factor", "False, False and 1", NOT),
    ),
    "norse": (
        Loss("v_reset", "0", NOT),
        Loss(
            what="reset_method of a LIFBoxCell",
            default="reset_value",
            otherwise="reset_subtract: --contract-set reset=subtract",
            fields=("reset",),
            kinds=("LIF",),
        ),
        Loss("dt of the cells", "0.001", "it is in --dt, times that of to_nir"),
    ),
    "sinabs": (
        Loss("spike_fn", "MultiSpike", "SingleSpike: --contract-set spikes=1", ("spikes",)),
        Loss(
            "reset_fn", "MembraneSubtract", "MembraneReset: --contract-set reset=zero", ("reset",)
        ),
        Loss("norm_input", "True", "False: --contract-set drive=unit", ("drive",), ("LIF",)),
        Loss("tau_syn", "None", NOT),
        Loss("min_v_mem", "None", NOT),
    ),
    "spikingjelly": (Loss("dt", "1e-4", "it is --dt"),),
    "rockpool": (
        Loss("dt", "1e-3", "it is --dt"),
        Loss("bias of a neuron", "0", NOT),
        Loss("w_rec of a LIFTorch", "none", NOT, kinds=("CubaLIF",)),
        Loss("max_spikes_per_dt", "65536", "N: --contract-set spikes=N", ("spikes",)),
    ),
}
