"""Graphs that no weight of a chip holds: the message names the node, the reason and the way out."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from msgspec.structs import replace

pytest.importorskip("torch", reason="the shapes are computed by torch's functions")

from nir_cases import LARGE, PICTURE, ROW, averages, ends, flat, path, scale, sums
from nir_nets import DT, Net

from sast_compile.errors import CompileError
from sast_compile.frontend.nir_to_ir import to_program

CASES: dict[str, tuple[Any, str]] = {
    "two convolutions": (
        path(PICTURE, lambda n: {"a": n.conv(PICTURE, 3), "b": n.conv((3, 6, 4), 2)}),
        "a: feeds b, which has a weight too, and .* hint: put a neuron between them",
    ),
    "a convolution and a matrix": (
        path(PICTURE, lambda n: {
            "a": n.conv(PICTURE, 3), "f": flat((3, 6, 4)), "b": n.dense(5, 72)}),
        "a: feeds b, which has a weight too",
    ),
    "a scale inside a channel": (
        path(PICTURE, lambda n: {"s": scale(n, *PICTURE), "conv": n.conv(PICTURE, 3)}),
        "conv: meets a scale that differs inside a channel, .* hint: one scale for each channel",
    ),
    "a delay inside a channel": (
        path(PICTURE, lambda n: {
            "d": nir.Delay(np.arange(48).reshape(PICTURE) * DT), "conv": n.conv(PICTURE, 3)}),
        "conv: meets a delay that differs inside a channel, .* hint: one delay for each channel",
    ),
    "a scale before a pool": (
        path(LARGE, lambda n: {"s": scale(n, *LARGE), "p": sums(), "c": n.conv((2, 4, 3), 3)}),
        "p: meets a scale that differs inside a channel",
    ),
    "a scale of a flattened convolution": (
        path(PICTURE, lambda n: {
            "conv": n.conv(PICTURE, 3), "f": flat((3, 6, 4)), "s": scale(n, 72)}),
        "s: is a scale behind a flattened convolution; hint: put it before it",
    ),
    "a padded pool of a convolution": (
        path(LARGE, lambda n: {"conv": n.conv(LARGE, 3), "p": averages(3, 2, 1)}),
        "p: pools what conv makes, .* hint: put the pool behind the neurons",
    ),
    "too many elements": (
        path((5000,), lambda n: {"s": scale(n, 5000)}),
        "lif1.in: 5000 elements come in without a weight: .* hint: put a Linear between them",
    ),
    "a scale of another shape": (
        path(ROW, lambda n: {"s": scale(n, 1, 5), "fc": n.dense(6, 5)}),
        r"s: scale \(1, 5\) does not fit a shape \(5,\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_message_says_where_what_and_the_way_out(case: str) -> None:
    build, message = CASES[case]
    net = Net(np.random.default_rng(0))
    build(net)
    with pytest.raises(CompileError, match=f"^{message}"):
        to_program(net.graph(), net.contract(), "net")


def test_a_subgraph_of_two_outputs() -> None:
    net = Net(np.random.default_rng(0))
    ends(net, ROW)
    inside = {"i": nir.Input(np.array([5])), "o": nir.Output(np.array([5])), "p": nir.Output(ROW)}
    net.nodes["sub"] = nir.NIRGraph(inside, [("i", "o"), ("i", "p")], type_check=False)
    net.nodes["lif1"] = net.lif(5)
    net.wire("input > sub > lif1 > output")
    with pytest.raises(CompileError, match=r"^sub: a subgraph with 2 Output nodes cannot be enter"):
        to_program(net.graph(), net.contract(), "net")


def test_a_node_may_have_the_name_of_a_sum() -> None:
    net = Net(np.random.default_rng(0))
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "lif1.sum": net.dense(6, 5), "lif1": net.lif(6)}
    net.wire("input > fc > lif1 > output")
    net.wire("input > lif1.sum > lif1")
    program = to_program(net.graph(), net.contract(), "net")
    assert [e.node for e in program.by_name["lif1.sum_"].inputs] == ["fc", "lif1.sum"]


def test_a_projection_does_not_take_another_layers_name() -> None:
    net = Net(np.random.default_rng(0))
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "fd": net.dense(6, 5), "lif1": net.lif(6)}
    net.nodes |= {"w": net.dense(6, 6), "w.lif2": net.dense(6, 6), "lif2": net.lif(6)}
    net.nodes |= {"lif3": net.lif(6)}
    net.wire("input > fc > lif1 > w > lif3 > output")
    net.wire("input > fd > lif2 > w")
    net.wire("lif2 > w.lif2 > lif3")
    program = to_program(net.graph(), net.contract(), "net")
    summed = [e.node for e in program.by_name["lif3.sum"].inputs]
    assert sorted(summed)[0] == "w"
    own = program.by_name["w.lif2"].op.weight.name
    assert np.array_equal(program.consts[own].data, net.nodes["w.lif2"].weight)
    assert len(set(summed)) == 3


@pytest.mark.parametrize("what", ["float32", "float64"])
def test_gains_that_differ_by_rounding_are_one(what: str) -> None:
    net = Net(np.random.default_rng(0))
    ends(net, PICTURE)
    tau = net.rng.uniform(0.01, 0.02, (3, 6, 4)).astype(what)
    zero = np.zeros((3, 6, 4), what)
    net.nodes["conv"] = net.conv(PICTURE, 3)
    net.nodes["lif1"] = nir.LIF(tau, (tau / np.float32(DT)).astype(what), zero, zero + 1, zero)
    net.wire("input > conv > lif1 > output")
    contract = replace(net.contract(), leak="euler")
    gain = to_program(net.graph(), contract, "net").neurons["lif1"].voltage.gain
    assert isinstance(gain, float)
    assert gain == pytest.approx(1, abs=1e-6)
