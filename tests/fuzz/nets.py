"""Random NIR graphs: every kind of node on random wiring, grown with `nir_nets.Net`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from msgspec.structs import replace
from nir_cases import CASES, averages, delay, flat, net_of, plain, sums
from nir_nets import DT, RULES, Net, Shape
from nir_nodes import linear

from fuzz.cases import Generator
from sast_compile.contract import Contract

CUBA = 0.2  # the share of populations with a synaptic current, and so on
READOUT = 0.2
DIRECT = 0.1


@dataclass
class Growing:
    """A net and the shape of everything in it that sends events."""

    net: Net
    shapes: dict[str, Shape] = field(default_factory=dict)
    number: int = 0

    @property
    def rng(self) -> Generator:
        return self.net.rng

    def add(self, kind: str, node: Any) -> str:
        self.number += 1
        name = f"{kind}{self.number}"
        self.net.nodes[name] = node
        return name


def drawn_net(seed: int) -> tuple[str, Net, Contract]:
    """A net of the known cases, or one on random wiring; its kind in words, and its contract."""
    rng = np.random.default_rng([seed, 1])
    if rng.random() < 0.45:
        case = str(rng.choice(list(CASES)))
        net = net_of(CASES[case], seed)
        given = net.contract()
        return case, net, replace(given, leak="euler") if rng.random() < 0.7 else given
    net = random_net(rng)
    return "random net", net, contract(rng)


def contract(rng: Generator) -> Contract:
    kind, when = RULES[int(rng.choice([0, 1, 0, 1, 2, 3]))]
    leak, compare = str(rng.choice(["euler", "exact"])), str(rng.choice([">", ">="]))
    back = {"feedback": int(rng.integers(2, 5))} if rng.random() < 0.4 else {}
    return Contract(dt=DT, leak=leak, reset=kind, reset_when=when, compare=compare, **back)  # type: ignore[arg-type]


def random_net(rng: Generator) -> Net:
    """One or two inputs, one to four populations, skips and loops between them."""
    growing = Growing(Net(rng))
    for i in range(int(rng.choice([1, 1, 1, 2]))):
        shape = _input_shape(rng)
        growing.net.nodes[f"in{i}"] = nir.Input(np.array(shape))
        growing.shapes[f"in{i}"] = shape
    populations = [_population(growing) for _ in range(int(rng.integers(1, 5)))]
    _every_input_is_heard(growing, populations)
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        _loop(growing, populations)
    _ends(growing, populations)
    return growing.net


def _every_input_is_heard(growing: Growing, populations: list[str]) -> None:
    """A path from each input that has none yet to some population, or the input goes."""
    net = growing.net
    heard = {source for source, _ in net.edges}
    for name in [n for n in growing.shapes if n.startswith("in") and n not in heard]:
        target = str(growing.rng.choice(populations))
        ends = _path_to(growing, name, growing.shapes[target])
        net.edges += [(end, target) for end in ends]
        if not ends:
            del net.nodes[name], growing.shapes[name]


def _input_shape(rng: Generator) -> Shape:
    kind = rng.random()
    if kind < 0.6:
        return (int(rng.integers(2, 9)),)
    if kind < 0.7:
        return int(rng.integers(1, 4)), int(rng.integers(4, 10))
    return int(rng.integers(1, 4)), int(rng.integers(4, 8)), int(rng.integers(4, 8))


def _population(growing: Growing) -> str:
    """A population behind one to three paths from anywhere before it."""
    rng, known = growing.rng, list(growing.shapes)
    current = rng.random() < CUBA
    first = known[-1] if rng.random() < 0.7 else str(rng.choice(known))
    end, shape = _path(growing, first, bias=not current)
    ends = [end]
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        ends += _path_to(growing, str(rng.choice(known)), shape)
    name = growing.add("n", _neurons(growing, shape, current))
    growing.net.edges += [(end, name) for end in dict.fromkeys(ends)]
    growing.shapes[name] = shape
    return name


def _neurons(growing: Growing, shape: Shape, current: bool) -> Any:
    net, rng = growing.net, growing.rng
    if current:
        return _cuba(rng, shape)
    kind = rng.random()
    if kind < 0.6:
        return net.lif(*shape, tau=rng.uniform(2.5, 20, channels(shape)) * DT)
    if kind < 0.75:
        return net.lif(*shape, tau=0.01, r=float(rng.uniform(6, 14)), v_threshold=0.8)
    if kind < 0.9:
        gain = np.broadcast_to(rng.uniform(0.7, 1.2, channels(shape)), shape) / DT
        return nir.IF(r=gain, v_threshold=rng.uniform(0.5, 1.3, shape), v_reset=np.zeros(shape))
    return nir.Threshold(rng.uniform(0.2, 0.7, shape))


def _cuba(rng: Generator, shape: Shape) -> Any:
    mem, syn = (_times(rng, shape) for _ in range(2))
    zeros = np.zeros(shape)
    return nir.CubaLIF(
        tau_syn=syn, tau_mem=mem, r=mem / DT, v_leak=zeros, v_reset=zeros,
        v_threshold=rng.uniform(0.8, 1.8, shape), w_in=rng.uniform(0.7, 1.2, shape) * syn / DT,
    )  # fmt: skip


def _times(rng: Generator, shape: Shape) -> Any:
    return np.broadcast_to(rng.uniform(2.5, 9, channels(shape)) * DT, shape).copy()


def channels(shape: Shape) -> Shape:
    """``shape`` with one element for each channel, which is all that a kernel can hold."""
    return (shape[0],) + (1,) * (len(shape) - 1)


def _path(growing: Growing, source: str, bias: bool) -> tuple[str, Shape]:
    """Nodes behind ``source``, wired one behind the other: the last one's name and shape."""
    shape = growing.shapes[source]
    nodes = list(_nodes(growing, shape, bias))
    return _wired(growing, source, nodes)


