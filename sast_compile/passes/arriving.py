"""What arrives at a projection on calibration events, and the second moment of its traces."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sast_compile.errors import Unsupported
from sast_compile.ir.conv import Conv2d, receptive_fields
from sast_compile.ir.ops import Add, Flatten, Input, Neuron, Projection, Scale, SumPool2d
from sast_compile.ir.pool import sum_pool
from sast_compile.ir.program import Edge, Program
from sast_compile.ir.types import Array
from sast_compile.passes.feeders import Floats, numbers_of
from sast_compile.passes.responses import traces

SHRINKAGE = 0.1  # towards equal, independent inputs; chosen on validation
PORTION = 64  # samples at a time: traces are 64-bit floats
MOST_FIELDS = 60_000  # receptive fields of a convolution that are looked at


def arriving(program: Program, feeder: str, sent: Mapping[str, Array]) -> Array:
    """What the projection ``feeder`` reads, (samples, steps, *its input's shape).

    ``sent``: events and spikes by input and population. Raises Unsupported for an op between them
    and the projection that is not linear in spikes.
    """
    (edge,) = program.by_name[feeder].inputs
    return _value(program, edge, sent)


def _value(program: Program, edge: Edge, sent: Mapping[str, Array]) -> Array:
    node = program.by_name[edge.node]
    match node.op:
        case Input() | Neuron():
            value = sent[node.name]
        case Flatten():
            value = _value(program, node.inputs[0], sent)
            value = value.reshape(*value.shape[:2], *program.types[node.name].shape)
        case SumPool2d():
            value = _value(program, node.inputs[0], sent)
            pooled = sum_pool(node.op, value.reshape(-1, *value.shape[2:]))
            value = pooled.reshape(*value.shape[:2], *pooled.shape[1:])
        case Scale():
            value = _value(program, node.inputs[0], sent) * numbers_of(program, node.op.factor)
        case Add():
            value = np.sum([_value(program, e, sent) for e in node.inputs], axis=0)
        case _:
            raise Unsupported(
                "cannot be calibrated: no population or input sends what its projection reads",
                where=node.name,
                hint="compile without calibration",
            )
    return _delayed(value, edge.delay)


def _delayed(value: Array, steps: int) -> Array:
    late = np.zeros_like(value)
    late[:, steps:] = value[:, : value.shape[1] - steps]
    return late


def second_moments(
    op: Projection, weight: tuple[int, ...], events: Array, kept: list[float]
) -> list[Floats]:
    """E[x x] of the traces x that one output sees, (inputs, inputs), one for each group.

    Shrunk towards equal, independent inputs: few samples know little of the rare coincidences.
    """
    total: Floats | float = 0.0
    count, random = 0, np.random.RandomState(0)  # its stream is frozen by numpy's policy
    for start in range(0, len(events), PORTION):
        x = traces(events[start : start + PORTION], kept)
        seen = _seen(op, weight, x, MOST_FIELDS * len(x) // len(events), random)
        total = total + seen.transpose(0, 2, 1) @ seen
        count += seen.shape[1]
    return [_shrunk(moment / count) for moment in np.asarray(total)]


def _seen(
    op: Projection, weight: tuple[int, ...], x: Floats, most: int, random: np.random.RandomState
) -> Floats:
    """What outputs see of the traces ``x`` (samples, steps, ...): (groups, outputs seen, inputs).

    Of a convolution's outputs ``most`` are drawn.
    """
    if not isinstance(op, Conv2d):
        return x.reshape(1, -1, x.shape[2])
    channels, *pixels = x.shape[2:]
    pictures = x.reshape(-1, channels, *(pixels if len(pixels) == 2 else (1, *pixels)))
    fields = np.moveaxis(receptive_fields(op, pictures, weight), 1, 0)
    places = fields.shape[1:4]
    drawn = random.randint(0, math.prod(places), min(most, math.prod(places)))
    pictured, row, column = np.unravel_index(drawn, places)
    chosen = fields[:, pictured, row, column]
    return np.asarray(chosen.reshape(op.groups, len(drawn), -1))


def _shrunk(moment: Floats) -> Floats:
    level = float(np.diag(moment).mean()) or 1.0  # of silent inputs any
    return np.asarray(moment + SHRINKAGE * level * np.eye(len(moment)))
