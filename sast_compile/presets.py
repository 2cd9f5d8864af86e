"""The contracts of the frameworks that write and read NIR, each read off its own source.

A preset is what a framework computes by default on the graph that its own exporter writes. What
its exporter loses, and what then holds by default, stands in `losses.py`: a user who trained
otherwise says so (`contract_text.changed`).
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from sast_compile.contract import MOST_SPIKES, Contract, contract_from_json
from sast_compile.errors import ContractMissing
from sast_compile.files import read_whole


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A contract by name; ``dt`` inside it counts only where the exporter fixes it.

    ``step`` are the framework's own equations, in its own words where they are short.
    """

    framework: str  # with the version whose source was read
    source: str  # where its step and its exporter stand in that source
    step: tuple[str, ...]
    contract: Contract
    fixed_dt: bool = False
    usual_dt: float | None = None  # what the exporter takes by default; never taken for granted
    dt_hint: str = "add --dt SECONDS"


def _euler_zero(**changes: object) -> Contract:
    """NIR's equations by Euler's rule, zero at the spike, ``>``, but for ``changes``."""
    plain = Contract(dt=1.0, leak="euler", reset="zero", reset_when="after_fire", compare=">")
    return replace(plain, **changes)


PRESETS: dict[str, Preset] = {
    "snntorch": Preset(
        framework="snnTorch 1.0.0",
        source="snntorch/_neurons/{leaky,rleaky,synaptic,rsynaptic}.py, snntorch/export_nir.py",
        step=(
            "Leaky: mem = beta mem + x - reset threshold, spk = mem > threshold; "
            "reset is the spk of the step before",
            "Synaptic: syn = alpha syn + x, mem = beta mem + syn - reset threshold",
            "RLeaky, RSynaptic: x + recurrent(spk of the step before)",
            "reset_mechanism zero: Leaky mem = beta (1 - reset) mem + x; "
            "the others mem = (1 - reset) (beta mem + x), the drive of the step lost",
            "writes tau = dt/(1 - beta), r = tau/dt, w_in = tau_syn/dt with dt = 1e-4",
        ),
        contract=Contract(
            dt=1e-4,
            leak="alpha",
            drive="unit",
            synapse="unit",
            reset="subtract",
            reset_when="after_decay",
            compare=">",
            feedback=1,
        ),
        fixed_dt=True,
    ),
    "norse": Preset(
        framework="Norse 1.1.0",
        source="norse/torch/functional/{lif,lif_box,iaf,leaky_integrator_box}.py, "
        "norse/torch/utils/export_nir.py",
        step=(
            "LIFBoxCell: v = v + dt tau_mem_inv (v_leak - v + x), z = v > v_th, v = v_reset",
            "LIFCell: i = i + x, v = v + dt tau_mem_inv (v_leak - v + i), then i = i - dt "
            "tau_syn_inv i",
            "IAFCell: v = v + x",
            "writes tau = dt_export/tau_mem_inv, r = 1, no v_reset and no w_in",
        ),
        contract=_euler_zero(drive="step", synapse="unit"),
        usual_dt=1e-6,
        dt_hint="its exporter writes tau = dt/tau_mem_inv, which is dt times the time constant: "
        "add --dt with the product of the cells' dt and to_nir's, 1e-6 where both are by default",
    ),
    "sinabs": Preset(
        framework="sinabs 3.1.3",
        source="sinabs/layers/functional/lif.py, sinabs/activation/*.py, sinabs/nir.py",
        step=(
            "LIF: v_mem = alpha v_mem + (1 - alpha) x, alpha = exp(-1/tau_mem), tau_mem in steps",
            "IAF: v_mem = v_mem + x",
            "MultiSpike: n = floor(v_mem/spike_threshold) where v_mem > 0, "
            "v_mem = v_mem - n spike_threshold",
            "writes tau = tau_mem, r = 1, no v_reset",
        ),
        contract=Contract(
            dt=1.0,
            leak="exact",
            drive="step",
            synapse="decayed",
            reset="subtract",
            reset_when="after_fire",
            compare=">=",
            spikes=MOST_SPIKES,
        ),
        fixed_dt=True,
    ),
    "spikingjelly": Preset(
        framework="SpikingJelly 2.0.0",
        source="spikingjelly/activation_based/functional/neuron.py, nir_exchange/to_nir.py",
        step=(
            "LIFNode: v = v + (x - (v - v_reset))/tau, without decay_input v + x - "
            "(v - v_reset)/tau; s = v >= v_threshold, v = v_reset",
            "IFNode: v = v + x",
            "CUBALIFNode: c = c_decay c + x, v = v_decay v + c",
            "writes tau dt, r = 1 or (without decay_input) tau; IF r = 1/dt; "
            "CubaLIF r = tau_mem/dt, w_in = tau_syn/dt",
        ),
        contract=_euler_zero(compare=">="),
        usual_dt=1e-4,
        dt_hint="add --dt with the dt of export_to_nir, which is 1e-4 by default",
    ),
    "rockpool": Preset(
        framework="Rockpool 3.1.0",
        source="rockpool/nn/modules/torch/{lif_torch,lif_neuron_torch,nir}.py",
        step=(
            "LIFTorch: isyn = beta (isyn + x), vmem = alpha vmem + isyn + bias, "
            "alpha = exp(-dt/tau_mem), beta = exp(-dt/tau_syn)",
            "LIFNeuronTorch: vmem = alpha vmem + x + bias",
            "n = floor(vmem/threshold) where vmem >= threshold, vmem = vmem - n threshold",
            "writes tau, r = tau_mem alpha/dt, v_leak = 0 for any bias, no w_rec, no v_reset",
        ),
        contract=Contract(
            dt=1.0,
            leak="exact",
            drive="unit",
            synapse="decayed",
            reset="subtract",
            reset_when="after_fire",
            compare=">=",
            spikes=MOST_SPIKES,
        ),
        usual_dt=1e-3,
        dt_hint="add --dt with the dt of the modules, which is 1e-3 by default",
    ),
    "lava": Preset(
        framework="Lava 0.10.0, floating point",
        source="lava/proc/lif/models.py (PyLifModelFloat)",
        step=(
            "u = u (1 - du) + a_in, v = v (1 - dv) + u + bias, s = v > vth, v = 0",
            "du = dt/tau_syn, dv = dt/tau_mem; every connection takes a step",
        ),
        contract=_euler_zero(feedback=1),
    ),
    "lava-dl": Preset(
        framework="lava-dl 0.7.0.dev0, slayer",
        source="lava/lib/dl/slayer/neuron/cuba.py, dynamics/leaky_integrator.py",
        step=(
            "current = (1 - current_decay) current + x, "
            "voltage = (1 - voltage_decay) voltage + current, spike and 0",
            "voltage >= threshold + 0.01/4096, both on a grid of 1/4096: the comparison is >",
            "slayer rounds states and decays to Loihi's integers, which no float model does",
        ),
        contract=_euler_zero(feedback=1),
    ),
    "nir-euler": Preset(
        framework="NIR by Euler's rule",
        source="NIR (Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9), its equations",
        step=("v = v + dt/tau (v_leak - v + r I), s = v > v_threshold, v = v_reset",),
        contract=_euler_zero(),
    ),
    "nir-exact": Preset(
        framework="NIR by its solution for a constant input",
        source="NIR (Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9), its equations",
        step=(
            "v = e v + (1 - e) (v_leak + r I), e = exp(-dt/tau), s = v > v_threshold, v = v_reset",
        ),
        contract=_euler_zero(leak="exact"),
    ),
    "sast": Preset(
        framework="sast-compile",
        source="arXiv 2603.18039",
        step=("v[t] = alpha v[t-1] (1 - s[t-1]) + I[t], s = v >= threshold",),
        contract=_euler_zero(reset_when="before_decay", compare=">="),
    ),
}


def named_contract(name: str, dt: float | None) -> Contract:
    """The contract that a user names: a preset of `PRESETS`, or the path of a JSON file.

    ``dt`` is in the unit of the graph's time constants, which NIR wants to be seconds; it is never
    guessed, and needed but where the exporter fixes it.
    """
    if name.endswith(".json"):
        stated = contract_from_json(read_whole(name), name)
        return stated if dt is None else replace(stated, dt=dt)
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise ContractMissing(f"unknown contract {name!r}", hint=f"{known}, or a .json file")
    preset = PRESETS[name]
    if dt is None and not preset.fixed_dt:
        raise ContractMissing(f"the contract {name!r} needs a time step", hint=preset.dt_hint)
    return preset.contract if dt is None else replace(preset.contract, dt=dt)
