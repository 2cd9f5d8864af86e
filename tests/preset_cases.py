"""One net for each preset, as its framework's exporter writes it, and the framework's own step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import framework_steps as steps
import nir
import numpy as np

from sast_compile.contract import Contract
from sast_compile.contract_text import changed
from sast_compile.presets import named_contract

INPUTS, NEURONS, STEPS, SAMPLES = 12, 40, 60, 5
RNG = np.random.default_rng(7)
WEIGHT = RNG.normal(0.3, 0.6, (NEURONS, INPUTS))
WHOLE = RNG.integers(-1, 3, (NEURONS, INPUTS)).astype(float)  # many v that meet a threshold of 3
LOOP = RNG.normal(0, 0.3, (NEURONS, NEURONS))
EVENTS = (RNG.random((SAMPLES, STEPS, INPUTS)) < 0.3).astype(np.uint8)
BETA = RNG.uniform(0.5, 0.97, NEURONS).astype(np.float32)  # as torch holds it
ALPHA = RNG.uniform(0.5, 0.9, NEURONS).astype(np.float32)
B64, A64 = BETA.astype(float), ALPHA.astype(float)
TAU = RNG.uniform(4.0, 20.0, NEURONS)  # in steps
ZEROS = np.zeros(NEURONS)


def full(value: float) -> Any:
    return np.full(NEURONS, value)


def snntorch(threshold: float, cuba: bool = False) -> nir.NIRNode:
    """snntorch/export_nir.py, in float32 as the module is."""
    dt = 1e-4
    th, tau = full(threshold).astype(np.float32), dt / (1 - BETA)
    assert tau.dtype == np.float32
    plain = {"v_threshold": th, "v_leak": np.zeros_like(tau), "v_reset": np.zeros_like(th)}
    if not cuba:
        return nir.LIF(tau=tau, r=tau / dt, **plain)
    tau_syn = dt / (1 - ALPHA)
    return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=tau / dt, w_in=tau_syn / dt, **plain)


def cuba(tau_syn: Any, tau_mem: Any, r: Any, v_threshold: float, w_in: Any = None) -> nir.CubaLIF:
    return nir.CubaLIF(
        tau_syn=tau_syn, tau_mem=tau_mem, r=r, v_leak=ZEROS, v_threshold=full(v_threshold),
        w_in=np.ones(NEURONS) if w_in is None else w_in,
    )  # fmt: skip


def lif(tau: Any, r: Any, v_threshold: float, rest: float = 0.0) -> nir.LIF:
    return nir.LIF(
        tau=tau, r=r, v_leak=full(rest), v_threshold=full(v_threshold), v_reset=full(rest)
    )


@dataclass(frozen=True, eq=False)
class Case:
    """A node as the exporter writes it, and the framework's spikes on currents (steps, neurons)."""

    preset: str
    node: nir.NIRNode
    step: Callable[[Any], Any]
    settings: tuple[str, ...] = ()
    dt: float | None = None
    weight: Any = field(default_factory=lambda: WEIGHT)
    loop: Any = None

    @property
    def contract(self) -> Contract:
        return changed(named_contract(self.preset, self.dt), self.settings)


