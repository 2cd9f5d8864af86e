"""What arrives at a projection, and the second moments of its traces, written out once more."""

from __future__ import annotations

import numpy as np
import pytest
from float_programs import FloatLayer, events, float_chain, floats

from sast_compile.errors import Unsupported
from sast_compile.ir.conv import Conv2d, geometry, synapses
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Dense, Flatten, Input, SumPool2d
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.passes.arriving import SHRINKAGE, arriving, second_moments
from sast_compile.passes.responses import impulse_response, traces


def by_hand(seen: np.ndarray) -> np.ndarray:
    """E[x x], shrunk, of traces (seen, inputs)."""
    h = seen.T @ seen / len(seen)
    return np.asarray(h + SHRINKAGE * np.diag(h).mean() * np.eye(len(h)))


def test_traces_are_the_response_to_every_spike() -> None:
    spikes, kept = events((3, 9, 4)), [0.5, 0.8]
    h = impulse_response(kept, 9)
    assert h[:3].tolist() == pytest.approx([1, 1.3, 0.25 + 0.4 + 0.64])
    wanted = np.zeros(spikes.shape)
    for t in range(9):
        for k in range(t + 1):
            wanted[:, t] += h[k] * spikes[:, t - k]
    assert np.allclose(traces(spikes, kept), wanted)


def test_the_moment_of_a_dense_layer() -> None:
    spikes = events((150, 6, 5))  # more samples than one portion
    (found,) = second_moments(Dense(weight=Ref("w")), (2, 5), spikes, [0.9])
    assert np.allclose(found, by_hand(traces(spikes, [0.9]).reshape(-1, 5)))


@pytest.mark.parametrize("groups", [1, 2])
def test_the_moments_of_a_convolution(groups: int) -> None:
    op = Conv2d(weight=Ref("w"), stride=(2, 1), padding=((1, 0), (1, 1)), groups=groups)
    shape = (4, 4 // groups, 3, 2)
    spikes = events((30, 4, 4, 5, 6), 0.3)
    found = second_moments(op, shape, spikes, [0.7])
    assert len(found) == groups
    x = traces(spikes, [0.7]).reshape(-1, 4 * 5 * 6)
    geometry_ = geometry(op, (4, 5, 6), shape)
    wires = synapses(op, geometry_)
    inputs = int(np.prod(shape[1:]))
    for group, h in enumerate(found):
        seen = []
        first = group * 4 // groups  # the group's first channel of outputs
        pixels = int(np.prod(geometry_.output[1:]))
        for target in range(first * pixels, (first + 1) * pixels):
            own = wires.target == target
            field = np.zeros((len(x), inputs))
            field[:, wires.kernel[own] % inputs] = x[:, wires.source[own]]
            seen.append(field)
        wanted = by_hand(np.concatenate(seen))
        assert np.abs(h - wanted).max() < 0.1 * wanted.max()  # of drawn fields, not of all


def graph() -> Program:
    """x (1, 4, 4) -> pool -> flatten -> fc, two steps late."""
    nodes = (
        Node("x", Input(shape=(1, 4, 4))),
        Node("pool", SumPool2d(kernel=(2, 2), stride=(2, 2)), (Edge("x"),)),
        Node("flat", Flatten(), (Edge("pool", 2),)),
        Node("fc", Dense(weight=Ref("w")), (Edge("flat"),)),
    )
    return Program("net", nodes, ("fc",), {"w": floats(np.ones((3, 4)))})


def test_pools_flattens_and_delays_are_gone_through() -> None:
    spikes = events((2, 5, 1, 4, 4))
    found = arriving(graph(), "fc", {"x": spikes})
    pooled = spikes.reshape(2, 5, 2, 2, 2, 2).sum(axis=(3, 5)).reshape(2, 5, 4)
    assert not found[:, :2].any()
    assert np.array_equal(found[:, 2:], pooled[:, :3])


def test_a_projection_of_a_projection_is_refused() -> None:
    program = float_chain(FloatLayer(np.ones((2, 3))))
    nodes = (*program.nodes[:2], Node("fc2", Dense(weight=Ref("w")), (Edge("fc1"),)))
    odd = Program("net", nodes, ("fc2",), {**program.consts, "w": floats(np.ones((2, 2)))})
    with pytest.raises(Unsupported, match=r"^fc1: cannot be calibrated"):
        arriving(odd, "fc2", {"x": events((1, 2, 3))})
