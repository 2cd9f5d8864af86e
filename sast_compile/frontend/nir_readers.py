"""A graph as another framework's importer reads it: the same spikes, in that importer's numbers.

An importer takes a node by a rule of its own: it has a fixed dt, wants r and w_in in one relation
to the time constants (or looks at neither), and knows one reset. So a graph is written anew: of
every population alpha and beta are kept, the time constants follow by the importer's leak, and
what it does to the drive otherwise goes into the threshold: ``v > theta`` is ``k v > k theta``.

The rules were read off the importers themselves: snntorch/import_nir.py (1.0.0),
norse/torch/utils/import_nir.py (1.1.0), sinabs/nir.py (3.1.3), spikingjelly
nir_exchange/from_nir.py (2.0.0), rockpool/nn/modules/torch/nir.py (3.1.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from msgspec.structs import replace

from sast_compile.contract import METADATA_KEY, MOST_SPIKES, Contract
from sast_compile.errors import Unsupported
from sast_compile.frontend.nir_neurons import Discretiser
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.numbers import Floats
from sast_compile.ir.neuron import Factor, Param, Ref, State
from sast_compile.ir.program import Program

# resets that make the same spikes: of a zero reset only what follows the input is another
SAME_RESET = {
    ("zero", "before_decay"): "after_fire",
    ("zero", "after_decay"): "after_fire",
    ("subtract", "before_decay"): "after_fire",
    ("subtract", "after_input"): "after_decay",
}


@dataclass(frozen=True)
class Reader:
    """What an importer computes of a graph, and in which numbers it wants it.

    ``unit``: r = tau / dt and w_in = tau_syn / dt (of an IF r = 1 / dt), else 1; ``r_less`` is
    subtracted from r. ``kinds`` are the populations that it reads rightly.
    """

    contract: Contract
    kinds: tuple[str, ...]
    unit: bool
    r_less: float = 0.0
    affine: bool = False  # it reads no Linear


_NOW = Contract(dt=1e-4, leak="euler", reset="zero", reset_when="after_fire", compare=">")
_GRADED = replace(_NOW, leak="exact", drive="unit", reset="subtract", compare=">=",
                  spikes=MOST_SPIKES)  # fmt: skip
READERS: Mapping[str, Reader] = {
    "snntorch": Reader(_NOW, ("LIF", "CubaLIF"), unit=True),
    "norse": Reader(replace(_NOW, dt=1e-3, drive="step"), ("IF", "LIF", "CubaLIF"), unit=False),
    "sinabs": Reader(replace(_GRADED, dt=1.0), ("LIF",), unit=False, affine=True),
    "spikingjelly": Reader(replace(_NOW, compare=">="), ("IF", "LIF", "CubaLIF"), unit=True),
    "rockpool": Reader(
        replace(_GRADED, dt=1e-3, synapse="decayed"), ("CubaLIF",), unit=True, r_less=1.0
    ),
}


def written_for(framework: str, graph: nir.NIRGraph, contract: Contract) -> nir.NIRGraph:
    """``graph`` under ``contract`` as ``framework`` reads it, with the contract that it then has.

    Raises Unsupported naming the population and what the importer cannot be told: another reset,
    comparison or number of spikes, a kind that it reads as something else, a readout.
    """
    reader = READERS[framework]
    program = to_program(graph, contract, "written")
    _check_manner(framework, reader, contract, program)

    def neuron(name: str) -> Any:
        return _neuron(framework, reader, name, program)

    written = _rewritten(graph, "", program, neuron, reader.affine)
    encoded = replace(reader.contract, encoding=contract.encoding, readout=contract.readout)
    written.metadata = {METADATA_KEY: encoded.to_json()}
    return written


def _check_manner(framework: str, reader: Reader, contract: Contract, program: Program) -> None:
    for name in program.neurons:
        ours, theirs = contract.of(name), reader.contract
        for what, one, other in (
            ("reset", _reset(ours), _reset(theirs)),
            ("comparison", ours.compare, theirs.compare),
            ("spikes in one step", ours.spikes, theirs.spikes),
        ):
            if one != other:
                raise Unsupported(
                    f"its {what}: {one}; what {framework} reads from NIR: {other}",
                    where=name,
                    hint=f"train with {other}, or export to another framework",
                )


def _reset(contract: Contract) -> str:
    kind, when = contract.reset, contract.reset_when
    return f"{kind}, {SAME_RESET.get((kind, when), when)}"


def _rewritten(
    graph: nir.NIRGraph,
    prefix: str,
    program: Program,
    neuron: Callable[[str], Any],
    affine: bool,
) -> nir.NIRGraph:
    nodes: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if isinstance(node, nir.NIRGraph):
            nodes[name] = _rewritten(node, f"{full}.", program, neuron, affine)
        elif full in program.neurons:
            nodes[name] = neuron(full)
        elif affine and isinstance(node, nir.Linear):
            nodes[name] = nir.Affine(node.weight, np.zeros(len(node.weight)))
        else:
            nodes[name] = node
    return nir.NIRGraph(nodes, list(graph.edges), type_check=False)


def _neuron(framework: str, reader: Reader, name: str, program: Program) -> Any:
    """The population's node: its alpha and beta, and a threshold for the drive that it then has."""
    ours = program.neurons[name]
    if ours.fire is None:
        raise Unsupported(f"a readout, which {framework} does not read as one", where=name)
    alpha, gain = _kept(ours.voltage, program), _value(ours.voltage.gain, program)
    synapse = ours.synapses[0] if ours.synapses else None
    kind = "CubaLIF" if synapse else "IF" if (alpha == 1).all() else "LIF"
    if kind not in reader.kinds:
        raise Unsupported(
            f"{kind} is none of what {framework} reads as it is meant: {', '.join(reader.kinds)}",
            where=name,
        )
    full, dt = np.ones(ours.shape), reader.contract.dt
    zero, theta = 0 * full, full * _value(ours.fire.threshold, program)
    fields: dict[str, Any] = {"v_threshold": theta, "v_reset": zero}
    if kind == "IF":
        fields["r"] = full / dt if reader.unit else full
    else:
        tau = full * _tau(alpha, reader, name)
        fields |= {"v_leak": zero, "r": tau / dt - reader.r_less if reader.unit else full}
        fields["tau" if kind == "LIF" else "tau_mem"] = tau
    if synapse is not None:
        gain = gain * _value(synapse.gain, program)
        tau = full * _tau(_kept(synapse, program), reader, name)
        fields |= {"tau_syn": tau, "w_in": tau / dt if reader.unit else full}
    node = getattr(nir, kind)(**fields)
    node.v_threshold = theta * _total_gain(reader, name, node, ours.shape) / gain
    return node


