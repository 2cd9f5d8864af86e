"""The projections that drive a population; they share one scale, for their currents are added."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Param, Ref
from sast_compile.ir.ops import Add, Conv2d, Flatten, Projection
from sast_compile.ir.program import Program

Floats = npt.NDArray[np.float64]


def numbers_of(program: Program, param: Param) -> Floats:
    """The values of a parameter as floats, () where it is one number."""
    data = program.consts[param.name].data if isinstance(param, Ref) else param
    return np.asarray(data, dtype=np.float64)


def feeders(program: Program, neuron: str) -> list[str]:
    """The names of the projections that drive ``neuron``, directly or through `Add` and `Flatten`.

    Raises Unsupported if something else drives it, or if one of these drives another node too.
    """
    return list(_behind(program, neuron, neuron))


def _behind(program: Program, node: str, neuron: str) -> Iterator[str]:
    for edge in program.by_name[node].inputs:
        source = program.by_name[edge.node]
        shared = len(program.consumers(source.name)) > 1
        if shared and isinstance(source.op, Add | Flatten | Projection):
            raise Unsupported(
                "drives more than one node, which is not supported",
                where=source.name,
                hint="a copy of it for each of them",
            )
        if isinstance(source.op, Add | Flatten):
            yield from _behind(program, source.name, neuron)
        elif isinstance(source.op, Projection):
            yield source.name
        else:
            raise Unsupported(
                f"is driven by {source.name}, which is no projection",
                where=neuron,
                hint="put a Linear between them",
            )


def by_row(program: Program, feeder: str, values: Floats, what: str) -> Floats:
    """``values``, one for each neuron that ``feeder`` drives, as one for each row of its weight.

    Shaped to multiply the weight; Unsupported if a kernel would need several for one channel.
    """
    op = program.by_name[feeder].op
    assert isinstance(op, Projection)
    axes = (1,) * (program.consts[op.weight.name].data.ndim - 1)
    if values.size == 1:
        return values.reshape(1, *axes)
    if not isinstance(op, Conv2d):
        return values.reshape(-1, *axes)
    channels = values.reshape(program.types[feeder].shape[0], -1)
    if (channels != channels[:, :1]).any():
        raise Unsupported(
            f"one {what} per neuron cannot go into the kernel of {feeder}, which a channel shares",
            where=feeder,
            hint=f"one {what} per channel, or a Linear instead of the convolution",
        )
    return np.asarray(channels[:, 0].reshape(-1, *axes))
