"""A program's twin in floats, and that twin as plain layers in a file for the peers.

The peers compute in floats, so they get what the integers stand for: weights times 2^exponent,
thresholds in units of the current, and the leaks' factors

    u <- alpha u + current,  v <- beta v + u,  spike where v > threshold, which sets v = 0

without the roundings toward zero of the integers. Whether a peer computes the same function is
read off its spikes beside those of the twin; how far the roundings lead, beside the program's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from benchmarks.emulator.handover import Events
from sast_compile.ir.loihi import as_loihi
from sast_compile.ir.neuron import Factor, Fire, MulShift, Reset, State
from sast_compile.ir.ops import Conv2d, Dense, Flatten, Neuron, Op, lookup
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Node, Program, check
from sast_compile.ir.types import Const, Float, TensorType

Layer = dict[str, Any]


def twin(program: Program) -> Program:
    """``program`` in floats; only Loihi's neurons, and no sum that is shifted right."""
    ops: dict[str, Op] = {}
    consts: dict[str, Const] = {}
    for node in program.nodes:
        op = node.op
        if isinstance(op, Neuron):
            ops[node.name] = _float_neuron(node.name, op)
        elif isinstance(op, Dense | Conv2d):
            assert op.exponent >= 0, f"{node.name}: its sum is shifted right, which rounds"
            data = lookup(op.weight, program.consts).data * 2.0**op.exponent
            consts[op.weight.name] = Const(TensorType(data.shape, Float()), data)
            ops[node.name] = replace(op, exponent=0)
    return check(program.with_ops(ops, consts))


def _float_neuron(name: str, op: Neuron) -> Neuron:
    assert op.fire is not None, name
    assert op == as_loihi(op), f"{name}: no neuron of Loihi's"
    assert isinstance(op.fire.threshold, int), f"{name}: the threshold differs between neurons"
    assert op.voltage.bias == 0, name
    return Neuron(
        shape=op.shape,
        synapses=(State(decay=Factor(alpha=_kept(op.synapses[0]))),),
        voltage=State(decay=Factor(alpha=_kept(op.voltage))),
        fire=Fire(compare=">", threshold=float(op.fire.threshold)),
        reset=Reset(kind="zero"),
        start=op.start,
    )


def _kept(state: State) -> float:
    """What a step's leak leaves of ``state``."""
    decay = state.decay
    if decay is None:
        return 1.0
    assert isinstance(decay, MulShift)
    assert isinstance(decay.decay, int)
    return float(1 - (decay.decay + decay.offset) / 2**decay.bits)


def write_plain(path: Path, program: Program, events: Events) -> None:
    """The layers of the float ``program`` as JSON, weights float32, events uint8: one .npz."""
    arrays: dict[str, Any] = {
        node.name: lookup(node.op.weight, program.consts).data.astype(np.float32)
        for node in program.nodes
        if isinstance(node.op, Dense | Conv2d)
    }
    arrays["layers"] = np.array(json.dumps(list(plain_layers(program))))
    arrays["events"] = events
    np.savez(path, **arrays)


def plain_layers(program: Program) -> Iterator[Layer]:
    """One dict a layer of a feed-forward chain; a weight has the name of its node."""
    for before, node in zip((None, *program.nodes), program.nodes, strict=False):
        assert [e.node for e in node.inputs] == ([before.name] if before else []), node.name
        if before:
            yield _layer(node)


def _layer(node: Node) -> Layer:
    match node.op:
        case Flatten(first=0, last=-1):
            return {"kind": "flatten"}
        case SumPool2d(kernel=kernel, stride=stride, padding=((0, 0), (0, 0))):
            return {"kind": "sum_pool", "kernel": kernel, "stride": stride}
        case Dense():
            return {"kind": "dense", "weight": node.name}
        case Conv2d(stride=stride, dilation=(1, 1), groups=1, padding=((y, below), (x, right))):
            assert (y, x) == (below, right), node.name
            return {"kind": "conv", "weight": node.name, "stride": stride, "padding": (y, x)}
        case Neuron(
            synapses=(State(decay=Factor(alpha=alpha)),),
            voltage=State(decay=Factor(alpha=beta)),
            fire=Fire(threshold=threshold),
        ):
            constants = {"alpha": alpha, "beta": beta, "threshold": threshold}
            return {"kind": "lif", "name": node.name, **constants}
        case _:
            raise AssertionError(f"{node.name}: the peers are given no such layer")
