"""Graphs written for other importers: what we ourselves read of them, under the importer's rule."""

from __future__ import annotations

import math
from typing import Any

import nir
import numpy as np
import pytest
from msgspec.structs import replace

from sast_compile.backends import reference
from sast_compile.contract import METADATA_KEY, Contract, contract_from_json
from sast_compile.errors import Unsupported
from sast_compile.frontend.nir_readers import READERS, written_for
from sast_compile.frontend.nir_to_ir import to_program

RNG = np.random.default_rng(3)
EVENTS = (RNG.random((4, 60, 12)) < 0.4).astype(np.uint8)


def graph_of(kind: str, **changes: Any) -> nir.NIRGraph:
    """Two populations with gains that are not 1, and a linear node without a bias."""
    fields = {"tau": 8e-3, "tau_mem": 8e-3, "tau_syn": 4e-3, "r": 3.0, "w_in": 2.0, "v_leak": 0.0,
              "v_threshold": 0.25, "v_reset": 0.0}  # fmt: skip
    fields |= {"r": 300.0} if kind == "IF" else {}
    fields |= changes

    def neuron(size: int) -> Any:
        wanted = getattr(nir, kind).__dataclass_fields__
        full = {k: np.full(size, v) for k, v in fields.items() if k in wanted}
        return getattr(nir, kind)(**full)

    nodes = {
        "input": nir.Input(np.array([12])),
        "fc1": nir.Linear(RNG.normal(0.1, 0.3, (9, 12))),
        "n1": neuron(9),
        "fc2": nir.Linear(RNG.normal(0.1, 0.3, (7, 9))),
        "n2": neuron(7),
        "output": nir.Output(np.array([7])),
    }
    return nir.NIRGraph(nodes, [*zip(nodes, list(nodes)[1:], strict=False)], type_check=False)


def contract_for(framework: str) -> Contract:
    """A contract of another dt and by NIR's gains, with the importer's reset and comparison."""
    reads = READERS[framework].contract
    return replace(reads, dt=1e-3, drive="nir", synapse="nir", leak="euler")


def spikes(graph: nir.NIRGraph, contract: Contract) -> Any:
    trace = reference.run(to_program(graph, contract, "net"), EVENTS)
    return np.concatenate([trace[name].spikes for name in ("n1", "n2")], axis=2)


KINDS = [(framework, kind) for framework, reader in READERS.items() for kind in reader.kinds]


@pytest.mark.parametrize(("framework", "kind"), KINDS)
def test_the_importers_rule_gives_the_same_spikes(framework: str, kind: str) -> None:
    graph, contract = graph_of(kind), contract_for(framework)
    written = written_for(framework, graph, contract)
    stated = contract_from_json(written.metadata[METADATA_KEY], "written")
    assert stated == READERS[framework].contract
    ours = spikes(graph, contract)
    assert ours.sum() > 200
    assert np.array_equal(spikes(written, stated), ours)
    other = replace(stated, leak="exact" if stated.leak == "euler" else "euler", dt=stated.dt / 2)
    if kind != "IF":
        assert not np.array_equal(spikes(written, other), ours)


@pytest.mark.parametrize(
    ("framework", "kind", "change", "what"),
    [
        ("snntorch", "LIF", {"reset": "subtract"}, "reset: subtract, after_fire; .* zero"),
        ("snntorch", "LIF", {"reset_when": "after_input"}, "reset: zero, after_input"),
        ("snntorch", "LIF", {"compare": ">="}, "comparison: >=; .* >"),
        ("sinabs", "LIF", {"spikes": 1}, "spikes in one step: 1; .* 65536"),
        ("snntorch", "IF", {}, "IF is none"),
        ("rockpool", "LIF", {}, "LIF is none"),
    ],
)
def test_what_an_importer_cannot_be_told_is_refused(
    framework: str, kind: str, change: dict[str, Any], what: str
) -> None:
    with pytest.raises(Unsupported, match=f"n1: .*{what}"):
        written_for(framework, graph_of(kind), replace(contract_for(framework), **change))


def test_resets_that_make_the_same_spikes_are_one() -> None:
    contract = replace(contract_for("spikingjelly"), reset_when="before_decay")
    graph = graph_of("LIF")
    written = written_for("spikingjelly", graph, contract)
    reads = READERS["spikingjelly"].contract
    assert np.array_equal(spikes(written, reads), spikes(graph, contract))


def test_a_state_that_is_lost_at_once_has_no_time_constant_in_an_exact_leak() -> None:
    contract = replace(contract_for("sinabs"), dt=8e-3)
    with pytest.raises(Unsupported, match="keeps 0 of itself"):
        written_for("sinabs", graph_of("LIF"), contract)


def test_the_relation_that_rockpool_takes_its_dt_from() -> None:
    written = written_for("rockpool", graph_of("CubaLIF"), contract_for("rockpool"))
    node = written.nodes["n1"]
    dt = READERS["rockpool"].contract.dt
    assert np.allclose(node.tau_mem / (1 + node.r), dt, rtol=1e-12)
    assert math.isclose(math.exp(-dt / node.tau_mem[0]), 1 - 1e-3 / 8e-3)


def test_sinabs_gets_an_affine_for_a_linear() -> None:
    written = written_for("sinabs", graph_of("LIF"), contract_for("sinabs"))
    assert isinstance(written.nodes["fc1"], nir.Affine)
    assert not written.nodes["fc1"].bias.any()
