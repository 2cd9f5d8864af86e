"""An integer program as a lava-dl network (`.net`, HDF5), for Intel's netx and for silicon.

The inverse of `frontend/netx_to_ir.py`. The format holds whole weights of 8 signed bits (even ones
of 9), a bias in weight units, and one decay and threshold per layer; there is no weight exponent.
What does not fit is refused with the layer and the number.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.files import write_whole
from sast_compile.ir.loihi import ALIGNMENT, as_loihi
from sast_compile.ir.neuron import MulShift, Ref
from sast_compile.ir.ops import Conv2d, Dense, Flatten, Input, Neuron, lookup
from sast_compile.ir.program import Node, Program
from sast_compile.ir.types import Array

WEIGHTS = (-256, 254)  # lava.lib.dl.netx.utils.optimize_weight_bits clips outside
UNSIGNED = 255  # the last weight where none is negative


def write_net(program: Program, path: str | os.PathLike[str]) -> None:
    """The network lies at ``path``, whole or not at all; see `net_bytes`."""
    write_whole(path, net_bytes(program))


def net_bytes(program: Program) -> bytes:
    """The file's bytes; the same program, the same bytes.

    A .net has no latency and no names: importing it gives the same network from step 0 on.
    Raises Unsupported or TargetLimit, naming the node, for what the format cannot say.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=True) as file:
        for index, layer in enumerate(_layers(program)):
            for key, value in layer.items():
                file.create_dataset(f"layer/{index}/{key}", data=value)
    return buffer.getvalue()


def _layers(program: Program) -> Iterator[dict[str, Any]]:
    """The layers in order; the program must be one chain."""
    previous: Node | None = None
    for node in program.nodes:
        if [e.node for e in node.inputs] != ([previous.name] if previous else []):
            raise Unsupported("a .net is one chain of layers", where=node.name)
        match node.op:
            case Input():
                if node.op.bits != 1 or node.op.signed:
                    raise Unsupported("a .net reads spikes, not graded values", where=node.name)
                yield {"type": _word("input"), "shape": np.array(node.op.shape)}
            case Flatten():
                yield {"type": _word("flatten"), "shape": np.array(program.types[node.name].shape)}
            case Neuron() if previous is not None and isinstance(previous.op, (Dense, Conv2d)):
                if program.start_of(previous.name) != node.op.start:
                    raise Unsupported("a .net has no delays", where=node.name)
                yield _projection(program, previous) | _population(program, node)
            case Dense() | Conv2d():
                pass  # written with its population
            case _:
                raise Unsupported("a .net holds no such node", where=node.name)
        previous = node


def _projection(program: Program, node: Node) -> dict[str, Any]:
    op = node.op
    assert isinstance(op, (Dense, Conv2d))
    weight = lookup(op.weight, program.consts).data.astype(np.int64) << max(op.exponent, 0)
    _check_weights(node.name, weight, op.exponent)
    if isinstance(op, Dense):
        outputs, inputs = weight.shape
        return {"type": _word("dense"), "inFeatures": inputs, "outFeatures": outputs,
                "weight": weight}  # fmt: skip
    if any(before != after for before, after in op.padding):
        raise Unsupported(f"padding {op.padding} is not the same on both sides", where=node.name)
    return {
        "type": _word("conv"),
        "inChannels": weight.shape[1] * op.groups,
        "outChannels": weight.shape[0],
        "kernelSize": np.array(weight.shape[2:]),
        "stride": np.array(op.stride),
        "padding": np.array([before for before, _ in op.padding]),
        "dilation": np.array(op.dilation),
        "groups": op.groups,
        "weight": weight[..., None],
    }


def _check_weights(name: str, weight: Array, exponent: int) -> None:
    """8 bits unsigned, or 9 bits of which the last is 0 (or the first says nothing)."""
    low, high = int(weight.min()), int(weight.max())
    fits = WEIGHTS[0] <= low and high <= (WEIGHTS[1] if low < 0 else UNSIGNED)
    narrow = low >= -128 and high <= 127
    if exponent < 0 or not fits or not (narrow or low >= 0 or not (weight % 2).any()):
        odd = "" if not fits or exponent < 0 else " with odd ones beyond -128..127"
        shift = f" with exponent {exponent}" if exponent < 0 else ""
        raise TargetLimit(
            f"weights {low}..{high}{shift}{odd} do not fit a .net's 0..{UNSIGNED}, "
            f"or {WEIGHTS[0]}..{WEIGHTS[1]} by 2",
            where=name,
            hint="compile with --target loihi2-netx, which uses no weight exponent",
        )


def _population(program: Program, node: Node) -> dict[str, Any]:
    op = node.op
    assert isinstance(op, Neuron)
    if op.fire is None or op != as_loihi(op):
        raise Unsupported("is no CUBA neuron of Loihi, which a .net means", where=node.name)
    registers = {
        "iDecay": _decay(node, op.synapses[0].decay) + 1,
        "vDecay": _decay(node, op.voltage.decay),
        "vThMant": op.fire.threshold,
        "refDelay": 1,
        "gradedSpike": False,
    }
    layer: dict[str, Any] = {"shape": np.array(op.shape), "neuron/type": _word("CUBA")}
    for key, value in registers.items():
        if isinstance(value, Ref):
            raise Unsupported(f"{key} differs between neurons", where=node.name)
        layer[f"neuron/{key}"] = value
    bias = _bias(program, node, op)
    return layer | ({} if bias is None else {"bias": bias})


def _decay(node: Node, decay: object) -> int:
    if decay is None:
        return 0
    if not isinstance(decay, MulShift) or not isinstance(decay.decay, int):
        raise Unsupported(f"decay {decay} is not one number of 12 bits", where=node.name)
    return decay.decay


def _bias(program: Program, node: Node, op: Neuron) -> Array | None:
    """The bias in weight units, one a channel where all neurons of a channel agree."""
    param = op.voltage.bias
    data = lookup(param, program.consts).data if isinstance(param, Ref) else np.asarray(param)
    value = np.broadcast_to(data.astype(np.int64) << max(op.voltage.bias_exponent, 0), op.shape)
    if not value.any():
        return None
    if (value % (1 << ALIGNMENT)).any():
        raise TargetLimit(
            f"a bias of {int(value[value % (1 << ALIGNMENT) != 0].flat[0])} is no multiple of "
            f"{1 << ALIGNMENT}, the unit of a .net",
            where=node.name,
            hint="compile with --target loihi2-netx",
        )
    units = value >> ALIGNMENT  # netx sets bias_exp = 6
    channels = units.reshape(len(units), -1)
    same = (channels == channels[:, :1]).all()
    return channels[:, 0] if same else units


def _word(text: str) -> Array:
    """As lava-dl writes text: one string of 10 bytes."""
    return np.array([text.encode("ascii")], dtype="S10")
