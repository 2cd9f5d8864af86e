"""Small programs: recurrent, graded, biased, late, convolved, saved, and in a loop."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF
from lava.utils.serialization import load, save
from loihi_graphs import own_reset, random_graph, with_neurons
from loihi_programs import LoihiLayer, chain, loihi_neuron, random_chain
from measure import FIXED, aligned, columns, count

from sast_compile.backends import reference
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Flatten, Input
from sast_compile.ir.ops import Dense as DenseOp
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.lava import CompiledNet

Counts = dict[str, int]


def alone(
    program: Program, events: Any, *, reset: bool, first_step: int = 1, file: str | None = None
) -> Counts:
    """Source, net, sink; with ``file``, saved there and loaded again before it runs."""
    interval = events.shape[1] if reset else None
    net = CompiledNet(program, reset_interval=interval, first_step=first_step)
    steps = events.shape[0] * events.shape[1] + net.out_step - 1
    source = Source(data=columns(events, silent=first_step - 1))
    sink = Sink(shape=net.out.shape, buffer=steps)
    source.s_out.connect(net.inp)
    net.out.connect(sink.a_in)
    if file is not None:
        save([source, net, sink], file)
        (source, net, sink), _ = load(file)
    source.run(condition=RunSteps(steps), run_cfg=FIXED)
    wanted = reference.run(net.program, events)[program.outputs[0]].spikes
    result = count(aligned(sink.data.get(), net.out_step, wanted), wanted)
    source.stop()
    return result


def biased_chain() -> tuple[Program, Any]:
    """Three layers that fire without input: before column 0 they are busy already."""
    rng = np.random.default_rng(5)
    layers = [
        LoihiLayer(rng.integers(-60, 127, shape), exponent=1, dv=300, vth=90, bias=900)
        for shape in ((6, 4), (5, 6), (4, 5))
    ]
    events = (rng.random((1, 80, 4)) < 0.4).astype(int)
    layers[1] = replace(layers[1], recurrent=rng.integers(-60, 60, (5, 5)))
    return chain("biased", layers), events


def two_in_a_row() -> dict[str, Counts]:
    """A recurrent net and one behind it, both reset in the step that their sample reaches them."""
    program, events = random_chain(7, recurrent=True, samples=20)
    size = program.types[program.outputs[0]].size
    weights = np.random.default_rng(1).integers(20, 120, (3, size))
    behind = chain("behind", [LoihiLayer(weights, dv=200, vth=130)])
    first = CompiledNet(program, reset_interval=12)
    second = CompiledNet(behind, reset_interval=12, first_step=first.out_step)
    steps = 20 * 12 + first.latency + second.latency
    source = Source(data=columns(events))
    source.s_out.connect(first.inp)
    first.out.connect(second.inp)
    sinks = {net: Sink(shape=net.out.shape, buffer=steps) for net in (first, second)}
    for net, sink in sinks.items():
        net.out.connect(sink.a_in)
    source.run(condition=RunSteps(steps), run_cfg=FIXED)
    wanted: dict[CompiledNet, Any] = {}
    wanted[first] = reference.run(program, events)[program.outputs[0]].spikes
    wanted[second] = reference.run(behind, wanted[first])[behind.outputs[0]].spikes
    kept = {net: aligned(sinks[net].data.get(), net.out_step, wanted[net]) for net in sinks}
    source.stop()
    return {
        "first of two": count(kept[first], wanted[first]),
        "second of two": count(kept[second], wanted[second]),
    }


def convolution() -> tuple[Program, Any]:
    """A convolution over (2, 6, 7), unrolled into Sparse; returns the first of its two layers."""
    rng = np.random.default_rng(4)
    kernel, weights = rng.integers(-20, 60, (3, 2, 3, 3)), rng.integers(-20, 60, (4, 60))
    inner = msgspec.structs.replace(loihi_neuron(1, vth=700, dv=300), shape=(3, 4, 5))
    consts = {
        name: Const(TensorType(data.shape, Int(8)), data)
        for name, data in (("k", kernel), ("w", weights))
    }
    nodes = (
        Node("x", Input(shape=(2, 6, 7))),
        Node("a", Conv2d(weight=Ref("k"), exponent=1), (Edge("x", 1),)),
        Node("s", inner, (Edge("a"),)),
        Node("flat", Flatten(), (Edge("s", 1),)),
        Node("b", DenseOp(weight=Ref("w"), exponent=1), (Edge("flat"),)),
        Node("t", loihi_neuron(4, vth=300, dv=200, start=2), (Edge("b"),)),
    )
    events = (rng.random((2, 10, 12, 2, 6, 7)) < 0.15).astype(int)
    return check(Program("convolution", nodes, ("s",), consts)), events


def two_sources() -> Counts:
    """One source in the net's shape and a flat one behind a reshape: the input is their OR."""
    program, (one, other) = convolution()
    net = CompiledNet(program, reset_interval=12)
    steps = 10 * 12 + net.latency
    source, flat = Source(data=columns(one)), Source(data=columns(other.reshape(10, 12, -1)))
    sink = Sink(shape=net.out.shape, buffer=steps)
    source.s_out.connect(net.inp)
    flat.s_out.reshape(net.inp.shape).connect(net.inp)
    net.out.connect(sink.a_in)
    source.run(condition=RunSteps(steps), run_cfg=FIXED)
    wanted = reference.run(program, one | other)["s"].spikes
    result = count(aligned(sink.data.get(), net.out_step, wanted), wanted)
    source.stop()
    return result


