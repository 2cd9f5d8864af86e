"""The vendors' equations of a neuron, transcribed one number at a time.

Each `*_net` is a plain loop over the equations of a chip as its vendor's simulator computes them,
without numpy and without the IR: the independent side of `ir/test_equations.py`. It also counts the
remarkable things that happened: equality on nets where nothing happens proves nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias

Matrix: TypeAlias = list[list[int]]


@dataclass
class Expected:
    """What a scalar loop computed: name of a record -> steps x neurons; and what happened."""

    rows: dict[str, list[list[Any]]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    def keep(self, **row: list[Any]) -> None:
        for name, values in row.items():
            self.rows.setdefault(name, []).append(values)


# ---- Loihi: lava-nc 0.10, LIF (PyLifModelBitAcc) behind Dense


def loihi_decay(x: int, c: int) -> int:
    sign = (x > 0) - (x < 0)
    return sign * ((abs(x) * (4096 - c)) >> 12)


def loihi_wrap(x: int) -> int:
    if x > 2**23:
        return x - 2**24
    if x <= -(2**23):
        return x + 2**24
    return x


def shift_sum(value: int, exponent: int) -> int:
    return value << exponent if exponent >= 0 else math.floor(Fraction(value, 2**-exponent))


@dataclass(frozen=True)
class LoihiNet:
    weight: Matrix
    recurrent: Matrix
    exponent: int
    du: int
    dv: int
    vth: int
    bias: int
    bias_exponent: int


def loihi_net(p: LoihiNet, events: Matrix) -> Expected:
    """A connection sends what it received a step earlier: column k is the neurons' step k + 1."""
    n = len(p.weight)
    u, v, spikes = [0] * n, [0] * n, [0] * n
    buffered, recurrent = [0] * n, [0] * n
    expected = Expected()
    for t in range(len(events) + 1):
        a_in = [a + r for a, r in zip(buffered, recurrent, strict=True)]
        if t < len(events):
            buffered = [
                shift_sum(sum(w * s for w, s in zip(row, events[t], strict=True)), p.exponent)
                for row in p.weight
            ]
        if t == 0:  # LIFReset: what happened before the first column is forgotten
            continue
        for i in range(n):
            wide = loihi_decay(u[i], p.du + 1) + (a_in[i] << 6)
            u[i] = loihi_wrap(wide)
            bias = shift_sum(p.bias, p.bias_exponent)
            raw = loihi_decay(v[i], p.dv) + u[i] + bias
            v[i] = max(-(2**23 - 1), min(2**23 - 1, raw))
            expected.seen["u wrapped up"] += wide <= -(2**23)
            expected.seen["u wrapped down"] += wide > 2**23
            expected.seen["clamped u"] += u[i] != wide
            expected.seen["clamped v"] += v[i] != raw
            expected.seen["v saturated low"] += raw < v[i]
            expected.seen["v saturated high"] += raw > v[i]
            expected.seen["ties"] += v[i] == p.vth << 6
            expected.seen["negatives"] += v[i] < 0
            spikes[i] = int(v[i] > p.vth << 6)
            if spikes[i]:
                v[i] = 0
        expected.seen["spikes"] += sum(spikes)
        expected.keep(s=list(spikes), u=list(u), v=list(v))
        recurrent = [sum(w * s for w, s in zip(row, spikes, strict=True)) for row in p.recurrent]
        recurrent = [shift_sum(a, p.exponent) for a in recurrent]
    return expected


# ---- Xylo: xylosim v2, hidden neurons with two synaptic states


def sat16(x: int) -> int:
    return max(-32768, min(32767, x))


def int16(x: int) -> int:
    return (x + 32768) % 65536 - 32768


def xylo_decay(x: int, dash: int) -> int:
    step = math.floor(Fraction(x, 2**dash))
    if step == 0 and x != 0:
        return 1 if x > 0 else -1
    return step


@dataclass(frozen=True)
class XyloNet:
    weight: tuple[Matrix, Matrix]  # by synapse: presynaptic x neurons, as Xylo stores them
    recurrent: tuple[Matrix, Matrix]
    shift: int
    dash_syn: tuple[int, int]
    dash_mem: int
    bias: int
    vth: int
    most: int


def xylo_net(p: XyloNet, events: Matrix) -> Expected:
    n = len(p.weight[0][0])
    current, v, spikes = [[0] * n, [0] * n], [0] * n, [0] * n
    expected = Expected()
    seen = expected.seen
    for counts in events:
        deliveries = [(p.weight, min(c, 15), pre) for pre, c in enumerate(counts)]
        deliveries += [(p.recurrent, min(c, 31), pre) for pre, c in enumerate(spikes)]
        for weight, count, pre in deliveries:
            for _ in range(count):
                for synapse in (0, 1):
                    for post in range(n):
                        term = int16(weight[synapse][pre][post] << p.shift)
                        raw = current[synapse][post] + term
                        current[synapse][post] = sat16(raw)
                        seen["I saturated low"] += raw < -32768
                        seen["I saturated high"] += raw > 32767
        for synapse in (0, 1):
            for i in range(n):
                current[synapse][i] -= xylo_decay(current[synapse][i], p.dash_syn[synapse])
        for i in range(n):
            leak = -xylo_decay(v[i], p.dash_mem)
            seen["leak wrapped"] += leak > 32767
            first = int16(leak) + current[0][i] + current[1][i]
            second = sat16(first) + p.bias
            third = v[i] + sat16(second)
            seen["v saturated low"] += third < -32768
            seen["v saturated high"] += third > 32767
            seen["clamped v"] += sum(sat16(x) != x for x in (first, second, third))
            v[i] = sat16(third)
            seen["ties"] += v[i] == p.vth
            seen["negatives"] += v[i] < 0
            spikes[i] = 0
            while v[i] >= p.vth and spikes[i] < p.most:
                spikes[i] += 1
                v[i] -= p.vth
            seen["several spikes"] += 1 < spikes[i] < p.most
            seen["capped"] += v[i] >= p.vth
        seen["spikes"] += sum(spikes)
        expected.keep(s=list(spikes), u0=list(current[0]), u1=list(current[1]), v=list(v))
    return expected


