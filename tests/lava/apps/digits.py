"""The digits net: 100 samples with resets, beside a spoilt copy; and one long sample without."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.monitor.process import Monitor
from measure import FIXED, aligned, columns, count

from sast_compile.backends import reference
from sast_compile.backends.lava.processes.recorder import SpikeRecorder
from sast_compile.data import load_dataset
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const
from sast_compile.lava import CompiledNet


def with_one_weight_changed(program: Program) -> Program:
    """The strongest weight of the last layer, negated: the spoilt net of the negative control."""
    const = program.consts["fc2.weight"]
    data = const.data.copy()
    data[np.unravel_index(np.abs(data).argmax(), data.shape)] *= -1
    return Program(
        program.name,
        program.nodes,
        program.outputs,
        {**program.consts, "fc2.weight": Const(const.type, data)},
    )


def side_by_side(path: str, folder: Path, events: Any) -> dict[str, Any]:
    """Two nets on one source; every layer of the first, and the output of the spoilt one."""
    net = CompiledNet(path, reset_interval=events.shape[1], name="net")
    spoilt = CompiledNet(
        with_one_weight_changed(net.program), reset_interval=events.shape[1], name="spoilt"
    )
    length = events.shape[0] * events.shape[1]
    source = Source(data=columns(events))
    sinks = [Sink(shape=one.out.shape, buffer=length + one.latency) for one in (net, spoilt)]
    for one, sink in zip((net, spoilt), sinks):  # noqa: B905
        source.s_out.connect(one.inp)
        one.out.connect(sink.a_in)
    inner = folder / "lif1.npz"  # 204,800 spikes: a sink hands them out one by one
    hidden = SpikeRecorder(shape=(128,), first=2, count=length, path=str(inner))
    net.layers["lif1"].s_out.connect(hidden.s_in)
    source.run(condition=RunSteps(length + net.latency), run_cfg=FIXED)
    wanted = reference.run(net.program, events)
    last = wanted["lif2"].spikes
    kept = [aligned(sink.data.get(), net.out_step, last) for sink in sinks]
    result = {
        "lif1": count(
            np.load(inner)["spikes"].reshape(wanted["lif1"].spikes.shape), wanted["lif1"].spikes
        ),
        "out": count(kept[0], last),
        "spoilt": count(kept[1], last),
        "spoilt, by its own program": count(
            kept[1], reference.run(spoilt.program, events)["lif2"].spikes
        ),
    }
    source.stop()
    return result


def one_long_sample(path: str, events: Any) -> dict[str, Any]:
    """No reset: ten digits are one sample; Monitors on u and v of the inner layer."""
    events = events.reshape(1, -1, *events.shape[2:])
    net = CompiledNet(path)
    steps = events.shape[1] + net.latency
    source, sink = Source(data=columns(events)), Sink(shape=net.out.shape, buffer=steps)
    source.s_out.connect(net.inp)
    net.out.connect(sink.a_in)
    monitors = {state: Monitor() for state in ("u", "v")}
    for state, monitor in monitors.items():
        monitor.probe(getattr(net.layers["lif1"], state), steps)
    source.run(condition=RunSteps(steps), run_cfg=FIXED)
    wanted = reference.run(net.program, events, "states")
    result = {"out": count(aligned(sink.data.get(), net.out_step, wanted["lif2"].spikes),
                           wanted["lif2"].spikes)}  # fmt: skip
    for state, monitor in monitors.items():
        ((rows,),) = (values.values() for values in monitor.get_data().values())
        states = wanted["lif1"].states[state]
        result[f"lif1.{state}"] = count(aligned(rows.T, 2, states), states)
    source.stop()
    return result


if __name__ == "__main__":
    EVENTS = load_dataset("digits", "test").events[:100]
    print(
        json.dumps(
            {
                "side by side": side_by_side(sys.argv[1], Path(sys.argv[2]), EVENTS),
                "one long sample": one_long_sample(sys.argv[1], EVENTS[:10]),
            }
        )
    )
