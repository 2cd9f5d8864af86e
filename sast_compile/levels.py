"""The four models that are compared, each as spikes by layer.

L0 surrogate-forward, L1 float hard-spike, L2 torch integer model, L3 the compiled program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sast_compile.backends import reference
from sast_compile.errors import BackendUnavailable
from sast_compile.frontend.source import Source
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.trace import Trace

if TYPE_CHECKING:
    from sast_compile.nn import Network

Spikes: TypeAlias = Mapping[str, Array]


def surrogate_spikes(source: Source, events: Array) -> Spikes | None:
    """L0: the smooth spikes of a checkpoint's network in its own precision; None for a bare NIR.

    Of a readout, which does not fire, here and in L1 the voltages.
    """
    if source.network is None:
        return None
    return _spikes(source.network, events, np.float32)


NO_FLOATS = "no float model: a .net holds integers"


def hard_spikes(source: Source, events: Array) -> Spikes | None:
    """L1 in float64: the same module with a hard threshold, or the float program of a bare NIR.

    None for a `.net`, which has no floats.
    """
    if not source.has_floats:
        return None
    if source.network is None:
        trace = reference.run(source.program, events)
        return {name: trace[name].spikes for name in source.program.neurons}
    from sast_compile.nn import hard

    return _spikes(hard(source.network).double(), events, np.uint8)


CHUNK = 256  # samples: the membranes of a convolutional net need gigabytes


def _spikes(network: Network, events: Array, kind: type[np.generic]) -> Spikes:
    """The spikes of every layer, and the voltages of a readout, a few samples at a time."""
    import torch

    parts = []
    with torch.no_grad():
        for at in range(0, len(events), CHUNK):
            out, states = network.trace(torch.as_tensor(events[at : at + CHUNK]))
            last = network.specification[-1].name
            found = {name: s.spikes.numpy().astype(kind) for name, s in states.items()}
            parts.append(found if last in found else {**found, last: out.numpy()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def integer_trace(source: Source, program: Program, events: Array | Mapping[str, Array]) -> Trace:
    """L2: the source's own topology with the integers of ``program``; events by input, or for all.

    Raises BackendUnavailable without torch, and for a `.net`, which has no module of its own.
    """
    if source.graph is None:
        raise BackendUnavailable(
            "a .net has no torch module: its integers are the program's own",
            hint="Lava's processes are the independent check",
        )
    try:
        from sast_compile.backends import torch_integers
        from sast_compile.frontend.graph_module import GraphModule
    except ImportError:
        raise BackendUnavailable(
            "the torch integer model needs torch, which is not installed here",
            hint="pip install sast-compile[torch]",
        ) from None
    if source.network is not None:
        return torch_integers.run(source.network, program, events)
    module = GraphModule(source.graph, source.contract)
    return torch_integers.run(module, program, events, module.holders(program))
