"""A torch network as a NIR graph, with the discretisation contract in its metadata.

NIR states differential equations: ``tau dv/dt = -v + r I``. One Euler step of length dt is ``v <-
(1 - dt/tau) v + (dt/tau) r I``, so a neuron ``v <- alpha v + I`` has ``tau = dt / (1 - alpha)``
and ``r = tau / dt``; without leak (NIR's IF, ``dv/dt = r I``) ``r = 1 / dt``. Everything that NIR
leaves open is in the contract (NIR: Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9).
"""

from __future__ import annotations

import io
import os
from itertools import pairwise

import nir
import numpy as np
from torch import nn

from sast_compile.contract import METADATA_KEY, Contract
from sast_compile.files import write_whole
from sast_compile.nn.network import Network
from sast_compile.nn.neurons import LIF


def to_nir(network: Network, contract: Contract) -> nir.NIRGraph:
    """The graph input -> layers under their own names -> output, in float64.

    ``contract`` must be one of this network: ``network.contract(dt, encoding)``.
    """
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array(network.input_shape))}
    shape = network.input_shape
    for (name, after), layer in zip(network.shapes().items(), network.children(), strict=True):
        nodes[name] = _node(layer, shape, contract.dt)
        shape = after
    nodes["output"] = nir.Output(np.array(shape))
    return nir.NIRGraph(
        nodes=nodes,
        edges=list(pairwise(nodes)),
        metadata={METADATA_KEY: contract.to_json()},
    )


def write_nir(graph: nir.NIRGraph, path: str | os.PathLike[str]) -> None:
    """The graph lies at ``path`` as HDF5, whole or not at all; the same graph, the same bytes."""
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    write_whole(path, buffer.getvalue())


def _node(layer: nn.Module, shape: tuple[int, ...], dt: float) -> nir.NIRNode:
    match layer:
        case nn.Flatten():
            return nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
        case nn.Linear():
            weight = layer.weight.detach().cpu().double().numpy()
            if layer.bias is None:
                return nir.Linear(weight)
            return nir.Affine(weight, layer.bias.detach().cpu().double().numpy())
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
