"""One step after another as each framework writes it in its source, in plain numpy.

Nothing here knows of contracts: every function takes a framework's own parameters and the currents
(steps, neurons), and follows the lines of the framework that its docstring names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]


def snntorch_leaky(x: Floats, beta: Any, threshold: float, mechanism: str) -> Floats:
    """snntorch/_neurons/leaky.py, forward with _base_sub or _base_zero."""
    mem, spikes = np.zeros(x.shape[1]), []
    for current in x:
        reset = (mem > threshold).astype(float)
        if mechanism == "zero":
            mem = (1 - reset) * mem
            mem = beta * mem + current
        else:
            mem = beta * mem + current - reset * threshold
        spikes.append(mem > threshold)
    return np.array(spikes, float)


def snntorch_rleaky(x: Floats, beta: Any, threshold: float, mechanism: str, w: Floats) -> Floats:
    """snntorch/_neurons/rleaky.py: the zero takes the whole of the new membrane."""
    mem, spk, spikes = np.zeros(x.shape[1]), np.zeros(x.shape[1]), []
    for current in x:
        reset = (mem > threshold).astype(float)
        base = beta * mem + current + w @ spk
        mem = base - reset * (base if mechanism == "zero" else threshold)
        spk = (mem > threshold).astype(float)
        spikes.append(spk)
    return np.array(spikes)


def snntorch_synaptic(x: Floats, alpha: Any, beta: Any, threshold: float, mechanism: str) -> Floats:
    """snntorch/_neurons/synaptic.py: _base_zero leaves syn as it is."""
    syn, mem, spikes = np.zeros(x.shape[1]), np.zeros(x.shape[1]), []
    for current in x:
        reset = (mem > threshold).astype(float)
        syn = alpha * syn + current
        base = beta * mem + syn
        mem = base - reset * (base if mechanism == "zero" else threshold)
        spikes.append(mem > threshold)
    return np.array(spikes, float)


def snntorch_leaky_at_once(x: Floats, beta: Any, threshold: float) -> Floats:
    """The same Leaky with reset_delay=False and reset_mechanism="zero"."""
    mem, spikes = np.zeros(x.shape[1]), []
    for current in x:
        reset = (mem > threshold).astype(float)
        mem = beta * ((1 - reset) * mem) + current
        spk = (mem > threshold).astype(float)
        mem = mem - (spk - reset) * mem
        spikes.append(spk)
    return np.array(spikes)


def norse_lif_box(
    x: Floats, tau_mem_inv: Any, v_leak: float, v_th: float, subtract: bool, dt: float
) -> Floats:
    """norse/torch/functional/lif_box.py with reset_value or reset_subtract; v starts at v_leak."""
    v, spikes = np.full(x.shape[1], v_leak), []
    for current in x:
        v = v + dt * tau_mem_inv * (current + v_leak - v)
        z = (v - v_th > 0).astype(float)
        v = (1 - z) * v + z * (v - v_th if subtract else 0.0)
        spikes.append(z)
    return np.array(spikes)


def norse_lif(x: Floats, tau_syn_inv: Any, tau_mem_inv: Any, v_th: float, dt: float) -> Floats:
    """norse/torch/functional/lif.py, lif_feed_forward_step."""
    v, i, spikes = np.zeros(x.shape[1]), np.zeros(x.shape[1]), []
    for current in x:
        i_new = i + current
        v = v + dt * tau_mem_inv * (0.0 - v + i_new)
        i = i_new - dt * tau_syn_inv * i_new
        z = (v - v_th > 0).astype(float)
        v = (1 - z) * v
        spikes.append(z)
    return np.array(spikes)


def norse_iaf(x: Floats, v_th: float) -> Floats:
    """norse/torch/functional/iaf.py, iaf_feed_forward_step."""
    v, spikes = np.zeros(x.shape[1]), []
    for current in x:
        v = v + current
        z = (v - v_th > 0).astype(float)
        v = (1 - z) * v
        spikes.append(z)
    return np.array(spikes)


def sinabs_lif(
    x: Floats, alpha: Any, threshold: float, norm_input: bool, single: bool, subtract: bool
) -> Floats:
    """sinabs/layers/functional/lif.py with the classes of sinabs/activation; alpha 1 is an IAF."""
    v, spikes = np.zeros(x.shape[1]), []
    for current in x:
        v = alpha * v + ((1 - alpha) * current if norm_input else current)
        n = (v - threshold >= 0).astype(float) if single else (v > 0) * np.trunc(v / threshold)
        v = v - n * threshold if subtract else v * (n == 0)
        spikes.append(n)
    return np.array(spikes)


def spikingjelly_lif(
    x: Floats, tau: float, decay_input: bool, v_threshold: float, v_reset: float
) -> Floats:
    """spikingjelly/activation_based/functional/neuron.py, lif_charge and a hard reset."""
    v, spikes = np.full(x.shape[1], v_reset), []
    for current in x:
        if decay_input:
            v = v + (current - (v - v_reset)) / tau
        else:
            v = v - (v - v_reset) / tau + current
        s = (v - v_threshold >= 0).astype(float)
        v = (1 - s) * v + s * v_reset
        spikes.append(s)
    return np.array(spikes)


def spikingjelly_if(x: Floats, v_threshold: float) -> Floats:
    """The same file, if_charge."""
    v, spikes = np.zeros(x.shape[1]), []
    for current in x:
        v = v + current
        s = (v - v_threshold >= 0).astype(float)
        v = (1 - s) * v
        spikes.append(s)
    return np.array(spikes)


def spikingjelly_cuba(x: Floats, c_decay: float, v_decay: float, v_threshold: float) -> Floats:
    """The same file, cuba_lif_step."""
    c, v, spikes = np.zeros(x.shape[1]), np.zeros(x.shape[1]), []
    for current in x:
        c = c * c_decay + current
        v = v * v_decay + c
        s = (v - v_threshold >= 0).astype(float)
        v = (1 - s) * v
        spikes.append(s)
    return np.array(spikes)


def rockpool_lif(x: Floats, tau_mem: Any, tau_syn: Any, threshold: float, dt: float) -> Floats:
    """rockpool/nn/modules/torch/lif_torch.py, forward with StepPWL; tau_syn None: lif_neuron."""
    alpha = np.exp(-dt / tau_mem)
    isyn, vmem, spikes = np.zeros(x.shape[1]), np.zeros(x.shape[1]), []
    for current in x:
        isyn = current if tau_syn is None else (isyn + current) * np.exp(-dt / tau_syn)
        vmem = vmem * alpha + isyn
        n = (vmem >= threshold) * np.floor(vmem / threshold)
        vmem = vmem - n * threshold
        spikes.append(n)
    return np.array(spikes)


def lava_lif(x: Floats, du: float, dv: float, vth: float) -> Floats:
    """lava/proc/lif/models.py, PyLifModelFloat: subthr_dynamics, spiking, reset_voltage."""
    u, v, spikes = np.zeros(x.shape[1]), np.zeros(x.shape[1]), []
    for a_in in x:
        u = u * (1 - du) + a_in
        v = v * (1 - dv) + u
        s = v > vth
        v = np.where(s, 0.0, v)
        spikes.append(s)
    return np.array(spikes, float)


def held_current(x: Floats, tau: float, r: float, v_threshold: float, dt: float) -> Floats:
    """NIR's ``tau dv/dt = -v + r I`` with I held for dt, by fine steps of the midpoint rule."""
    fine, v, spikes = 256, np.zeros(x.shape[1]), []
    for current in x:
        for _ in range(fine):  # the error falls with its square
            half = v + dt / fine / 2 * (r * current - v) / tau
            v = v + dt / fine * (r * current - half) / tau
        s = v > v_threshold
        v = np.where(s, 0.0, v)
        spikes.append(s)
    return np.array(spikes, float)