def loop() -> dict[str, Counts]:
    """The net's output drives a stock LIF, whose spikes come back into the net's input."""
    rng = np.random.default_rng(2)
    weights = [rng.integers(10, 100, (5, 6)), rng.integers(10, 100, (4, 5))]
    layers = [LoihiLayer(weights[0], vth=600, dv=500), LoihiLayer(weights[1], vth=500, dv=500)]
    program = chain("looped", layers)
    net = CompiledNet(program)
    steps = 150
    events = (rng.random((1, steps, 6)) < 0.25).astype(int)
    source = Source(data=columns(events))
    there = Dense(weights=np.full((2, 4), 20))
    lif = LIF(shape=(2,), du=4095, dv=100, vth=45)
    back = Dense(weights=np.array([[2, 0]] * 3 + [[0, 2]] * 3))
    source.s_out.connect(net.inp)
    net.out.connect(there.s_in)
    there.a_out.connect(lif.a_in)
    lif.s_out.connect(back.s_in)
    back.a_out.connect(net.inp)
    out, fed = Sink(shape=(4,), buffer=steps), Sink(shape=(2,), buffer=steps)
    net.out.connect(out.a_in)
    lif.s_out.connect(fed.a_in)
    source.run(condition=RunSteps(steps), run_cfg=FIXED)
    fired = fed.data.get().T.astype(int)
    returned = np.repeat(np.concatenate([np.zeros((1, 2), int), fired[:-1]]), 3, axis=1)
    wanted = reference.run(program, events | returned)[program.outputs[0]].spikes
    open_loop = reference.run(program, events)[program.outputs[0]].spikes
    found = np.moveaxis(out.data.get(), -1, 0)[None, net.latency :]
    wanted, open_loop = (one[:, : steps - net.latency] for one in (wanted, open_loop))
    source.stop()
    return {"loop": count(found, wanted), "loop, by the open one": count(found, open_loop)}


def wired(seed: int) -> tuple[Program, Any]:
    """Delays and loops, and resets of ours; one input and one output, nothing that reads ahead."""
    program, events = random_graph(seed, samples=6)
    program = with_neurons(program, events, seed, own_reset)
    return replace(program, outputs=program.outputs[:1]), events["x"]


if __name__ == "__main__":
    RECURRENT = random_chain(3, recurrent=True, samples=20)
    WIRED = 9
    GRADED = random_chain(5, input_bits=4, samples=10)
    print(
        json.dumps(
            {
                "recurrent": alone(*RECURRENT, reset=True),
                "recurrent, late": alone(*RECURRENT, reset=True, first_step=6),
                "graded": alone(*GRADED, reset=True),
                "biased, no reset": alone(*biased_chain(), reset=False),
                "biased, late": alone(*biased_chain(), reset=False, first_step=8),
                "saved": alone(*random_chain(8), reset=True, file=sys.argv[1]),
                "convolution, two sources": two_sources(),
                "recurrent, without its resets": alone(*RECURRENT, reset=False),
                "any wiring": alone(*wired(WIRED), reset=True, first_step=4),
                **two_in_a_row(),
                **loop(),
            }
        )
    )
