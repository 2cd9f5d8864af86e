"""A program as the Lava processes that compute it: connections, populations and their registers.

All are Intel's, but for a reset that Intel's LIF lacks: `Graph.own`. No Lava is imported here. What
cannot be held exactly is refused, with the node and the way out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_compile.backends.lava.arithmetic import check_int32, check_product
from sast_compile.backends.lava.registers import Population, population
from sast_compile.backends.lava.unrolled import Matrix, unrolled
from sast_compile.backends.lava.weights import SignMode, stored
from sast_compile.backends.lava.wires import Path, gap, paths
from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.consts import row_bounds, shifted, sum_bounds
from sast_compile.ir.ops import Conv2d, Dense, Input, lookup
from sast_compile.ir.program import Node, Program
from sast_compile.ir.types import SPIKE, Const, Int

MESSAGE_BITS = 24  # the payload of a graded spike
EXPONENTS = (-8, 7)  # of 4 bits; Lava shifts the sum, as the IR does, others each synapse


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
class Projection:
    """A stock connection: ``a_out(t + delay) = (weights @ s_in(t)) << weight_exp``.

    A `Matrix` is for Sparse: a convolution or a pool, unrolled. A delay above 1 is for DelayDense
    and DelaySparse. A negative exponent shifts the sum right, floor. Clipping and truncating to
    ``num_weight_bits`` in ``sign_mode`` is the identity on ``weights``. Column k of the target
    receives column ``k - lag`` of the source, and nothing where that is below 0.
    """

    name: str
    source: str
    target: str
    weights: npt.NDArray[np.int32] | Matrix
    weight_exp: int
    num_weight_bits: int
    sign_mode: SignMode
    message_bits: int
    delay: int
    lag: int


@dataclass(frozen=True, eq=False)
class Graph:
    """The processes of one program; populations in execution order.

    ``gap`` steps of silence must follow the last column of a sample, before the next one.
    """

    name: str
    sources: tuple[Source, ...]
    projections: tuple[Projection, ...]
    populations: tuple[Population, ...]
    outputs: tuple[str, ...]
    gap: int

    @property
    def latency(self) -> int:
        """The steps after the last event of a sample until the last population has seen it."""
        return max((p.start for p in self.populations), default=0)

    @property
    def own(self) -> dict[str, str]:
        """The populations on a Process of ours, and what of it Intel's lacks."""
        return {p.name: str(p.reset) for p in self.populations if p.reset}

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each projection; where one node is several, the later ones are numbered."""
        seen: Counter[str] = Counter()
        labels = []
        for one in self.projections:
            seen[one.name] += 1
            number = seen[one.name]
            labels.append(one.name if number == 1 else f"{one.name} ({number})")
        return tuple(labels)

    @property
    def adrift(self) -> tuple[str, ...]:
        """A population of every group that no source is connected to, not even at its far end."""
        groups = {name: {name} for name in (*(s.name for s in self.sources), *self._names)}
        for one in self.projections:
            merged = groups[one.source] | groups[one.target]
            groups |= dict.fromkeys(merged, merged)
        sources = {source.name for source in self.sources}
        return tuple(
            name
            for name in self._names
            if not groups[name] & sources and name == min(groups[name], key=self._names.index)
        )

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(population.name for population in self.populations)


def lower(program: Program) -> Graph:
    """The Lava graph that computes ``program`` bit for bit.

    Raises Unsupported or TargetLimit, naming the node, if Lava cannot.
    """
    for name in program.outputs:
        if name not in program.neurons:
            raise Unsupported(
                "it is returned but no population; Lava records populations",
                where=name,
                hint="return neurons",
            )
    sources = tuple(_source(node) for node in program.nodes if isinstance(node.op, Input))
    populations = {n: population(n, op, program.consts) for n, op in program.neurons.items()}
    every = [path for name in populations for path in paths(program, name)]
    projections = tuple(_projection(program, path) for path in every)
    for name, one in populations.items():
        _check_current(program, one, [path for path in every if path.target == name])
    return Graph(
        program.name,
        sources,
        projections,
        tuple(populations.values()),
        program.outputs,
        gap(every),
    )


def _source(node: Node) -> Source:
    assert isinstance(node.op, Input)
    if node.op.bits > MESSAGE_BITS:
        raise TargetLimit(
            f"{node.op.bits} bits exceed the {MESSAGE_BITS} bits of a graded spike", where=node.name
        )
    return Source(node.name, node.op.shape, Int(node.op.bits, node.op.signed))


def _projection(program: Program, path: Path) -> Projection:
    node = path.node
    assert isinstance(node.op, (Dense, Conv2d))
    held = stored(node.name, lookup(node.op.weight, program.consts))
    exponent = node.op.exponent - held.step
    low, high = EXPONENTS
    if not low <= exponent <= high:
        raise TargetLimit(
            f"exponent {node.op.exponent} with these weights is a weight exponent of {exponent};"
            f" Loihi's are {low}..{high}",
            where=node.name,
            hint=f"an exponent of {low + held.step}..{high + held.step} fits these weights",
        )
    origin = program.by_name[path.source]
    message_bits = _source(origin).message_bits if isinstance(origin.op, Input) else 0
    if message_bits:  # spikes are added in int64
        ends = (shifted(end, held.step) for end in sum_bounds(*_factors(program, node)))
        check_product(node.name, *ends)
    return Projection(
        name=node.name,
        source=path.source,
        target=path.target,
        weights=unrolled(program, node, path.pools, held),
        weight_exp=exponent,
        num_weight_bits=held.bits,
        sign_mode=held.sign_mode,
        message_bits=message_bits,
        delay=path.delay,
        lag=path.lag,
    )


def _check_current(program: Program, target: Population, into: Sequence[Path]) -> None:
    """TargetLimit if the sum of the currents ``into`` a population may be too much for Lava."""
    size = math.prod(target.shape)
    low = high = np.zeros(size, np.int64)
    for path in into:
        least, greatest = _bounds(program, path.node)
        each = size // least.size  # the neurons of a channel of a convolution; of a dense, one
        low, high = low + least.repeat(each), high + greatest.repeat(each)
    check_int32(target, int(low.min()), int(high.max()))


def _bounds(program: Program, dense: Node) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per row of the weight: the least and greatest current of ``dense``."""
    assert isinstance(dense.op, (Dense, Conv2d))
    left, right = max(dense.op.exponent, 0), max(-dense.op.exponent, 0)
    low, high = row_bounds(*_factors(program, dense))
    return low << left >> right, high << left >> right


def _factors(program: Program, dense: Node) -> tuple[Const, Int]:
    """The weight of ``dense``, and the type of what it multiplies."""
    assert isinstance(dense.op, (Dense, Conv2d))
    element = program.types[dense.inputs[0].node].element
    assert isinstance(element, Int)
    return lookup(dense.op.weight, program.consts), element
