"""Each preset against its framework's own step, on the graph that the framework's exporter writes.

The steps are in `framework_steps.py`; the numbers of the nodes are written here as the exporters
write them. What a wrong contract would do is seen as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import nir
import numpy as np
import pytest
from msgspec.structs import replace
from preset_cases import B64, CASES, EVENTS, Case, graph_of

from sast_compile.backends import reference
from sast_compile.contract import Contract
from sast_compile.contract_text import SETTABLE, changed
from sast_compile.errors import CompileError
from sast_compile.frontend.exporters import EXPORTERS, contradiction
from sast_compile.frontend.nir_neurons import Discretiser
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.ir.types import Const
from sast_compile.presets import PRESETS, named_contract


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
