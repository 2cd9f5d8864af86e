"""Which edges of a loop look one step back, and the order in which populations are computed.

Without a delay of its own a loop has no meaning in discrete time: one of its edges must carry the
spikes of the step before. A population has a depth, the least number of populations from an input;
within a loop, an edge to a population that is no deeper is the one that looks back. So what feeds a
layer back to itself or to an earlier one takes a step, and the way forward takes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from sast_compile.errors import Unsupported


class Link(NamedTuple):
    """The spikes of ``source`` reach ``target`` after ``delay`` steps."""

    source: str
    target: str
    delay: int


def feedback(populations: Sequence[str], inputs: Sequence[str], links: Sequence[Link]) -> set[Link]:
    """The links without a delay that must take one step, for every loop to have one."""
    immediate: dict[str, list[str]] = {name: [] for name in (*populations, *inputs)}
    for link in links:
        if not link.delay:
            immediate[link.source].append(link.target)
    component = _components(immediate)
    depth = _depths(inputs, links)
    return {
        link
        for link in links
        if not link.delay
        and component[link.source] == component[link.target]
        and depth[link.target] <= depth[link.source]
    }


def order(populations: Sequence[str], links: Sequence[Link]) -> list[str]:
    """Populations, each behind those that drive it in the same step."""
    drivers: dict[str, list[str]] = {name: [] for name in populations}
    for link in links:
        if not link.delay and link.source in drivers:
            drivers[link.target].append(link.source)
    return list(TopologicalSorter(drivers).static_order())


def _depths(inputs: Sequence[str], links: Sequence[Link]) -> dict[str, int]:
    depth = dict.fromkeys(inputs, 0)
    front = list(inputs)
    readers: dict[str, list[str]] = {}
    for link in links:
        readers.setdefault(link.source, []).append(link.target)
    while front:
        reached = [t for source in front for t in readers.get(source, []) if t not in depth]
        depth |= {target: depth[source] + 1 for source in front
                  for target in readers.get(source, []) if target not in depth}  # fmt: skip
        front = list(dict.fromkeys(reached))
    for link in links:
        if link.source not in depth:
            raise Unsupported("no input reaches this node", where=link.source)
    return depth


def _components(edges: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The number of the strongly connected component of each node (Tarjan 1972, iterative)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    found: dict[str, int] = {}
    stack: list[str] = []
    for root in edges:
        work = [(root, iter(edges[root]))] if root not in index else []
        while work:
            node, rest = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
            for after in rest:
                if after not in index:
                    work.append((after, iter(edges[after])))
                    break
                if after not in found:
                    low[node] = min(low[node], low[after])
            else:
                work.pop()
                if work and node not in found:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == index[node]:
                    while node not in found:
                        found[stack[-1]] = index[node]
                        stack.pop()
    return found