def _total_gain(reader: Reader, name: str, node: Any, shape: tuple[int, ...]) -> Floats:
    """What the reader makes of a drive of 1 on its way to v, through a synaptic current or not."""
    theirs = Discretiser(reader.contract, {})
    alone = theirs.population(name, node, shape, None)
    gains = [alone.voltage.gain, *(synapse.gain for synapse in alone.synapses)]
    total = np.ones(())
    for gain in gains:
        total = total * (theirs.consts[gain.name].data if isinstance(gain, Ref) else gain)
    return total


def _tau(alpha: Floats, reader: Reader, name: str) -> Floats:
    """The time constant of which the reader makes ``alpha`` again."""
    if (alpha == 1).any() or (reader.contract.leak == "exact" and (alpha == 0).any()):
        raise Unsupported(
            f"a state that keeps {alpha.flat[0]:g} of itself has no time constant", where=name
        )
    dt = reader.contract.dt
    return dt / (1 - alpha) if reader.contract.leak == "euler" else -dt / np.log(alpha)


def _kept(state: State, program: Program) -> Floats:
    assert isinstance(state.decay, Factor)  # of a float program
    return _value(state.decay.alpha, program)


def _value(param: Param, program: Program) -> Floats:
    data = program.consts[param.name].data if isinstance(param, Ref) else param
    return np.asarray(data, np.float64)
