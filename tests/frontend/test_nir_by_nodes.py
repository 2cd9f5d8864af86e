"""The float program of a NIR graph is the graph: node by node, by NIR's own equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the nodes are computed by torch's functions")

from nir_cases import CASES, PRODUCTS, net_of
from nir_nodes import Nodes

from sast_compile.backends import reference
from sast_compile.frontend.nir_to_ir import to_program

SEEDS = 6
ALL = CASES | PRODUCTS


@pytest.mark.parametrize("case", ALL)
def test_the_program_computes_what_the_nodes_do(case: str) -> None:
    active: list[bool] = []
    for seed in range(SEEDS):
        net = net_of(ALL[case], seed)
        contract, x = net.contract(), net.events()
        program = to_program(net.nested() if net.inner else net.graph(), contract, "net")
        trace = reference.run(program, x, record="states")
        spikes, voltages = Nodes(net.as_meant(), net.late, contract, x).run()
        assert len(program.neurons) == len(spikes)
        for name in spikes:
            inside = f"sub.{name}" if name in net.inner else name
            assert close(trace[inside].states["v"], voltages[name])
            if program.neurons[inside].fire is None:
                assert close(trace[inside].spikes, spikes[name])
            else:
                assert np.array_equal(trace[inside].spikes, spikes[name])
                active.append(0.05 < spikes[name].mean() < 0.99)
    assert np.mean(active) > 0.8  # an equality of silent nets would prove nothing


def close(ours: Any, theirs: Any) -> bool:
    return bool(np.allclose(ours, theirs, rtol=0, atol=1e-9))
