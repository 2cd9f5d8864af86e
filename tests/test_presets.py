"""Each preset against its framework's own step, on the graph that the framework's exporter writes.

The steps are in `framework_steps.py`; the numbers of the nodes are written here as the exporters
write them. What a wrong contract would do is seen as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import framework_steps as steps
import nir
import numpy as np
import pytest
from msgspec.structs import replace

from sast_compile.backends import reference
from sast_compile.contract import Contract
from sast_compile.contract_text import SETTABLE, changed
from sast_compile.errors import CompileError
from sast_compile.frontend.exporters import EXPORTERS, contradiction
from sast_compile.frontend.nir_neurons import Discretiser
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.ir.types import Const
from sast_compile.presets import PRESETS, named_contract

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


def ours(case: Case, contract: Contract) -> Any:
    program = to_program(graph_of(case), contract, "net")
    return reference.run(program, EVENTS)["lif"].spikes


@cache
def theirs(case: Case) -> Any:
    return np.array([case.step(sample.astype(float) @ case.weight.T) for sample in EVENTS])


@pytest.mark.parametrize("name", CASES)
def test_a_preset_is_the_framework_step_for_step(name: str) -> None:
    case = CASES[name]
    expected = theirs(case)
    fired = np.count_nonzero(expected)
    assert 0.01 < fired / expected.size < 0.6
    assert (expected.any(axis=(0, 1))).mean() > 0.5  # of the neurons
    np.testing.assert_array_equal(ours(case, case.contract), expected)


def test_every_preset_has_a_case() -> None:
    assert {case.preset for case in CASES.values()} == set(PRESETS)


def test_decays_of_snntorch_come_back_bit_for_bit() -> None:
    graph = graph_of(CASES["Leaky, subtract"])
    program = to_program(graph, named_contract("snntorch", None), "net")
    np.testing.assert_array_equal(program.consts["lif.alpha"].data, B64)
    assert program.neurons["lif"].voltage.gain == 1.0
    plain = to_program(graph, named_contract("nir-euler", 1e-4), "net")
    assert (plain.consts["lif.alpha"].data != B64).any()  # so the rule is needed


def recovered(beta: Any) -> Any:
    """Decays in float32 through snnTorch's exporter and back."""
    tau = 1e-4 / (1 - beta)
    ones = np.ones(len(beta))
    node = nir.LIF(tau=tau, r=tau / 1e-4, v_leak=0 * ones, v_threshold=ones)
    consts: dict[str, Const] = {}
    Discretiser(named_contract("snntorch", None), consts).population("lif", node, beta.shape, None)
    return consts["lif.alpha"].data


def test_a_float32_decay_of_a_half_or_more_is_recovered_and_a_smaller_one_nearly() -> None:
    large = np.random.default_rng(1).uniform(0.5, 1.0, 200_000).astype(np.float32)
    large = large[large < 1]
    np.testing.assert_array_equal(recovered(large), large.astype(float))
    small = np.random.default_rng(2).uniform(0.0, 0.5, 200_000).astype(np.float32)
    assert 0 < np.abs(recovered(small) - small).max() <= 2.0**-23  # 1 - beta had lost the rest


# zero at the spike and zero before the next decay: the same but for what v reads at a spike
SAME_SPIKES = {("spikingjelly", "sast"), ("sast", "spikingjelly")}
OTHERS: dict[str, Sequence[str]] = {
    "leak": ("euler", "exact", "alpha"),
    "drive": ("nir", "step", "unit"),
    "synapse": ("nir", "unit", "decayed"),
    "reset": ("zero", "subtract"),
    "reset_when": ("after_fire", "before_decay", "after_decay", "after_input"),
    "compare": (">", ">="),
    "spikes": ("1", "65536"),
}


def differs(case: Case, field_: str, value: str) -> bool:
    """Whether the case's spikes are others with this field changed; False if it cannot be so."""
    settings = [f"{field_}={value}"]
    if field_ == "reset":
        settings.append(f"reset_when={case.contract.reset_when}")
    return other_spikes(case, changed(case.contract, settings))


def other_spikes(case: Case, contract: Contract) -> bool:
    """Whether ``contract`` gives other spikes than the framework; False if it refuses the graph."""
    try:
        return bool((ours(case, contract) != theirs(case)).any())
    except CompileError:
        return False


@pytest.mark.parametrize(
    ("field_", "value"), [(f, v) for f, values in OTHERS.items() for v in values]
)
def test_every_value_of_every_field_is_wrong_for_some_net(field_: str, value: str) -> None:
    others = [c for c in CASES.values() if str(getattr(c.contract, field_)) != value]
    assert any(differs(case, field_, value) for case in others)


def same_on_every_net(one: Contract, other: Contract) -> bool:
    """Whether two presets, at one time step, are the same contract but for its loops' words."""
    words = {"dt": 1.0, "feedback": 1}
    return replace(one, **words) == replace(other, **words)


@pytest.mark.parametrize("wrong", PRESETS)
def test_every_preset_is_wrong_for_the_net_of_another(wrong: str) -> None:
    contract = PRESETS[wrong].contract
    for right in PRESETS:
        if same_on_every_net(PRESETS[right].contract, contract):
            continue
        apart = [
            other_spikes(case, replace(contract, dt=case.contract.dt))
            for case in CASES.values()
            if case.preset == right
        ]
        assert any(apart) is ((right, wrong) not in SAME_SPIKES), right


def test_the_fields_above_are_all_there_are() -> None:
    assert set(OTHERS) == set(SETTABLE)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.preset in EXPORTERS])
def test_no_exporter_is_contradicted_by_its_own_file(name: str) -> None:
    case = CASES[name]
    assert contradiction({"lif": case.node}, case.preset, case.contract.dt) is None


def test_a_file_contradicts_the_exporters_that_never_write_it() -> None:
    leaky = {"lif": CASES["Leaky, subtract"].node}
    assert "r = " in (contradiction(leaky, "norse", 1e-6) or "")
    assert "r = " in (contradiction(leaky, "sinabs", 1.0) or "")
    assert contradiction(leaky, "spikingjelly", 1e-4) is None  # the same numbers: no proof
    moved = {"lif": CASES["LIFNode, v_reset"].node}
    assert "v_leak = -0.2, and it writes 0" in (contradiction(moved, "sinabs", 1.0) or "")
    iaf = {"lif": CASES["IFNode"].node}
    assert "of the kind IF, which it does not write" in (contradiction(iaf, "snntorch", 1e-4) or "")
    assert "at dt = 0.0001 it writes 10000" in (contradiction(iaf, "spikingjelly", 1e-4) or "")
    assert contradiction(iaf, "nir-euler", 1.0) is None  # nobody's exporter
