"""What drives a population: projections, the sources behind them, and how long each path takes.

The paths of a program become connections of Lava, whose own step is part of their delay. A path of
delay D from a source that starts in step b to a population that starts in step e brings to column k
the spikes of column ``k - lag``, ``lag = b + D - e``: the columns below 0 are silent, so the first
``lag`` columns of every sample receive nothing on this path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.ops import Add, Conv2d, Dense, Flatten, Input, Neuron, SumPool2d
from sast_compile.ir.program import Edge, Node, Program

LONGEST_DELAY = 63  # steps: one of the connection, and 62 that lava-dl's netx leaves to a synapse


@dataclass(frozen=True)
class Path:
    """A projection into a population: ``delay`` steps from the source, ``lag`` columns.

    ``pools`` stand between the source and the projection, in this order.
    """

    node: Node
    source: str
    target: str
    delay: int
    lag: int
    pools: tuple[Node, ...] = ()


def paths(program: Program, target: str) -> list[Path]:
    """The paths into ``target``, whose currents Lava adds."""
    (edge,) = program.by_name[target].inputs
    found = []
    for node, behind in _terms(program, edge, target):
        source, before, pools = _origin(program, node.inputs[0], node.name)
        delay = before + behind
        _check_delay(node.name, source, target, delay)
        lag = program.start_of(source) + delay - program.start_of(target)
        found.append(Path(node, source, target, delay, lag, pools))
    return found


def gap(paths_: Iterable[Path]) -> int:
    """How many steps behind its last column a sample still needs before the next one may begin.

    A path with a negative lag reads columns behind the last one, and so may what drives its source.
    The lags of a loop add up to its delays, which are positive: so this settles, after one round
    for each path at the latest.
    """
    every = tuple(paths_)
    beyond = {name: 0 for path in every for name in (path.source, path.target)}
    for _ in every:
        for path in every:
            beyond[path.source] = max(beyond[path.source], beyond[path.target] - path.lag)
    return max(beyond.values(), default=0)


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


def _origin(program: Program, edge: Edge, dense: str) -> tuple[str, int, tuple[Node, ...]]:
    """The input or population that ``edge`` carries, its whole delay, and the pools on the way.

    A flatten on the way is the identity: both sides hold their elements in C order.
    """
    node = program.by_name[edge.node]
    match node.op:
        case Neuron(fire=None):
            raise Unsupported(
                f"reads the voltage of {node.name}; a Lava population sends spikes, not v",
                where=dense,
                hint="let that population fire, or make it the last one",
            )
        case Input() | Neuron():
            return node.name, edge.delay, ()
        case Flatten() | SumPool2d():
            name, delay, pools = _origin(program, node.inputs[0], dense)
            here = (node,) if isinstance(node.op, SumPool2d) else ()
            return name, delay + edge.delay, (*pools, *here)
        case _:
            raise Unsupported(
                f"reads {node.name}, a {_tag(node)}; a Lava Dense reads an input or a population",
                where=dense,
                hint="multiply the two projections into one",
            )


def _check_delay(dense: str, source: str, target: str, delay: int) -> None:
    if delay == 0:
        raise Unsupported(
            f"{target} reads {source} in the same step; a connection takes one in Lava",
            where=dense,
            hint="compile for loihi2: its latency pass delays every connection by one step",
        )
    if delay > LONGEST_DELAY:
        raise TargetLimit(
            f"{target} reads {source} {delay} steps late; a Loihi connection takes 1, and its"
            f" synapses wait up to {LONGEST_DELAY - 1} more",
            where=dense,
            hint="a shorter path around it, or a population between that passes the spikes on",
        )


def _tag(node: Node) -> str:
    return str(node.op.__struct_config__.tag)
