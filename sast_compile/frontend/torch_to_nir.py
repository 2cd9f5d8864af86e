"""A torch network as a NIR graph, with the discretisation contract in its metadata.

NIR states differential equations: ``tau dv/dt = -v + r I``. One Euler step of length dt is ``v <-
(1 - dt/tau) v + (dt/tau) r I``, so a neuron ``v <- alpha v + I`` has ``tau = dt / (1 - alpha)``
and ``r = tau / dt``; without leak (NIR's IF, ``dv/dt = r I``) ``r = 1 / dt``. Everything that NIR
leaves open is in the contract (NIR: Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9).
"""

from __future__ import annotations

import os
from itertools import pairwise

import nir
import numpy as np
from torch import nn

from sast_compile.contract import METADATA_KEY, Contract
from sast_compile.errors import Unsupported
from sast_compile.files import write_whole
from sast_compile.frontend.nir_file import nir_bytes
from sast_compile.nn.layers import recurrent_name
from sast_compile.nn.network import Network
from sast_compile.nn.neurons import LI, LIF, CubaLIF


def to_nir(network: Network, contract: Contract) -> nir.NIRGraph:
    """The graph input -> layers under their own names -> output; weights keep their precision.

    ``contract`` must be one of this network: ``network.contract(dt, encoding)``.
    """
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array(network.input_shape))}
    shape = network.input_shape
    for name, after in network.shapes().items():
        nodes[name] = _node(network.get_submodule(name), shape, contract.dt)
        shape = after
    nodes["output"] = nir.Output(np.array(shape))
    edges = list(pairwise(nodes))
    for name, layer in network.named_children():
        if name not in nodes:  # what carries a population's spikes back to it
            nodes[name] = _node(layer, shape, contract.dt)
            population = name.removesuffix(recurrent_name(""))
            edges += [(population, name), (name, population)]
    return nir.NIRGraph(
        nodes=nodes,
        edges=edges,
        metadata={METADATA_KEY: contract.to_json()},
    )


def write_nir(graph: nir.NIRGraph, path: str | os.PathLike[str]) -> None:
    """The graph lies at ``path`` as HDF5, whole or not at all; the same graph, the same bytes."""
    write_whole(path, nir_bytes(graph))


def _node(layer: nn.Module, shape: tuple[int, ...], dt: float) -> nir.NIRNode:
    match layer:
        case nn.Flatten():
            return nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
        case nn.Linear():
            weight = layer.weight.detach().cpu().numpy()
            if layer.bias is None:
                return nir.Linear(weight)
            return nir.Affine(weight, layer.bias.detach().cpu().numpy())
        case nn.Conv2d():
            return _conv(layer, shape)
        case LI():
            return _readout(layer, shape, dt)
        case CubaLIF():
            return _cuba(layer, shape, dt)
        case LIF():
            return _neuron(layer, shape, dt)
        case _:
            raise AssertionError(f"{type(layer).__name__} is no layer of a Network")


def _neuron(lif: LIF, shape: tuple[int, ...], dt: float) -> nir.NIRNode:
    """NIR's LIF, or its IF where nothing leaks (tau would be infinite)."""
    zero, threshold = np.zeros(shape), np.full(shape, lif.threshold)
    if lif.alpha == 1:
        return nir.IF(r=np.full(shape, 1 / dt), v_threshold=threshold, v_reset=zero)
    tau = dt / (1 - lif.alpha)
    return nir.LIF(
        tau=np.full(shape, tau),
        r=np.full(shape, tau / dt),
        v_leak=zero,
        v_threshold=threshold,
        v_reset=zero.copy(),
    )


def _conv(conv: nn.Conv2d, shape: tuple[int, ...]) -> nir.Conv2d:
    bias = np.zeros(conv.out_channels)
    if conv.bias is not None:
        bias = conv.bias.detach().cpu().numpy()
    return nir.Conv2d(
        input_shape=(shape[1], shape[2]),
        weight=conv.weight.detach().cpu().numpy(),
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=bias,
    )


def _tau(alpha: float, dt: float, what: str) -> float:
    """The time constant whose Euler step keeps ``alpha``; NIR can state none without leak."""
    if alpha == 1:
        raise Unsupported(
            f"{what} = 1 has an infinite time constant, which NIR cannot state",
            hint="a factor below 1, or a neuron without this state",
        )
    return dt / (1 - alpha)


def _readout(layer: LI, shape: tuple[int, ...], dt: float) -> nir.NIRNode:
    if layer.alpha == 1:
        return nir.I(r=np.full(shape, 1 / dt))
    tau = _tau(layer.alpha, dt, "alpha")
    return nir.LI(tau=np.full(shape, tau), r=np.full(shape, tau / dt), v_leak=np.zeros(shape))


def _cuba(layer: CubaLIF, shape: tuple[int, ...], dt: float) -> nir.CubaLIF:
    """``tau_syn dI/dt = -I + w_in S``: gain 1 of one Euler step is ``w_in = tau_syn / dt``."""
    tau_mem, tau_syn = _tau(layer.alpha, dt, "alpha"), _tau(layer.beta, dt, "beta")
    return nir.CubaLIF(
        tau_syn=np.full(shape, tau_syn),
        tau_mem=np.full(shape, tau_mem),
        r=np.full(shape, tau_mem / dt),
        v_leak=np.zeros(shape),
        v_threshold=np.full(shape, layer.threshold),
        v_reset=np.zeros(shape),
        w_in=np.full(shape, tau_syn / dt),
    )
