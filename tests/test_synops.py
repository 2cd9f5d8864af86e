"""Synaptic operations against counting every synapse of every spike by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loihi_programs import LoihiLayer, chain, random_chain
from net_files import conv_layer, dense_layer, input_layer, write

from sast_compile.backends import reference
from sast_compile.frontend.netx_to_ir import read_net
from sast_compile.ir.conv import convolve
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Input
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.report.synops import Operations, activity, synops
from sast_compile.trace import Layer, Trace


def test_one_spike_at_a_corner_and_one_inside(tmp_path: Path) -> None:
    """A 3x3 kernel with padding 1 on 4x4: 9 synapses from inside, 4 from a corner, two channels."""
    layers = [input_layer(1, 4, 4), conv_layer(np.ones((2, 1, 3, 3)), padding=[1, 1])]
    program = read_net(write(tmp_path / "x.net", layers), "x")
    for at, fan_out in (((0, 0), 8), ((0, 1), 12), ((1, 2), 18)):
        events = np.zeros((1, 3, 1, 4, 4), np.uint8)
        events[0, 1, 0, at[0], at[1]] = 1
        trace = reference.run(program, events)
        assert synops(program, events, trace) == (Operations("layer1.current", fan_out, 0),)


def test_a_weight_of_0_is_no_synapse_and_a_graded_event_is_one_message() -> None:
    program = chain("x", [LoihiLayer(np.array([[3, 0], [1, 1]]))], input_bits=4)
    events = np.array([[[7, 0], [0, 9]]])
    counted = synops(program, events, reference.run(program, events))
    assert counted == (Operations("a1", 2 + 1, 0),)


@pytest.mark.parametrize("seed", range(4))
def test_random_chains_against_loops(seed: int) -> None:
    program, events = random_chain(seed, recurrent=seed % 2 == 1)
    trace = reference.run(program, events)
    for one in synops(program, events, trace):
        source = program.by_name[one.projection].inputs[0].node
        weight = program.consts[program.by_name[one.projection].op.weight.name].data
        spikes = events if source == "x" else trace[source].spikes
        total = 0
        for at in np.argwhere(spikes):
            total += int(spikes[tuple(at)]) * int((weight[:, at[2]] != 0).sum())
        assert (one.input, one.hidden) == ((total, 0) if source == "x" else (0, total))


@pytest.mark.parametrize("seed", range(4))
def test_random_convolutions_against_loops(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry = {
        "stride": [1 + seed % 2, 1],
        "padding": [seed % 3, 1],
        "dilation": [1, 1 + seed // 2],
    }
    first = conv_layer(rng.integers(-1, 3, (4, 1, 2, 3)), groups=2, **geometry)
    flat = int(np.prod(_shape(tmp_path, first)))
    layers = [input_layer(2, 5, 6), first, dense_layer(rng.integers(-2, 3, (3, flat)))]
    program = read_net(write(tmp_path / "x.net", layers), "x")
    events = rng.integers(0, 2, (2, 4, 2, 5, 6))
    trace = reference.run(program, events)
    assert trace["layer1"].spikes.any()
    by_input, by_hidden = synops(program, events, trace)
    assert by_input == Operations("layer1.current", _by_loops(program, events), 0)
    weight = program.consts["layer2.weight"].data
    spikes = trace["layer1"].spikes.reshape(2, 4, -1)
    assert by_hidden == Operations("layer2.current", 0, int((spikes @ (weight != 0).T).sum()))


def _shape(tmp_path: Path, layer: dict[str, object]) -> tuple[int, ...]:
    program = read_net(write(tmp_path / "s.net", [input_layer(2, 5, 6), layer]), "s")
    return program.types["layer1"].shape


def _by_loops(program: object, events: np.ndarray) -> int:
    """Every output looks at every weight of its kernel; what it finds inside the input counts."""
    node = program.by_name["layer1.current"]  # type: ignore[attr-defined]
    op, (outputs, rows, columns) = node.op, program.types[node.name].shape  # type: ignore[attr-defined]
    assert isinstance(op, Conv2d)
    weight = program.consts[op.weight.name].data  # type: ignore[attr-defined]
    per_group, height, width = weight.shape[1:]
    total = 0
    for o, r, c, i, j, k in np.ndindex(outputs, rows, columns, per_group, height, width):
        y = r * op.stride[0] + j * op.dilation[0] - op.padding[0][0]
        x = c * op.stride[1] + k * op.dilation[1] - op.padding[1][0]
        if weight[o, i, j, k] and 0 <= y < events.shape[3] and 0 <= x < events.shape[4]:
            channel = o // (outputs // op.groups) * per_group + i
            total += int(events[:, :, channel, y, x].sum())
    return total


def test_a_spike_reaches_what_lies_behind_its_window() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 3, (4, 2, 3, 3))  # some are 0: no synapses
    nodes = (
        Node("x", Input(shape=(2, 6, 6))),
        Node("pool", SumPool2d(kernel=(2, 2), stride=(2, 2)), (Edge("x"),)),
        Node("conv", Conv2d(weight=Ref("w"), padding=((1, 1), (1, 1))), (Edge("pool", 1),)),
        Node("s", loihi_neuron((4, 3, 3), du=4095, dv=0, threshold=9, start=1), (Edge("conv"),)),
    )
    consts = {"w": Const(TensorType(weight.shape, Int(4)), weight)}
    program = check(Program("pooled", nodes, ("s",), consts))
    x = (rng.random((3, 8, 2, 6, 6)) < 0.2).astype(np.uint8)
    found = synops(program, x, reference.run(program, x))
    brute = 0
    for index in np.ndindex(2, 6, 6):
        alone = np.zeros((1, 2, 3, 3))
        alone[0, index[0], index[1] // 2, index[2] // 2] = 1
        reached = sum(
            int(np.count_nonzero(convolve(nodes[2].op, alone, (weight == w).astype(float))))
            for w in (1, 2)
        )
        brute += reached * int(x[(slice(None), slice(None), *index)].sum())
    assert found == (Operations("conv", brute, 0),)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int64])
@pytest.mark.parametrize("most", [1, 3, 100, 127])
def test_no_sum_of_spikes_overflows(kind: Any, most: int) -> None:
    fires = loihi_neuron((3,), du=0, dv=0, threshold=1)
    nodes = (Node("x", Input(shape=(3,))), Node("n", fires, (Edge("x"),)))
    spikes = np.random.default_rng(most).integers(0, most + 1, (5, 300, 3)).astype(kind)
    spikes[0] = most
    events = np.ones((5, 300, 3), np.uint8)
    found = activity(Program("p", nodes, ("n",)), events, Trace({"n": Layer(spikes)}))
    assert found["n"].tolist() == spikes.astype(int).sum(axis=(0, 1)).tolist()
    assert found["x"].tolist() == [1500] * 3
    graded = (events * np.array([0, 7, 255])).astype(np.uint8)
    found = activity(Program("p", nodes, ("n",)), graded, Trace({"n": Layer(spikes)}))
    assert found["x"].tolist() == [0, 1500, 1500]  # a graded event is one message