# ---- Speck: sinabs, DynapcnnNetwork(discretize=True)


@dataclass(frozen=True)
class SpeckNet:
    weight: Matrix
    bias: list[int]
    theta: int
    min_v: int
    to_zero: bool


def speck_net(p: SpeckNet, events: Matrix) -> Expected:
    n = len(p.weight)
    v, expected = [0] * n, Expected()
    for counts in events:
        spikes = []
        for i in range(n):
            v[i] += sum(w * c for w, c in zip(p.weight[i], counts, strict=True)) + p.bias[i]
            expected.seen["ties"] += v[i] == p.theta
            expected.seen["negatives"] += v[i] < 0
            fired = math.floor(Fraction(v[i], p.theta)) if v[i] > 0 else 0
            v[i] = (0 if fired else v[i]) if p.to_zero else v[i] - fired * p.theta
            expected.seen["floored"] += v[i] < p.min_v
            v[i] = max(v[i], p.min_v)
            expected.seen["several spikes"] += fired > 1
            spikes.append(fired)
        expected.seen["spikes"] += sum(spikes)
        expected.keep(s=spikes, v=list(v))
    return expected


# ---- HiAER-Spike: hs_api's simple_sim


@dataclass(frozen=True)
class HiaerNet:
    weight: Matrix
    recurrent: Matrix
    theta: int
    leak: int


def hiaer_net(p: HiaerNet, events: Matrix) -> Expected:
    """The chip compares v of the last step first: its spikes of step t + 1 are our column t."""
    n = len(p.weight)
    v, expected = [0] * n, Expected()
    for t in range(len(events) + 1):
        before = list(v)
        spikes = [int(x > p.theta) for x in v]
        if t > 0:
            expected.seen["ties"] += before.count(p.theta)
            expected.seen["negatives"] += sum(x < 0 for x in before)
            expected.seen["spikes"] += sum(spikes)
            expected.keep(s=spikes)
        if t == len(events):
            break
        for i in range(n):
            v[i] = 0 if spikes[i] else v[i]
            v[i] -= v[i] // 2**p.leak
            expected.seen["crept up"] += before[i] < 0 and p.leak == 63
            v[i] += sum(w * s for w, s in zip(p.weight[i], events[t], strict=True))
            v[i] += sum(w * s for w, s in zip(p.recurrent[i], spikes, strict=True))
            expected.seen["beyond 32 bits"] += abs(v[i]) >= 2**31
        expected.keep(v=list(v))
    return expected


# ---- a microcontroller: multiply by 15 bits, round half to even, saturate at 32 bits


@dataclass(frozen=True)
class McuNet:
    weight: Matrix
    exponent: int
    decay: list[int]
    theta: list[int]
    bias: int
    subtract: bool


def mcu_net(p: McuNet, events: Matrix) -> Expected:
    n = len(p.weight)
    v, expected = [0] * n, Expected()
    for counts in events:
        spikes = []
        for i in range(n):
            exact = v[i] * Fraction(2**15 - p.decay[i], 2**15)
            expected.seen["half"] += exact % 1 == Fraction(1, 2)
            total = sum(w * c for w, c in zip(p.weight[i], counts, strict=True))
            raw = round(exact) + shift_sum(total, p.exponent) + p.bias  # round: half to even
            v[i] = max(-(2**31), min(2**31 - 1, raw))
            expected.seen["clamped v"] += raw != v[i]
            expected.seen["v saturated low"] += raw < v[i]
            expected.seen["v saturated high"] += raw > v[i]
            expected.seen["ties"] += v[i] == p.theta[i]
            expected.seen["negatives"] += v[i] < 0
            spikes.append(int(v[i] >= p.theta[i]))
            if spikes[-1]:
                v[i] = v[i] - p.theta[i] if p.subtract else 0
        expected.seen["spikes"] += sum(spikes)
        expected.keep(s=spikes, v=list(v))
    return expected


# ---- floats: snnTorch's Leaky (subtract), the SAST papers' neuron (zero)


def float_net(kind: str, weight: list[list[float]], alpha: float, events: Matrix) -> Expected:
    n, theta = len(weight), 1.0
    u, spikes, expected = [0.0] * n, [0] * n, Expected()
    for counts in events:
        for i in range(n):
            current = sum(w * c for w, c in zip(weight[i], counts, strict=True))
            if kind == "snntorch":  # mem = beta mem + input - reset threshold, reset = last spike
                u[i] = alpha * u[i] + current - spikes[i] * theta
            else:  # u[t] = tau u[t-1] (1 - s[t-1]) + W s_in[t]
                u[i] = alpha * u[i] * (1 - spikes[i]) + current
            expected.seen["negatives"] += u[i] < 0
            expected.seen["ties"] += u[i] == theta
        spikes = [int(x - theta > 0 if kind == "snntorch" else x >= theta) for x in u]
        expected.seen["spikes"] += sum(spikes)
        expected.seen["twice in a row"] += n if sum(spikes) == n else 0
        expected.keep(s=spikes, v=list(u))
    return expected
