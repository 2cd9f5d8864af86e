"""What each framework is asked to run and to export, and what a user must say of the file.

A case is a class of the framework with its arguments in a net of one shape. ``told`` are the fields
of the contract that its preset does not have, because the exporter does not say which it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from frameworks.nets import (
    Net,
    Neuron,
    Shape,
    avg_pool,
    biased,
    conv,
    conv_only,
    conv_without_bias,
    dense,
    one_to_one,
    recurrent,
    sum_pool,
)

Fields = Mapping[str, Any]
NORSE_DT = 2.0**-10
ZERO: Fields = {"reset": "zero", "reset_when": "before_decay"}
LATE_ZERO: Fields = {"reset": "zero", "reset_when": "after_input"}
NOW_ZERO: Fields = {"reset": "zero", "reset_when": "after_fire"}
SOFT: Fields = {"reset": "subtract"}


@dataclass(frozen=True)
class Case:
    """``lost``: the arguments that the file does not hold; ``scalar``: numbers not spread out."""

    framework: str
    node: str
    neuron: Neuron
    shape: Shape = dense
    told: Fields = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    scalar: bool = False

    @property
    def option(self) -> str:
        """The arguments that are no numbers of the neuron model, and the shape of the net."""
        plain = {"beta", "alpha", "tau", "tau_mem", "tau_syn", "threshold", "v_threshold", "dt",
                 "tau_mem_inv", "tau_syn_inv", "c_decay", "v_decay", "init_tau"}  # fmt: skip
        plain -= set(self.lost)
        given = self.neuron.arguments
        words = [f"{k}={v}" for k, v in given.items() if k not in plain or (k, v) == ("beta", 1.0)]
        return ", ".join([*words, *(["single numbers"] if self.scalar else [])]) or "by default"

    def net(self, seed: int, *, without_lost: bool = False) -> Net:
        """The net of this case, or the one whose file should then be the same."""
        given = self.neuron.arguments
        if without_lost:
            given = {k: v for k, v in given.items() if k not in self.lost}
        made = self.shape(seed, replace(self.neuron, arguments=given))
        if without_lost and "w_rec" in self.lost:
            made.without("recurrent")
        for layer in made.layers:
            if self.scalar and layer["kind"] == "neuron":
                layer["scalar"] = True
        return made.net(OPTIONS.get(self.framework, {}))

    @property
    def layers(self) -> str:
        return self.shape.__name__.replace("_", " ")


def _snntorch() -> list[Case]:
    leaky = {"beta": 0.75}
    cuba = {"alpha": 0.5, "beta": 0.75}
    cells = (
        ("LIF", "Leaky", leaky, 1.0, dense, ZERO),
        ("CubaLIF", "Synaptic", cuba, 0.5, dense, LATE_ZERO),
        ("LIF", "RLeaky", leaky, 1.0, recurrent, LATE_ZERO),
        ("CubaLIF", "RSynaptic", cuba, 0.5, recurrent, LATE_ZERO),
    )
    cases = []
    for node, name, numbers, current, shape, zero in cells:

        def case(told: Fields, lost: tuple[str, ...], **more: Any) -> Case:
            neuron = Neuron(name, {**numbers, **more}, current)  # noqa: B023
            return Case("snntorch", node, neuron, shape, told, lost)  # noqa: B023

        cases += [
            case({}, ()),
            case(zero, ("reset_mechanism",), reset_mechanism="zero"),
            case({}, ("reset_mechanism",), reset_mechanism="none"),
            case(NOW_ZERO, ("reset_mechanism", "reset_delay"), reset_mechanism="zero",
                 reset_delay=False),
            case({"reset_when": "after_fire"}, ("reset_delay",), reset_delay=False),
        ]  # fmt: skip
    plain = Neuron("Leaky", leaky)
    return [
        *cases,
        *(Case("snntorch", "LIF", plain, s) for s in (biased, conv, conv_without_bias, avg_pool)),
        Case("snntorch", "LIF", Neuron("RLeaky", leaky), one_to_one),
        Case("snntorch", "LIF", plain, scalar=True),
        Case("snntorch", "LIF", Neuron("Leaky", {"beta": 1.0})),
    ]


def _norse() -> list[Case]:
    # whole numbers of 1/1024 s, so that the file's float32 numbers are the cells' own
    box = {"tau_mem_inv": 128.0, "dt": NORSE_DT}
    cell = {"tau_mem_inv": 128.0, "tau_syn_inv": 512.0, "dt": NORSE_DT}
    lif = Neuron("LIFBoxCell", box, 8)
    return [
        Case("norse", "IF", Neuron("IAFCell", {})),
        Case("norse", "LIF", lif),
        Case("norse", "LIF", Neuron("LIFBoxCell", {**box, "reset_method": "reset_subtract"}, 8),
             told=SOFT, lost=("reset_method",)),
        Case("norse", "LIF", Neuron("LIFBoxCell", {**box, "v_reset": -0.25}, 8),
             lost=("v_reset",)),
        Case("norse", "LIF", Neuron("LIFBoxCell", {**box, "v_leak": 0.25}, 8)),
        Case("norse", "CubaLIF", Neuron("LIFCell", cell, 4)),
        Case("norse", "CubaLIF", Neuron("LIFCell", {**cell, "v_reset": -0.25}, 4),
             lost=("v_reset",)),
        Case("norse", "CubaLIF", Neuron("LIFRecurrentCell", cell, 4), recurrent),
        *(Case("norse", "LIF", lif, s) for s in (biased, conv_only, conv, avg_pool)),
        Case("norse", "LIF", lif, scalar=True),
    ]  # fmt: skip


def _sinabs() -> list[Case]:
    lif = {"tau_mem": 4.0}

    def case(node: str, name: str, shape: Shape, current: float, told: Fields,
             lost: tuple[str, ...], **arguments: Any) -> Case:  # fmt: skip
        return Case("sinabs", node, Neuron(name, arguments, current), shape, told, lost)

    single: Any = ({"spikes": 1}, ("spike_fn",))
    cases = []
    for node, name, numbers, current in (
        ("IF", "IAFSqueeze", {}, 0.5),
        ("LIF", "LIFSqueeze", lif, 2.0),
    ):
        cases += [
            case(node, name, dense, current, {}, (), **numbers),
            case(node, name, dense, 2 * current, *single, spike_fn="SingleSpike", **numbers),
            case(node, name, dense, 2 * current, {"spikes": 2}, ("spike_fn",),
                 spike_fn="MaxSpike 2", **numbers),
            case(node, name, dense, current, NOW_ZERO, ("reset_fn",), reset_fn="MembraneReset",
                 **numbers),
            case(node, name, dense, 2 * current, {"spikes": 1, **NOW_ZERO},
                 ("spike_fn", "reset_fn"), spike_fn="SingleSpike", reset_fn="MembraneReset",
                 **numbers),
            case(node, name, dense, current, {}, ("min_v_mem",), min_v_mem=-0.25, **numbers),
        ]  # fmt: skip
    plain = Neuron("IAFSqueeze", {}, 0.5)
    return [
        *cases,
        case("LIF", "LIFSqueeze", dense, 0.5, {"drive": "unit"}, ("norm_input",), norm_input=False,
             **lif),
        case("LIF", "LIFSqueeze", dense, 2.0, {}, ("tau_syn",), tau_syn=2.0, **lif),
        Case("sinabs", "LIF", Neuron("LIFRecurrent", lif, 2), recurrent),
        *(Case("sinabs", "IF", plain, s)
          for s in (biased, conv, conv_without_bias, sum_pool, avg_pool)),
        Case("sinabs", "LIF", Neuron("LIFSqueeze", lif, 2), conv),
        Case("sinabs", "LIF", Neuron("LIFSqueeze", lif, 2), scalar=True),
    ]  # fmt: skip


def _spikingjelly() -> list[Case]:
    def case(node: str, name: str, current: float = 1, shape: Shape = dense, **more: Any) -> Case:
        return Case("spikingjelly", node, Neuron(name, more, current), shape)

    cuba = {"c_decay": 0.75, "v_decay": 0.5, "v_threshold": 1.0}
    return [
        case("IF", "IFNode"),
        case("IF", "IFNode", v_reset=None),
        case("IF", "IFNode", v_reset=-0.25),
        case("LIF", "LIFNode", 4, tau=4.0),
        case("LIF", "LIFNode", tau=4.0, decay_input=False),
        case("LIF", "LIFNode", 4, tau=4.0, v_reset=None),
        case("LIF", "LIFNode", 4, tau=4.0, v_reset=-0.25),
        case("LIF", "ParametricLIFNode", 2, init_tau=2.0),
        case("LIF", "LIFNode", 4, recurrent, tau=4.0),
        case("CubaLIF", "CUBALIFNode", 0.5, **cuba),
        case("CubaLIF", "CUBALIFNode", 0.5, v_reset=None, **cuba),
        case("CubaLIF", "CUBALIFNode", 0.5, v_reset=-0.25, **cuba),
        *(case("LIF", "LIFNode", 4, s, tau=4.0) for s in (biased, conv, avg_pool)),
        case("IF", "IFNode", 1, avg_pool),
    ]


def _rockpool() -> list[Case]:
    lif = {"tau_mem": 4e-3, "threshold": 1.0, "dt": 1e-3}
    cuba = {**lif, "tau_syn": 2e-3}

    def case(
        node: str,
        name: str,
        current: float,
        numbers: Fields,
        shape: Shape = dense,
        told: Fields | None = None,
        lost: tuple[str, ...] = (),
        **more: Any,
    ) -> Case:
        neuron = Neuron(name, {**numbers, **more}, current)
        return Case("rockpool", node, neuron, shape, told or {}, lost)

    single: Any = {"told": {"spikes": 1}, "lost": ("max_spikes_per_dt",), "max_spikes_per_dt": 1}
    return [
        case("LIF", "LIFNeuronTorch", 0.5, lif),
        case("LIF", "LIFNeuronTorch", 1, lif, **single),
        case("LIF", "LIFNeuronTorch", 0.25, lif, lost=("bias",), bias=0.0625),
        case("LIF", "LIFNeuronTorch", 0.5, lif, biased),
        case("CubaLIF", "LIFTorch", 0.25, cuba),
        case("CubaLIF", "LIFTorch", 0.5, cuba, **single),
        case("CubaLIF", "LIFTorch", 0.25, cuba, lost=("bias",), bias=0.0625),
        case("CubaLIF", "LIFTorch", 0.25, cuba, recurrent, lost=("w_rec",)),
    ]


OPTIONS: Mapping[str, Fields] = {"norse": {"dt": NORSE_DT}}
DT: Mapping[str, float | None] = {  # None: the preset has it
    "snntorch": None,
    "sinabs": None,
    "norse": NORSE_DT**2,
    "spikingjelly": 1e-4,
    "rockpool": 1e-3,
}
CASES: tuple[Case, ...] = (
    *_snntorch(),
    *_norse(),
    *_sinabs(),
    *_spikingjelly(),
    *_rockpool(),
)