def _path_to(growing: Growing, source: str, wanted: Shape) -> list[str]:
    """The end of a path from ``source`` to the shape ``wanted``, if one is known."""
    shape, rng = growing.shapes[source], growing.rng
    if shape == wanted and rng.random() < 0.4:
        return [
            _wired(growing, source, [("s", nir.Scale(rng.uniform(0.2, 1, channels(shape))))])[0]
        ]
    if shape == wanted and len(shape) == 3:
        nodes = [
            *_waits(growing, (shape[0], 1, 1)),
            ("c", plain(growing.net.conv(shape, shape[0]))),
        ]
        return [_wired(growing, source, nodes)[0]]
    if len(wanted) == 1:
        return [_wired(growing, source, list(_dense(growing, shape, wanted[0], bias=False)))[0]]
    return []


def _wired(growing: Growing, source: str, nodes: list[tuple[str, Any]]) -> tuple[str, Shape]:
    x, last = np.zeros((1, *growing.shapes[source])), source
    for kind, node in nodes:
        x = x if isinstance(node, nir.Delay) else linear(node, x)
        name = growing.add(kind, node)
        growing.net.edges.append((last, name))
        last = name
    return last, x.shape[1:]


def _nodes(growing: Growing, shape: Shape, bias: bool) -> Iterator[tuple[str, Any]]:
    rng = growing.rng
    if rng.random() < DIRECT:
        yield from _waits(growing, shape)
        yield "s", nir.Scale(rng.uniform(0.3, 1.5, channels(shape)))
    elif len(shape) == 1 or rng.random() < 0.3:
        yield from _dense(growing, shape, int(rng.integers(2, 9)), bias)
    else:
        yield from _convolution(growing, shape, bias)


def _dense(growing: Growing, shape: Shape, outputs: int, bias: bool) -> Iterator[tuple[str, Any]]:
    rng, net = growing.rng, growing.net
    waits = list(_waits(growing, shape))
    if len(shape) == 3 and min(shape[1:]) > 1 and rng.random() < 0.3:
        pool = rng.choice([sums, averages])()
        yield "p", pool
        shape = linear(pool, np.zeros((1, *shape))).shape[1:]
    else:
        yield from waits
    if len(shape) > 1:
        yield "f", flat(shape)
    yield "d", net.dense(outputs, int(np.prod(shape)), bias and not waits and rng.random() < 0.5)
    if rng.random() < 0.2:
        yield "s", nir.Scale(rng.uniform(0.5, 2, outputs))
    elif not bias and rng.random() < 0.2:
        yield "w", delay(net, outputs)


