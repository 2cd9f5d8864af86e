"""The same nets as graphs of our own, to be written for a framework's importer."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import nir
import numpy as np

from frameworks.nets import Array, Net
from sast_compile.contract import Contract

DT = 2.0**-10
# of v and of the current, in steps: numbers that float32 holds, as do 1 - 1/4 and 1 - 1/2
TAU_MEM, TAU_SYN = 4.0, 2.0


def graph_of(net: Net, kind: str, contract: Contract) -> nir.NIRGraph:
    """``net`` with neurons of NIR's ``kind``, whose gains are 1 under the ``contract``."""
    shape: tuple[int, ...] = net.events.shape[2:]
    nodes: dict[str, Any] = {"input": nir.Input(np.array(shape))}
    loops: list[tuple[str, str]] = []
    for number, layer in enumerate(net.layers):
        name = f"n{number}"
        arrays = {key: net.arrays[value[1:]] for key, value in layer.items()
                  if isinstance(value, str) and value.startswith("@")}  # fmt: skip
        if layer["kind"] == "neuron":
            shape = tuple(layer["shape"])
            nodes[name] = _neuron(kind, shape, contract)
            if "recurrent" in arrays:
                loops += [(name, f"r{number}"), (f"r{number}", name)]
        else:
            nodes[name] = _linear(layer, arrays, shape)
            shape = (int(np.prod(shape)),) if layer["kind"] == "flatten" else shape
            shape = _after(layer, arrays, shape)
    nodes["output"] = nir.Output(np.array(shape))
    edges = [*pairwise(nodes), *loops]
    for name, back in loops[1::2]:
        weight = net.layers[int(back[1:])]["recurrent"]
        nodes[name] = nir.Linear(net.arrays[weight[1:]])
    return nir.NIRGraph(nodes, edges, type_check=False)


def _after(layer: dict[str, Any], arrays: dict[str, Array], shape: Any) -> tuple[int, ...]:
    match layer["kind"]:
        case "linear":
            return arrays["weight"].shape[:1]
        case "conv":
            return (arrays["weight"].shape[0], *shape[1:])
        case "sum_pool" | "avg_pool":
            return (shape[0], *(n // layer["size"] for n in shape[1:]))
    return tuple(shape)


def _linear(layer: dict[str, Any], arrays: dict[str, Array], shape: tuple[int, ...]) -> Any:
    match layer["kind"]:
        case "linear" if "bias" in arrays:
            return nir.Affine(arrays["weight"], arrays["bias"])
        case "linear":
            return nir.Linear(arrays["weight"])
        case "conv":
            bias = arrays.get("bias", np.zeros(len(arrays["weight"]), np.float32))
            return nir.Conv2d(shape[1:], arrays["weight"], 1, layer["padding"], 1, 1, bias)
        case "flatten":
            return nir.Flatten({"input": np.array(shape)}, 0, -1)
    kind = nir.SumPool2d if layer["kind"] == "sum_pool" else nir.AvgPool2d
    size = np.array([layer["size"]] * 2)
    return kind(size, size, np.zeros(2, int))


def _neuron(kind: str, shape: tuple[int, ...], contract: Contract) -> Any:
    one, dt = np.ones(shape), contract.dt

    def lost(tau: float) -> float:
        """1 - alpha."""
        return 1 / tau if contract.leak == "euler" else -math.expm1(-1 / tau)

    fields = {
        "tau": TAU_MEM * dt * one,
        "tau_mem": TAU_MEM * dt * one,
        "tau_syn": TAU_SYN * dt * one,
        "r": one / dt if kind == "IF" else one / lost(TAU_MEM),
        "w_in": one / lost(TAU_SYN),
        "v_leak": 0 * one,
        "v_threshold": one,
        "v_reset": 0 * one,
    }
    wanted = getattr(nir, kind).__dataclass_fields__
    return getattr(nir, kind)(**{k: v for k, v in fields.items() if k in wanted})
