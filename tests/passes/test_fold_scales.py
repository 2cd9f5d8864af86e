"""fold_scales: the gain of a float neuron's input moves into the weights, and no spike changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_programs import FloatLayer, events, float_chain, floats, lowered, weights_of

from sast_compile.backends.reference import run
from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Dense
from sast_compile.ir.program import Edge, Node, Program, check

WEIGHTS = np.array([[0.5, -0.25, 1.0], [0.75, 0.5, -1.0]])
GAINS = np.array([0.5, 2.0])  # powers of two: the folded sums are exactly the same


@pytest.mark.parametrize("gain", [0.25, GAINS])
def test_rows_are_scaled_and_no_spike_changes(gain: float | np.ndarray) -> None:
    program = float_chain(FloatLayer(WEIGHTS, alpha=0.9, gain=gain, threshold=0.2))
    result = lowered(program, ["fold_scales"])
    folded = result.program
    assert folded.neurons["lif1"].voltage.gain == 1.0
    expected = WEIGHTS * np.broadcast_to(gain, (2,))[:, None]
    assert np.array_equal(weights_of(folded, "fc1").data, expected)
    assert set(folded.consts) == {"fc1.weight"}  # a gain per neuron is no constant any more
    x = events((8, 20, 3))
    before, after = (run(p, x, "states")["lif1"] for p in (program, folded))
    assert np.array_equal(before.states["v"], after.states["v"])
    assert np.array_equal(before.spikes, after.spikes)
    assert before.spikes.sum() > 20
    low, high = np.min(gain), np.max(gain)
    assert [(n.node, n.text) for n in result.notes] == [
        ("lif1", f"gain {low:.6g}..{high:.6g} into the weights")
    ]


def test_without_a_gain_nothing_changes() -> None:
    program = float_chain(FloatLayer(WEIGHTS), FloatLayer([[1.0, 0.5]]))
    result = lowered(program, ["fold_scales"])
    assert result.program == program
    assert result.notes == ()


def test_twice_is_once() -> None:
    program = float_chain(FloatLayer(WEIGHTS, gain=GAINS), FloatLayer([[1.0, 0.5]], gain=0.3))
    once = lowered(program, ["fold_scales"]).program
    assert lowered(once, ["fold_scales"]).program == once != program


def two_projections() -> Program:
    """x drives lif1 through fc1 and fc1b, whose currents meet in an Add."""
    base = float_chain(FloatLayer(WEIGHTS, gain=GAINS, threshold=0.4))
    x, fc1, lif1 = base.nodes
    other = Node("fc1b", Dense(weight=Ref("fc1b.weight")), (Edge("x"),))
    meet = Node("sum", Add(), (Edge("fc1"), Edge("fc1b")))
    nodes = (x, fc1, other, meet, replace(lif1, inputs=(Edge("sum"),)))
    consts = {**base.consts, "fc1b.weight": floats(-0.5 * WEIGHTS)}
    return check(replace(base, nodes=nodes, consts=consts))


def test_every_projection_of_a_population_takes_the_gain() -> None:
    folded = lowered(two_projections(), ["fold_scales"]).program
    assert np.array_equal(weights_of(folded, "fc1").data, WEIGHTS * GAINS[:, None])
    assert np.array_equal(weights_of(folded, "fc1b").data, -0.5 * WEIGHTS * GAINS[:, None])


def test_a_population_driven_by_events_is_refused() -> None:
    base = float_chain(FloatLayer(np.eye(2), gain=0.5))
    x, _, lif1 = base.nodes
    program = replace(base, nodes=(x, replace(lif1, inputs=(Edge("x"),))))
    with pytest.raises(Unsupported, match=r"^lif1: is driven by x, .*hint: put a Linear between"):
        lowered(program, ["fold_scales"])


@pytest.mark.parametrize("shared", ["fc1", "sum"])
def test_a_current_that_drives_two_populations_is_refused(shared: str) -> None:
    # two gains cannot both move into one weight
    base = two_projections()
    source = Edge(shared)
    if shared == "fc1":
        nodes = tuple(n for n in base.nodes if n.name not in ("fc1b", "sum"))
        nodes = (*nodes[:-1], replace(nodes[-1], inputs=(source,)))
    else:
        nodes = base.nodes
    other = base.neurons["lif1"]
    program = check(replace(base, nodes=(*nodes, Node("lif2", other, (source,)))))
    with pytest.raises(Unsupported, match=rf"^{shared}: drives more than one node"):
        lowered(program, ["fold_scales"])