def _convolution(growing: Growing, shape: Shape, bias: bool) -> Iterator[tuple[str, Any]]:
    """A convolution of any geometry that fits, sometimes behind a pool or a wait."""
    rng = growing.rng
    waits = list(_waits(growing, channels(shape)))
    yield from waits
    if not waits and len(shape) == 3 and min(shape[1:]) > 3 and rng.random() < 0.3:
        pool = rng.choice([sums, averages])(int(rng.integers(2, 4)), 2, 1)
        yield "p", pool
        shape = linear(pool, np.zeros((1, *shape))).shape[1:]
    groups = shape[0] if rng.random() < 0.3 else 1
    kernel = int(rng.integers(1, 4)) if min(shape[1:]) > 2 else 1
    geometry = {"stride": int(rng.integers(1, 3)), "padding": int(rng.integers(0, 2)),
                "dilation": 1 if min(shape[1:]) < 6 else int(rng.integers(1, 3))}  # fmt: skip
    outputs = groups * int(rng.integers(1, 3))
    conv = growing.net.conv(shape, outputs, kernel, groups=groups, **geometry)
    yield "c", conv if bias and not waits else plain(conv)
    if rng.random() < 0.2:
        yield "s", nir.Scale(rng.uniform(0.5, 1.5, channels((outputs, *shape[1:]))))


def _waits(growing: Growing, shape: Shape) -> Iterator[tuple[str, Any]]:
    kind = growing.rng.random()
    if kind < 0.12:
        yield "w", nir.Delay(np.array(growing.rng.choice([1, 2, 5, 20, 60])) * DT)
    elif kind < 0.3:
        yield "w", delay(growing.net, *shape, most=int(growing.rng.choice([2, 4, 9])))


def _loop(growing: Growing, populations: list[str]) -> None:
    """From a population back to itself or to one before it, with or without a delay."""
    rng, net = growing.rng, growing.net
    last = int(rng.integers(0, len(populations)))
    first = int(rng.integers(0, last + 1))
    source, target = populations[last], populations[first]
    if last > first or rng.random() < 0.2:
        steps = nir.Delay(rng.integers(last - first, last - first + 5) * DT)
        if not _path_to_exists(growing, source, target):
            return
        end, _ = _wired(growing, source, [("w", steps)])
        growing.shapes[end] = growing.shapes[source]
        net.edges += [(e, target) for e in _path_to(growing, end, growing.shapes[target])]
        del growing.shapes[end]
        return
    net.edges += [(end, target) for end in _path_to(growing, source, growing.shapes[target])]


def _path_to_exists(growing: Growing, source: str, target: str) -> bool:
    wanted = growing.shapes[target]
    return len(wanted) == 1 or (growing.shapes[source] == wanted and len(wanted) == 3)


def _ends(growing: Growing, populations: list[str]) -> None:
    net, rng, last = growing.net, growing.rng, populations[-1]
    fires = [n for n in populations if n != last and rng.random() < 0.3]
    if rng.random() < READOUT:
        end, shape = _path(growing, last, bias=False)
        name = growing.add("r", _readout(rng, shape))
        net.edges.append((end, name))
        last = name
    unheard = set(populations) - {source for source, _ in net.edges} - {last}
    fires = [n for n in populations if n in unheard or n in fires]
    for i, name in enumerate([last, *fires]):
        net.nodes[f"out{i}"] = nir.Output(None)
        net.edges.append((name, f"out{i}"))


def _readout(rng: Generator, shape: Shape) -> Any:
    t, s = (_times(rng, shape) for _ in range(2))
    rest = np.zeros(shape)
    kind = int(rng.integers(0, 3))
    if kind == 0:
        return nir.LI(tau=t, r=t / DT, v_leak=rest)
    if kind == 1:
        return nir.I(r=rng.uniform(0.5, 2, shape) / DT)
    return nir.CubaLI(tau_syn=s, tau_mem=t, r=t / DT, w_in=s / DT, v_leak=rest)
