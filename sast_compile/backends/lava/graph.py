"""A program as the stock Lava processes that compute it: Dense, LIFReset and their registers.

No Lava is imported here. What cannot be held exactly is refused, with the node and the way out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.backends.lava.registers import Population, population
from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.conv import geometry, synapses
from sast_compile.ir.ops import Add, Conv2d, Dense, Flatten, Input, Neuron, lookup, row_bounds
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.ir.types import SPIKE, Const, Int

SignMode: TypeAlias = Literal["mixed", "excitatory"]

CURRENT_LIMIT = 1 << 17  # |a_in| below it: (a_in << 6) stays inside u's 24 bits, and wraps once
MESSAGE_BITS = 24  # the payload of a graded spike
LARGEST_EXPONENT = 7


@dataclass(frozen=True)
class Source:
    """An input: its elements in C order; ``message_bits`` is 0 for spikes (Dense's name)."""

    name: str
    shape: tuple[int, ...]
    element: Int

    @property
    def message_bits(self) -> int:
        return 0 if self.element == SPIKE else self.element.bits


@dataclass(frozen=True, eq=False)
class Matrix:
    """A sparse matrix by its entries: ``values[i]`` at (``rows[i]``, ``columns[i]``)."""

    shape: tuple[int, int]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    values: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Projection:
    """A stock Dense or Sparse process: ``a_out(t+1) = (weights @ s_in(t)) << weight_exp``.

    A `Matrix` is for Sparse: a convolution, unrolled. A negative exponent shifts the sum right and
    loses nothing, because the weights are multiples of ``2^-weight_exp``. Clipping and truncating
    to ``num_weight_bits`` in ``sign_mode`` is the identity on ``weights``.
    ``lateral``: source and target compute the same column of a sample, so the buffered current of
    the last column must be cleared before the next sample begins.
    """

    name: str
    source: str
    target: str
    weights: npt.NDArray[np.int32] | Matrix
    weight_exp: int
    num_weight_bits: int
    sign_mode: SignMode
    message_bits: int
    lateral: bool = False


@dataclass(frozen=True, eq=False)
class Graph:
    """The processes of one program; populations in execution order."""

    name: str
    sources: tuple[Source, ...]
    projections: tuple[Projection, ...]
    populations: tuple[Population, ...]
    outputs: tuple[str, ...]

    @property
    def latency(self) -> int:
        """The steps after the last event of a sample until the last population has seen it."""
        return max((p.start for p in self.populations), default=0)


def lower(program: Program) -> Graph:
    """The Lava graph that computes ``program`` bit for bit.

    Raises Unsupported or TargetLimit, naming the node, if stock Lava cannot.
    """
    for name in program.outputs:
        if name not in program.neurons:
            raise Unsupported(
                "it is returned but no population; Lava records populations",
                where=name,
                hint="return neurons",
            )
    sources = tuple(_source(node) for node in program.nodes if isinstance(node.op, Input))
    populations = tuple(population(n, op, program.consts) for n, op in program.neurons.items())
    projections = tuple(p for name in program.neurons for p in _projections(program, name))
    return Graph(program.name, sources, projections, populations, program.outputs)


def _source(node: Node) -> Source:
    assert isinstance(node.op, Input)
    if node.op.bits > MESSAGE_BITS:
        raise TargetLimit(
            f"{node.op.bits} bits exceed the {MESSAGE_BITS} bits of a graded spike", where=node.name
        )
    return Source(node.name, node.op.shape, Int(node.op.bits, node.op.signed))


def _projections(program: Program, target: str) -> list[Projection]:
    """The processes that drive ``target``, which Lava sums."""
    (edge,) = program.by_name[target].inputs
    low = high = np.zeros(1, np.int64)
    projections = []
    for dense, after in _terms(program, edge, target):
        source, before = _origin(program, dense.inputs[0], dense.name)
        lateral = _is_lateral(program, dense.name, source, target, before + after)
        projections.append(_projection(program, dense, source, target, lateral))
        least, greatest = _bounds(program, dense)
        low, high = low + least, high + greatest
    _check_current(target, int(low.min()), int(high.max()))
    if all(p.lateral for p in projections):
        raise Unsupported(
            "no input or earlier population drives it, only its own layer",
            where=target,
            hint="give it a connection from an input",
        )
    return projections


def _terms(program: Program, edge: Edge, target: str) -> Iterator[tuple[Node, int]]:
    """The projections whose sum is the value of ``edge``, and the delay behind each."""
    node = program.by_name[edge.node]
    match node.op:
        case Dense() | Conv2d():
            yield node, edge.delay
        case Add() | Flatten():
            for inner in node.inputs:
                for dense, delay in _terms(program, inner, target):
                    yield dense, delay + edge.delay
        case _:
            raise Unsupported(
                f"driven by {node.name}, a {_tag(node)}; Lava drives a population through Dense",
                where=target,
                hint="place a dense projection between them",
            )


def _origin(program: Program, edge: Edge, dense: str) -> tuple[str, int]:
    """The input or population that ``edge`` carries, and its whole delay.

    A flatten on the way is the identity: both sides hold their elements in C order.
    """
    node = program.by_name[edge.node]
    match node.op:
        case Input() | Neuron():
            return node.name, edge.delay
        case Flatten():
            name, delay = _origin(program, node.inputs[0], dense)
            return name, delay + edge.delay
        case _:
            raise Unsupported(
                f"reads {node.name}, a {_tag(node)}; a Lava Dense reads an input or a population",
                where=dense,
                hint="multiply the two projections into one",
            )


def _is_lateral(program: Program, dense: str, source: str, target: str, delay: int) -> bool:
    """False for a feed-forward projection, True within a layer; any other timing is refused."""
    begin, end = program.start_of(source), program.start_of(target)
    if delay == 0:
        raise Unsupported(
            f"{target} reads {source} in the same step; a connection takes one in Lava",
            where=dense,
            hint="compile for loihi2: its latency pass delays every connection by one step",
        )
    if delay > 1:
        raise Unsupported(
            f"{target} reads {source} {delay} steps late; not yet: that needs a DelayDense",
            where=dense,
            hint="a delay of 1 is what a Dense has",
        )
    if end == begin + 1:
        return False
    if end == begin and source in program.neurons:
        return True
    if end < begin:
        raise Unsupported(
            f"a loop over several layers ({source} starts at {begin}, {target} at {end}); not yet:"
            " between samples, currents in flight would leak into the next one",
            where=dense,
            hint="a recurrent projection within one layer works",
        )
    raise Unsupported(
        f"{target} starts at step {end}, but what it reads of {source} starts at {begin + 1}",
        where=dense,
        hint="let each population start one step after all that drive it; not yet: DelayDense",
    )


def _projection(
    program: Program, node: Node, source: str, target: str, lateral: bool
) -> Projection:
    """``node`` on Loihi's grid: b signed bits are the upper b of 9, b unsigned the upper b of 8.

    lava-nc 0.10, weightutils.truncate_weights clears the low 8 - b (+ 1 if mixed) bits.
    """
    assert isinstance(node.op, (Dense, Conv2d))
    weight = lookup(node.op.weight, program.consts)
    bits, signed = _weight_bits(node.name, weight)
    step = (9 if signed else 8) - bits
    exponent = node.op.exponent - step
    if node.op.exponent < 0 or exponent > LARGEST_EXPONENT:
        raise TargetLimit(
            f"exponent {node.op.exponent} with {weight.type.element} weights is a weight exponent"
            f" of {exponent}; exact on every Loihi are {-step}..{LARGEST_EXPONENT}",
            where=node.name,
            hint=f"an exponent of 0..{step + LARGEST_EXPONENT} fits {weight.type.element} weights",
        )
    stored = weight.data.astype(np.int32) << step
    stored.flags.writeable = False
    weights = stored if isinstance(node.op, Dense) else _unrolled(program, node, stored)
    sign_mode: SignMode = "mixed" if signed else "excitatory"
    origin = program.by_name[source]
    message_bits = _source(origin).message_bits if isinstance(origin.op, Input) else 0
    return Projection(
        node.name, source, target, weights, exponent, bits, sign_mode, message_bits, lateral
    )


def _unrolled(program: Program, node: Node, kernel: npt.NDArray[np.int32]) -> Matrix:
    """The convolution as a matrix over elements in C order; Lava's Conv has no weight exponent."""
    assert isinstance(node.op, Conv2d)
    shape = geometry(node.op, program.types[node.inputs[0].node].shape, kernel.shape)
    rows, columns, weights = synapses(node.op, shape)
    sizes = math.prod(shape.output), math.prod(shape.input)
    return Matrix(sizes, rows, columns, kernel.ravel()[weights])


def _weight_bits(dense: str, weight: Const) -> tuple[int, bool]:
    element = weight.type.element
    if not isinstance(element, Int):
        raise Unsupported("its weights are floats", where=dense, hint="compile to integers first")
    if element.bits > 8:
        raise TargetLimit(
            f"its weights have {element.bits} bits, a Loihi synapse holds 8",
            where=dense,
            hint="quantize with --bits 8 or fewer",
        )
    return element.bits, element.signed


def _bounds(program: Program, dense: Node) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per neuron (of a convolution, per channel): the least and greatest current of ``dense``."""
    assert isinstance(dense.op, (Dense, Conv2d))
    element = program.types[dense.inputs[0].node].element
    assert isinstance(element, Int)
    low, high = row_bounds(lookup(dense.op.weight, program.consts), element)
    return low << dense.op.exponent, high << dense.op.exponent  # negative ones were refused


def _check_current(target: str, low: int, high: int) -> None:
    """Refuses a current that may leave 18 bits: Lava adds in int32 and wraps u only once."""
    if max(-low, high) >= CURRENT_LIMIT:
        raise TargetLimit(
            f"its current may reach {low}..{high}, but must be below 2^17 = {CURRENT_LIMIT}:"
            " Lava computes (current << 6) in int32 and wraps it once into 24 bits",
            where=target,
            hint="take a smaller weight exponent and threshold, or fewer inputs",
        )


def _tag(node: Node) -> str:
    return str(node.op.__struct_config__.tag)
