"""NIR graphs of every kind of node and wiring that the front end takes, with random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import nir
import numpy as np
from nir_nets import DT, Net, Shape
from nir_nodes import linear

Case: TypeAlias = Callable[[Net], None]
Nodes: TypeAlias = dict[str, Any]


def net_of(case: Case, seed: int) -> Net:
    net = Net(np.random.default_rng(seed))
    case(net)
    return net


def flat(shape: Shape, first: int = 0, last: int = -1) -> Any:
    return nir.Flatten({"input": np.array(shape)}, first, last)


def scale(net: Net, *shape: int) -> Any:
    return nir.Scale(net.rng.uniform(0.5, 2, shape))


def delay(net: Net, *shape: int, most: int = 4) -> Any:
    return nir.Delay(net.rng.integers(0, most, shape) * DT)


def pool(kind: Any, size: int = 2, stride: int = 2, padding: int = 0) -> Any:
    return kind(*(np.array([n, n]) for n in (size, stride, padding)))


def sums(*geometry: int) -> Any:
    return pool(nir.SumPool2d, *geometry)


def averages(*geometry: int) -> Any:
    return pool(nir.AvgPool2d, *geometry)


def ends(net: Net, shape: Shape) -> None:
    net.nodes |= {"input": nir.Input(np.array(shape)), "output": nir.Output(None)}


# ---- one path: input > .. > lif1 > [flatten >] fc2 > lif2 > output


def path(shape: Shape, make: Callable[[Net], Nodes]) -> Case:
    """Nodes in a row between the input and the first population."""

    def case(net: Net) -> None:
        ends(net, shape)
        nodes, x = make(net), np.zeros((1, *shape))
        for node in nodes.values():
            x = x if isinstance(node, nir.Delay) else linear(node, x)
        net.nodes |= nodes | {"lif1": net.lif(*x.shape[1:])}
        tail = ["fc2", "lif2", "output"]
        if x.ndim > 2:
            net.nodes["flat2"] = flat(x.shape[1:])
            tail.insert(0, "flat2")
        net.nodes |= {"fc2": net.dense(4, x.size, bias=True), "lif2": net.lif(4)}
        net.wire(" > ".join(["input", *nodes, "lif1", *tail]))

    return case


ROW, PICTURE, LARGE = (5,), (2, 6, 4), (2, 8, 6)
PATHS: dict[str, Case] = {
    "dense": path(ROW, lambda n: {"fc": n.dense(6, 5, bias=True)}),
    "scale-dense": path(ROW, lambda n: {"s": scale(n, 5), "fc": n.dense(6, 5)}),
    "dense-scale": path(ROW, lambda n: {"fc": n.dense(6, 5, bias=True), "s": scale(n, 6)}),
    "one scale for all": path(ROW, lambda n: {
        "s": nir.Scale(np.array(1.5)), "fc": n.dense(6, 5), "t": nir.Scale(np.array([0.75]))}),
    "scale-conv": path(PICTURE, lambda n: {"s": scale(n, 2, 1, 1), "conv": n.conv(PICTURE, 3)}),
    "conv-scale": path(PICTURE, lambda n: {"conv": n.conv(PICTURE, 3), "s": scale(n, 3, 1, 1)}),
    "scale-grouped": path((4, 5, 5), lambda n: {
        "s": scale(n, 4, 1, 1), "conv": n.conv((4, 5, 5), 6, groups=2)}),
    "strides": path((2, 9, 7), lambda n: {
        "conv": n.conv((2, 9, 7), 3, stride=(2, 3), padding=(1, 0), dilation=(2, 1))}),
    "same": path(PICTURE, lambda n: {"conv": n.conv(PICTURE, 3, padding="same")}),
    "conv-flatten": path(PICTURE, lambda n: {"conv": n.conv(PICTURE, 3), "f": flat((3, 6, 4))}),
    "scale-flatten-dense": path(PICTURE, lambda n: {
        "s": scale(n, *PICTURE), "f": flat(PICTURE), "fc": n.dense(6, 48)}),
    "flatten the last axes": path((2, 3, 4), lambda n: {
        "f": flat((2, 3, 4), 1, 2), "conv": n.conv((2, 12), 3, stride=2)}),
    "flatten the first axes": path((2, 3, 9), lambda n: {
        "f": flat((2, 3, 9), -3, 1), "conv": n.conv((6, 9), 3, stride=2, groups=3)}),
    "conv1d": path((2, 9), lambda n: {"conv": n.conv((2, 9), 3, stride=2, padding=0)}),
    "conv1d-flatten": path((4, 9), lambda n: {
        "conv": n.conv((4, 9), 6, padding=2, dilation=2, groups=2), "f": flat((6, 9))}),
    "conv1d-scale": path((2, 9), lambda n: {
        "s": scale(n, 2, 1), "conv": n.conv((2, 9), 3, padding="same"), "t": scale(n, 3, 1)}),
    "pool-conv": path(LARGE, lambda n: {"p": sums(), "conv": n.conv((2, 4, 3), 3)}),
    "average-conv": path(LARGE, lambda n: {"p": averages(), "conv": n.conv((2, 4, 3), 3)}),
    "padded pool-conv": path((2, 7, 6), lambda n: {
        "p": averages(3, 2, 1), "conv": n.conv((2, 4, 3), 3)}),
    "pool-flatten-dense": path(LARGE, lambda n: {
        "p": sums(), "f": flat((2, 4, 3)), "fc": n.dense(6, 24), "s": nir.Scale(np.array(0.4))}),
    "scale-pool-flatten-dense": path(LARGE, lambda n: {
        "s": scale(n, 2, 1, 1), "p": averages(), "f": flat((2, 4, 3)), "fc": n.dense(6, 24)}),
    "two pools": path(LARGE, lambda n: {
        "p": sums(), "q": averages(2, 1), "conv": n.conv((2, 3, 2), 3)}),
    "scale alone": path(ROW, lambda n: {"s": scale(n, 5)}),
    "scale of a picture alone": path(PICTURE, lambda n: {"s": scale(n, 2, 1, 1)}),
    "flatten alone": path((2, 3), lambda n: {"f": flat((2, 3))}),
    "pool alone": path(LARGE, lambda n: {"p": averages(3, 2, 1)}),
    "pool and scale alone": path(LARGE, lambda n: {
        "p": sums(), "s": nir.Scale(n.rng.uniform(0.15, 0.4, (2, 1, 1)))}),
    "two pools alone": path(LARGE, lambda n: {"p": averages(), "q": averages(2, 1)}),
    "delay of all": path(ROW, lambda n: {"d": nir.Delay(np.array(2 * DT)), "fc": n.dense(6, 5)}),
    "delay of each": path(ROW, lambda n: {"d": delay(n, 5), "fc": n.dense(6, 5)}),
    "delay behind": path(ROW, lambda n: {"fc": n.dense(6, 5), "d": delay(n, 6)}),
    "delays around": path(ROW, lambda n: {
        "d": delay(n, 5), "fc": n.dense(6, 5), "e": delay(n, 6), "s": scale(n, 6)}),
    "delay of each channel": path((4, 5, 5), lambda n: {
        "d": nir.Delay(np.array([0, 2, 0, 3.0]).reshape(4, 1, 1) * DT),
        "conv": plain(n.conv((4, 5, 5), 6, groups=2))}),
    "delay behind a conv": path(PICTURE, lambda n: {
        "conv": plain(n.conv(PICTURE, 3)), "d": delay(n, 3, 1, 1)}),
    "delay-flatten-dense": path(PICTURE, lambda n: {
        "d": delay(n, *PICTURE), "f": flat(PICTURE), "fc": n.dense(6, 48)}),
    "delays alone": path(ROW, lambda n: {"d": delay(n, 5), "s": scale(n, 5)}),
}  # fmt: skip
PRODUCTS: dict[str, Case] = {  # their weights are no single layer's
    "dense-dense": path(ROW, lambda n: {"fc": n.dense(5, 5, bias=True), "fd": n.dense(6, 5)}),
    "conv-pool": path(LARGE, lambda n: {"conv": n.conv(LARGE, 3), "p": sums()}),
    "conv-average": path((2, 9, 9), lambda n: {
        "conv": n.conv((2, 9, 9), 3, stride=2, dilation=2), "p": averages(3, 1),
        "s": scale(n, 3, 1, 1)}),
}  # fmt: skip


def plain(node: Any) -> Any:
    """The convolution without a bias."""
    node.bias = 0 * node.bias
    return node


# ---- populations


def neurons(make: Callable[[Net], Any], resets: tuple[str, ...] = ("zero", "subtract")) -> Case:
    """input > fc > n > fc2 > lif2 > output."""

    def case(net: Net) -> None:
        net.resets = resets
        ends(net, ROW)
        population = make(net)
        bias = "Cuba" not in type(population).__name__
        net.nodes |= {"fc": net.dense(6, 5, bias), "n": population}
        net.nodes |= {"fc2": net.dense(4, 6), "lif2": net.lif(4)}
        net.wire("input > fc > n > fc2 > lif2 > output")

    return case


def readout(make: Callable[[Net], Any]) -> Case:
    """input > fc > lif1 > fc2 > n > output."""

    def case(net: Net) -> None:
        ends(net, ROW)
        net.nodes |= {"fc": net.dense(6, 5, bias=True), "lif1": net.lif(6)}
        net.nodes |= {"fc2": net.dense(4, 6), "n": make(net)}
        net.wire("input > fc > lif1 > fc2 > n > output")

    return case


def _times(n: Net) -> Any:
    return n.rng.uniform(2.5, 9, 4) * DT


POPULATIONS: dict[str, Case] = {
    "LIF": neurons(lambda n: n.lif(6)),
    "LIF of one gain": neurons(lambda n: n.lif(6, tau=0.01, r=12.0, v_threshold=0.9)),
    "LIF of several gains": neurons(lambda n: n.lif(6, r=n.rng.uniform(8, 20, 6), tau=0.01)),
    "LIF of single numbers": neurons(lambda n: nir.LIF(*(
        np.array(x) for x in (0.01, 10.0, 0.0, 0.9, 0.0)))),
    "LIF at rest elsewhere": neurons(
        lambda n: n.lif(6, v_leak=-0.4, v_threshold=n.rng.uniform(0.2, 0.4, 6)), ("zero",)
    ),
    "IF": neurons(lambda n: nir.IF(
        r=n.rng.uniform(0.7, 1.2, 6) / DT, v_threshold=n.rng.uniform(0.6, 1.5, 6),
        v_reset=np.zeros(6))),
    "Threshold": neurons(lambda n: nir.Threshold(n.rng.uniform(0.2, 0.7, 6))),
    "CubaLIF": neurons(lambda n: n.cuba(6)),
    "LI": readout(lambda n: nir.LI(tau=(t := _times(n)), r=t / DT, v_leak=np.zeros(4))),
    "I": readout(lambda n: nir.I(r=n.rng.uniform(0.5, 2, 4) / DT)),
    "CubaLI": readout(lambda n: nir.CubaLI(
        tau_syn=(s := _times(n)), tau_mem=(t := _times(n)), r=t / DT, w_in=s / DT,
        v_leak=np.zeros(4))),
}  # fmt: skip


# ---- wiring


def skip(net: Net) -> None:
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "lif1": net.lif(6), "fc2": net.dense(4, 6, bias=True)}
    net.nodes |= {"skip": net.dense(4, 5, bias=True), "lif2": net.lif(4)}
    net.wire("input > fc > lif1 > fc2 > lif2 > output")
    net.wire("input > skip > lif2")


def sum_before_a_weight(net: Net) -> None:
    """Two populations meet in front of one weight; a third path goes round it."""
    ends(net, ROW)
    net.nodes |= {"fa": net.dense(6, 5), "fb": net.dense(6, 5), "lif1": net.lif(6)}
    net.nodes |= {"lif2": net.lif(6), "fc": net.dense(6, 6), "lif3": net.lif(6)}
    net.wire("input > fa > lif1 > fc > lif3 > output")
    net.wire("input > fb > lif2 > fc")
    net.wire("lif1 > lif3")


def one_weight_for_two(net: Net) -> None:
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "lif1": net.lif(6), "lif2": net.lif(6)}
    net.nodes |= {"d": delay(net, 6), "fd": net.dense(4, 6), "lif3": net.lif(4)}
    net.wire("input > fc > lif1 > fd > lif3 > output")
    net.wire("fc > d > lif2 > fd")


def diamond(net: Net) -> None:
    """Two ways round meet in front of one weight: it is added twice, at two times."""
    ends(net, ROW)
    net.nodes |= {"fa": net.dense(6, 5), "lif1": net.lif(6), "d": delay(net, 6)}
    net.nodes |= {"e": nir.Delay(np.array(DT)), "fc": net.dense(5, 6), "lif2": net.lif(5)}
    net.wire("input > fa > lif1 > d > fc > lif2 > output")
    net.wire("lif1 > e > fc")
    net.wire("lif1 > fc")


def itself(net: Net) -> None:
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "lif1": net.lif(6), "rec": net.dense(6, 6, bias=True)}
    net.nodes |= {"fc2": net.dense(4, 6), "lif2": net.lif(4)}
    net.wire("input > fc > lif1 > fc2 > lif2 > output")
    net.wire("lif1 > rec > lif1")
    net.late = frozenset({("lif1", "rec")})


def itself_without_a_weight(net: Net) -> None:
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "lif1": net.lif(6), "s": scale(net, 6)}
    net.nodes |= {"lif2": net.lif(6)}
    net.wire("input > fc > lif1 > s > lif2 > output")
    net.wire("lif2 > lif2")
    net.late = frozenset({("lif2", "lif2")})


def two_layers_in_a_loop(net: Net) -> None:
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "lif1": net.lif(6), "fc2": net.dense(4, 6)}
    net.nodes |= {"lif2": net.lif(4), "back": net.dense(6, 4), "fc3": net.dense(3, 4)}
    net.nodes |= {"lif3": net.lif(3)}
    net.wire("input > fc > lif1 > fc2 > lif2 > fc3 > lif3 > output")
    net.wire("lif2 > back > lif1")
    net.late = frozenset({("lif2", "back")})


def loops_in_loops(net: Net) -> None:
    """All to all: both populations hear both, through one weight; the way on takes no step."""
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "lif1": net.lif(6), "w": net.dense(6, 6)}
    net.nodes |= {"lif2": net.lif(6), "v": net.dense(6, 6)}
    net.wire("input > fc > lif1 > w > lif2 > output")
    net.wire("lif1 > v > lif1")
    net.wire("lif2 > v")
    net.wire("lif2 > lif2")
    net.late = frozenset({("lif1", "v"), ("lif2", "v"), ("lif2", "lif2")})


def loop_with_a_delay(net: Net) -> None:
    """A loop that has its step already: no edge of it waits once more."""
    ends(net, ROW)
    net.nodes |= {"fc": net.dense(6, 5), "lif1": net.lif(6), "fc2": net.dense(6, 6)}
    net.nodes |= {"lif2": net.lif(6), "d": nir.Delay(net.rng.integers(1, 4, 6) * DT)}
    net.nodes |= {"back": net.dense(6, 6)}
    net.wire("input > fc > lif1 > fc2 > lif2 > output")
    net.wire("lif2 > d > back > lif1")


def loop_with_a_delay_of_some(net: Net) -> None:
    """What comes back without a delay takes one step, as where no delay is stated."""
    loop_with_a_delay(net)
    steps = np.array([0, 2, 0, 1, 3, 0])
    net.nodes["d"] = nir.Delay(steps * DT)
    net.meant = {"d": nir.Delay(np.maximum(steps, 1) * DT)}


def two_ends(net: Net) -> None:
    net.nodes |= {"a": nir.Input(np.array([5])), "b": nir.Input(np.array([2, 3]))}
    net.nodes |= {"f": flat((2, 3)), "fb": net.dense(6, 6, bias=True), "fa": net.dense(6, 5)}
    net.nodes |= {"lif1": net.lif(6), "fc2": net.dense(4, 6), "lif2": net.lif(4)}
    net.nodes |= {"y": nir.Output(np.array([6])), "z": nir.Output(np.array([4]))}
    net.wire("a > fa > lif1 > y")
    net.wire("b > f > fb > lif1 > fc2 > lif2 > z")


def nested(net: Net) -> None:
    itself(net)
    net.inner = ("fc", "lif1", "rec")


def pool_for_two(net: Net) -> None:
    """A pool that is a weight on one path and stands before one on another."""
    ends(net, LARGE)
    net.nodes |= {"p": averages(), "lif1": net.lif(2, 4, 3), "f": flat((2, 4, 3))}
    net.nodes |= {"fc": net.dense(4, 24), "lif2": net.lif(4), "fd": net.dense(4, 24)}
    net.nodes |= {"g": flat((2, 4, 3))}
    net.wire("input > p > lif1 > f > fc > lif2 > output")
    net.wire("p > g > fd > lif2")


def pool_in_a_loop(net: Net) -> None:
    """The pool reads the population that its own loop drives."""
    shape = (2, 4, 3)
    ends(net, shape)
    net.nodes |= {"c": net.conv(shape, 2), "lif1": net.lif(*shape), "p": averages(3, 1, 1)}
    net.nodes |= {"back": plain(net.conv(shape, 2)), "f": flat(shape), "fc": net.dense(4, 24)}
    net.nodes |= {"lif2": net.lif(4)}
    net.wire("input > c > lif1 > f > fc > lif2 > output")
    net.wire("lif1 > p > back > lif1")
    net.late = frozenset({("lif1", "p")})


def flatten_of_a_later_layer(net: Net) -> None:
    """Behind a delay, so that the last population hears nothing of its own step."""
    shape = (2, 3, 3)
    ends(net, shape)
    net.nodes |= {"ca": net.conv(shape, 2), "lif1": net.lif(*shape), "cb": net.conv(shape, 2)}
    net.nodes |= {"lif2": net.lif(*shape), "d": nir.Delay(np.array(DT)), "f": flat(shape)}
    net.nodes |= {"fc": net.dense(4, 18), "lif3": net.lif(4)}
    net.wire("input > ca > lif1 > cb > lif2 > d > f > fc > lif3 > output")


WIRINGS: dict[str, Case] = {
    case.__name__.replace("_", " "): case
    for case in (
        skip, sum_before_a_weight, one_weight_for_two, diamond, itself, itself_without_a_weight,
        two_layers_in_a_loop, loops_in_loops, loop_with_a_delay,
        loop_with_a_delay_of_some, two_ends, nested, pool_for_two,
        pool_in_a_loop, flatten_of_a_later_layer,
    )
}  # fmt: skip
CASES = PATHS | POPULATIONS | WIRINGS
