"""What the neurons of torch frameworks compute, read off the modules themselves.

A mapping takes a module and returns a `NeuronRule`; it is found by the package and the class name,
so no framework needs to be installed for another's modules. Where a module does something that a
rule cannot say (a learnt quantiser, an inhibition, graded spikes), the mapping refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import nn

from sast_compile.contract import Compare, ResetKind, ResetWhen
from sast_compile.errors import CompileError, Unsupported

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NeuronRule:
    """One step ``v <- alpha v + gain I``, its spike and reset; arrays hold one value a neuron."""

    alpha: float
    threshold: float | Floats
    reset: ResetKind
    reset_when: ResetWhen
    compare: Compare
    gain: float = 1.0


Mapping: TypeAlias = Callable[[Any], NeuronRule]


def register_neuron(module_class: type[nn.Module], mapping: Mapping) -> None:
    """Makes `export` read every module of ``module_class`` through ``mapping``."""
    MAPPINGS[_key(module_class)] = mapping


def rule_of(module: nn.Module, name: str) -> NeuronRule | None:
    """The rule of a spiking module, None for modules of no known framework class."""
    for parent in type(module).__mro__:
        mapping = MAPPINGS.get(_key(parent))
        if mapping is not None:
            try:
                return mapping(module)
            except CompileError as error:
                raise type(error)(error.what, where=name, hint=error.hint) from None
    return None


def known_neurons() -> list[str]:
    """The mapped classes as ``package.Class``."""
    return sorted(".".join(key) for key in MAPPINGS)


def _key(module_class: type) -> tuple[str, str]:
    return module_class.__module__.split(".")[0], module_class.__qualname__


def _ours(lif: Any) -> NeuronRule:
    return NeuronRule(lif.alpha, lif.threshold, lif.reset, lif.reset_when, lif.compare)


def _snntorch_leaky(leaky: Any) -> NeuronRule:
    """snntorch.Leaky: ``u = beta u (- theta s_prev | (1 - s_prev))+ I``, ``s = u > theta``."""
    _plain("inhibition", leaky.inhibition, False)
    _plain("state_quant", leaky.state_quant, False)
    _plain("graded_spikes_factor", _number("graded_spikes_factor", leaky.graded_spikes_factor), 1.0)
    _plain("reset_delay", leaky.reset_delay, True)
    _plain("init_hidden", leaky.init_hidden, True)
    resets: dict[str, tuple[ResetKind, ResetWhen]] = {
        "subtract": ("subtract", "after_decay"),
        "zero": ("zero", "before_decay"),
    }
    reset = resets.get(leaky.reset_mechanism)
    if reset is None:
        raise Unsupported(f"reset mechanism {leaky.reset_mechanism!r}", hint="subtract or zero")
    alpha = min(max(_number("beta", leaky.beta), 0.0), 1.0)  # as Leaky clamps it in every step
    return NeuronRule(alpha, _numbers(leaky.threshold), *reset, ">")


def _norse_lif_box(cell: Any) -> NeuronRule:
    """norse.torch.LIFBoxCell: ``v += dt / tau (I - v)``, ``s = v > theta``, ``v = 0``."""
    rate = _number("tau_mem_inv", cell.p.tau_mem_inv) * float(cell.dt)
    _plain("v_leak", _number("v_leak", cell.p.v_leak), 0.0)
    _plain("v_reset", _number("v_reset", cell.p.v_reset), 0.0)
    return NeuronRule(1 - rate, _numbers(cell.p.v_th), "zero", "after_fire", ">", gain=rate)


def _norse_iaf(cell: Any) -> NeuronRule:
    """norse.torch.IAFCell: ``v += I``, ``s = v > theta``, ``v = 0``."""
    _plain("v_reset", _number("v_reset", cell.p.v_reset), 0.0)
    return NeuronRule(1.0, _numbers(cell.p.v_th), "zero", "after_fire", ">")


def _spikingjelly(node: Any, alpha: float, gain: float) -> NeuronRule:
    """``s = v >= theta``, then ``v = v_reset`` (hard) or ``v -= theta`` (v_reset None: soft)."""
    kind: ResetKind = "zero"
    if node.v_reset is None:
        kind = "subtract"
    else:
        _plain("v_reset", float(node.v_reset), 0.0)
    return NeuronRule(alpha, float(node.v_threshold), kind, "after_fire", ">=", gain=gain)


def _spikingjelly_lif(node: Any) -> NeuronRule:
    """spikingjelly LIFNode: ``v += (I - v) / tau``, without decay_input ``v += I - v / tau``."""
    tau = float(node.tau)
    return _spikingjelly(node, 1 - 1 / tau, 1 / tau if node.decay_input else 1.0)


def _sinabs_iaf(layer: Any) -> NeuronRule:
    """sinabs IAF: ``v += I``, ``s = v >= theta``; single spikes only."""
    _plain("spike_fn", layer.spike_fn.__name__, "SingleSpike")
    if layer.min_v_mem is not None:
        raise Unsupported(f"min_v_mem = {layer.min_v_mem}", hint="build it with min_v_mem=None")
    kinds: dict[str, ResetKind] = {"MembraneReset": "zero", "MembraneSubtract": "subtract"}
    kind = kinds.get(type(layer.reset_fn).__name__)
    if kind is None:
        raise Unsupported(f"reset_fn {type(layer.reset_fn).__name__}", hint=", ".join(kinds))
    return NeuronRule(1.0, _numbers(layer.spike_threshold), kind, "after_fire", ">=")


MAPPINGS: dict[tuple[str, str], Mapping] = {
    ("sast_compile", "LIF"): _ours,
    ("snntorch", "Leaky"): _snntorch_leaky,
    ("norse", "LIFBoxCell"): _norse_lif_box,
    ("norse", "IAFCell"): _norse_iaf,
    ("spikingjelly", "LIFNode"): _spikingjelly_lif,
    ("spikingjelly", "IFNode"): lambda node: _spikingjelly(node, 1.0, 1.0),
    ("sinabs", "IAF"): _sinabs_iaf,
}


def _plain(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Unsupported(f"{what} = {found!r} cannot be exported", hint=f"{what} = {wanted!r} can")


def _numbers(value: Any) -> float | Floats:
    data = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float64)
    return float(data.flat[0]) if (data == data.flat[0]).all() else data


def _number(what: str, value: Any) -> float:
    found = _numbers(value)
    if not isinstance(found, float):
        raise Unsupported(f"one {what} per neuron is not supported yet")
    return found
