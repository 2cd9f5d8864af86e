"""What the exporters of the frameworks always write, and so what a file says against one of them.

A file can contradict an exporter; it cannot prove one. SpikingJelly without decay_input at
dt = 1e-4 writes the very numbers that snnTorch writes, NIR's metadata name no framework, and
nothing else is stored. So no contract is taken from a fingerprint: it only says which ones are not
meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import nir
import numpy as np

from sast_compile.frontend.nir_graph import FlatGraph, flattened
from sast_compile.frontend.nir_kinds import NEURONS, kind_of
from sast_compile.frontend.numbers import Floats

CLOSE = 1e-5  # relative: exporters compute in float32
Rule: TypeAlias = Callable[[Floats, float], Floats]  # of tau and dt


def _one(tau: Floats, dt: float) -> Floats:
    return np.ones_like(tau)


def _steps(tau: Floats, dt: float) -> Floats:
    return tau / dt


def _decayed(tau: Floats, dt: float) -> Floats:
    return tau * np.exp(-dt / tau) / dt


@dataclass(frozen=True)
class Exporter:
    """The values of r that it writes for each kind of neuron, of w_in, and whether v is 0 at rest.

    An IF has no tau: its rule gets 1.
    """

    r: Mapping[str, tuple[Rule, ...]]
    w_in: Rule = _one
    zeros: tuple[str, ...] = ("v_leak", "v_reset")


EXPORTERS: Mapping[str, Exporter] = {
    "snntorch": Exporter({"LIF": (_steps,), "CubaLIF": (_steps,)}, _steps),
    "norse": Exporter(
        {"IF": (_one,), "LIF": (_one,), "LI": (_one,), "CubaLIF": (_one,)}, zeros=("v_reset",)
    ),
    "sinabs": Exporter({"IF": (_one,), "LIF": (_one,), "LI": (_one,)}),
    "spikingjelly": Exporter(
        {"IF": (_steps,), "LIF": (_one, _steps), "CubaLIF": (_steps,)}, _steps, zeros=()
    ),
    "rockpool": Exporter({"LIF": (_decayed,), "CubaLIF": (_decayed,), "LI": (_decayed,)}),
}


def neurons_of(graph: nir.NIRGraph) -> dict[str, Any]:
    """The populations of ``graph`` by name, those of subgraphs too."""
    flat: FlatGraph = flattened(graph)
    return {name: flat.nodes[name] for name in flat.of_kind(*NEURONS)}


def contradiction(neurons: Mapping[str, Any], name: str, dt: float) -> str | None:
    """What in ``neurons`` the exporter of the preset ``name`` never writes at ``dt``; None if
    nothing, or if the preset is no exporter's.
    """
    exporter = EXPORTERS.get(name)
    if exporter is None:
        return None
    found = (_against(exporter, where, node, dt) for where, node in neurons.items())
    return next((text for text in found if text is not None), None)


def _against(exporter: Exporter, where: str, node: Any, dt: float) -> str | None:
    kind = kind_of(node)
    if kind not in exporter.r:
        return f"{where} is of the kind {kind}, which it does not write"
    for key in exporter.zeros:
        value = np.asarray(getattr(node, key, 0.0))
        if value.any():
            return f"{where}: {key} = {value[value != 0].flat[0]:g}, and it writes 0"
    tau = getattr(node, "tau", getattr(node, "tau_mem", np.ones(())))
    rules = [("r", tau, exporter.r[kind])]
    if kind == "CubaLIF":
        rules.append(("w_in", node.tau_syn, (exporter.w_in,)))
    for key, time, allowed in rules:
        value = np.asarray(getattr(node, key), np.float64)
        wanted = [rule(np.asarray(time, np.float64), dt) for rule in allowed]
        if not any(np.allclose(value, one, rtol=CLOSE, atol=0) for one in wanted):
            would = " or ".join(f"{one.flat[0]:g}" for one in wanted)
            return f"{where}: {key} = {value.flat[0]:g}, and at dt = {dt:g} it writes {would}"
    return None