ZERO = ("reset=zero", "reset_when=before_decay")
TAKEN = ("reset=zero", "reset_when=after_input")
DT = 1e-3
INV = 1 / (TAU * DT)  # norse's: one by seconds
CASES = {
    "Leaky, subtract": Case(
        "snntorch", snntorch(1.0), lambda x: steps.snntorch_leaky(x, B64, 1.0, "subtract")
    ),
    "Leaky, zero": Case(
        "snntorch", snntorch(1.0), lambda x: steps.snntorch_leaky(x, B64, 1.0, "zero"), ZERO
    ),
    "Leaky, whole weights": Case(
        "snntorch",
        snntorch(3.0),
        lambda x: steps.snntorch_leaky(x, B64, 3.0, "zero"),
        ZERO,
        weight=WHOLE,
    ),
    "Leaky, zero, reset_delay=False": Case(
        "snntorch",
        snntorch(1.0),
        lambda x: steps.snntorch_leaky_at_once(x, B64, 1.0),
        ("reset=zero", "reset_when=after_fire"),
    ),
    "RLeaky, subtract": Case(
        "snntorch",
        snntorch(1.0),
        lambda x: steps.snntorch_rleaky(x, B64, 1.0, "subtract", LOOP),
        loop=LOOP,
    ),
    "RLeaky, zero": Case(
        "snntorch",
        snntorch(1.0),
        lambda x: steps.snntorch_rleaky(x, B64, 1.0, "zero", LOOP),
        TAKEN,
        loop=LOOP,
    ),
    "Synaptic, subtract": Case(
        "snntorch",
        snntorch(6.0, cuba=True),
        lambda x: steps.snntorch_synaptic(x, A64, B64, 6.0, "subtract"),
    ),
    "Synaptic, zero": Case(
        "snntorch",
        snntorch(6.0, cuba=True),
        lambda x: steps.snntorch_synaptic(x, A64, B64, 6.0, "zero"),
        TAKEN,
    ),
    "LIFBoxCell": Case(
        "norse",
        lif(DT / INV, np.ones(NEURONS), 0.4),
        lambda x: steps.norse_lif_box(x, INV, 0.0, 0.4, False, DT),
        dt=DT * DT,
    ),
    "LIFBoxCell, reset_subtract": Case(
        "norse",
        lif(DT / INV, np.ones(NEURONS), 0.4),
        lambda x: steps.norse_lif_box(x, INV, 0.0, 0.4, True, DT),
        ("reset=subtract",),
        dt=DT * DT,
    ),
    "LIFCell": Case(
        "norse",
        cuba(DT / full(250.0), DT / INV, np.ones(NEURONS), 0.8),
        lambda x: steps.norse_lif(x, 250.0, INV, 0.8, DT),
        dt=DT * DT,
    ),
    "IAFCell": Case(
        "norse",
        nir.IF(r=np.ones(NEURONS), v_threshold=full(3.0)),
        lambda x: steps.norse_iaf(x, 3.0),
        dt=DT * DT,
        weight=WHOLE,
    ),
    "sinabs LIF": Case(
        "sinabs",
        lif(TAU, np.ones(NEURONS), 0.3),
        lambda x: steps.sinabs_lif(x, np.exp(-1 / TAU), 0.3, True, False, True),
    ),
    "sinabs LIF, norm_input=False": Case(
        "sinabs",
        lif(TAU, np.ones(NEURONS), 1.0),
        lambda x: steps.sinabs_lif(x, np.exp(-1 / TAU), 1.0, False, False, True),
        ("drive=unit",),
    ),
    "sinabs LIF, SingleSpike, MembraneReset": Case(
        "sinabs",
        lif(TAU, np.ones(NEURONS), 0.3),
        lambda x: steps.sinabs_lif(x, np.exp(-1 / TAU), 0.3, True, True, False),
        ("spikes=1", "reset=zero"),
    ),
    "sinabs IAF": Case(
        "sinabs",
        nir.IF(r=np.ones(NEURONS), v_threshold=full(3.0)),
        lambda x: steps.sinabs_lif(x, 1.0, 3.0, False, False, True),
        weight=WHOLE,
    ),
    "LIFNode": Case(
        "spikingjelly",
        lif(full(5.0 * DT), np.ones(NEURONS), 0.4),
        lambda x: steps.spikingjelly_lif(x, 5.0, True, 0.4, 0.0),
        dt=DT,
    ),
    "LIFNode, no decay_input": Case(
        "spikingjelly",
        lif(full(8.0 * DT), full(8.0), 3.0),
        lambda x: steps.spikingjelly_lif(x, 8.0, False, 3.0, 0.0),
        dt=DT,
        weight=WHOLE,
    ),
    "LIFNode, v_reset": Case(
        "spikingjelly",
        lif(full(5.0 * DT), np.ones(NEURONS), 0.4, rest=-0.2),
        lambda x: steps.spikingjelly_lif(x, 5.0, True, 0.4, -0.2),
        dt=DT,
    ),
    "IFNode": Case(
        "spikingjelly",
        nir.IF(r=full(1 / DT), v_threshold=full(3.0), v_reset=ZEROS),
        lambda x: steps.spikingjelly_if(x, 3.0),
        dt=DT,
        weight=WHOLE,
    ),
    "CUBALIFNode": Case(
        "spikingjelly",
        cuba(full(DT / 0.5), full(DT / 0.25), full(4.0), 2.0, full(2.0)),
        lambda x: steps.spikingjelly_cuba(x, 0.5, 0.75, 2.0),
        dt=DT,
    ),
    "LIFTorch": Case(
        "rockpool",
        cuba(full(4 * DT), TAU * DT, TAU * np.exp(-1 / TAU), 6.0),
        lambda x: steps.rockpool_lif(x, TAU * DT, 4 * DT, 6.0, DT),
        dt=DT,
    ),
    "LIFNeuronTorch": Case(
        "rockpool",
        lif(TAU * DT, TAU * np.exp(-1 / TAU), 1.0),
        lambda x: steps.rockpool_lif(x, TAU * DT, None, 1.0, DT),
        dt=DT,
    ),
    "Lava's LIF": Case(
        "lava",
        cuba(full(DT / 0.4), full(DT / 0.1), full(10.0), 4.0, full(2.5)),
        lambda x: steps.lava_lif(x, 0.4, 0.1, 4.0),
        dt=DT,
    ),
    "lava-dl's cuba": Case(
        "lava-dl",
        cuba(full(DT / 0.4), full(DT / 0.1), full(10.0), 4.0, full(2.5)),
        lambda x: steps.lava_lif(x, 0.4, 0.1, 4.0),
        dt=DT,
    ),
    **{
        f"{preset}, ties": Case(
            preset,
            cuba(full(DT), full(DT / 0.25), full(4.0), 3.0),
            lambda x: steps.lava_lif(x, 1.0, 0.25, 3.0),
            dt=DT,
            weight=WHOLE,
        )
        for preset in ("lava", "lava-dl")
    },
    "a held current": Case(
        "nir-exact",
        lif(full(5 * DT), full(2.0), 0.6),
        lambda x: steps.held_current(x, 5 * DT, 2.0, 0.6, DT),
        dt=DT,
    ),
    "Euler's rule": Case(
        "nir-euler",
        lif(TAU * DT, full(1.0), 0.4),
        lambda x: steps.norse_lif_box(x, INV, 0.0, 0.4, False, DT),
        dt=DT,
    ),
    "Euler's rule, an IF": Case(
        "nir-euler",
        nir.IF(r=full(1 / DT), v_threshold=full(3.0)),
        lambda x: steps.norse_iaf(x, 3.0),
        dt=DT,
        weight=WHOLE,
    ),
    "the SAST papers'": Case(
        "sast",
        lif(full(DT / 0.25), full(4.0), 3.0),
        lambda x: steps.spikingjelly_cuba(x, 0.0, 0.75, 3.0),
        dt=DT,
        weight=WHOLE,
    ),
}


def graph_of(case: Case) -> nir.NIRGraph:
    nodes = {
        "input": nir.Input(np.array([INPUTS])),
        "fc": nir.Linear(case.weight),
        "lif": case.node,
        "output": nir.Output(np.array([NEURONS])),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
    if case.loop is not None:
        nodes["loop"] = nir.Linear(case.loop)
        edges += [("lif", "loop"), ("loop", "lif")]
    return nir.NIRGraph(nodes, edges, {}, type_check=False)
