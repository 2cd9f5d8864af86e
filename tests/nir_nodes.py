"""A NIR graph in floats, node by node and step by step, by NIR's own equations.

Nothing of the front end is used: no chains, no folds, no shift of the voltage to its rest. Slow,
and meant to be seen through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from sast_compile.contract import Contract

Array: TypeAlias = npt.NDArray[Any]
POPULATIONS = ("IF", "LIF", "CubaLIF", "Threshold", "LI", "CubaLI", "I")


@dataclass
class Nodes:
    """``late``: the edges that hand on what their source was one step before."""

    graph: nir.NIRGraph
    late: frozenset[tuple[str, str]]
    contract: Contract
    events: Mapping[str, Array]  # (samples, steps, *shape) by Input
    values: dict[tuple[str, int], Array] = field(default_factory=dict)
    voltages: dict[tuple[str, int], Array] = field(default_factory=dict)
    states: dict[str, dict[str, Array]] = field(default_factory=dict)

    def run(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Spikes (of a readout v), and v after the step, (samples, steps, *shape) by population."""
        steps = next(iter(self.events.values())).shape[1]
        names = [n for n, node in self.graph.nodes.items() if type(node).__name__ in POPULATIONS]
        for time in range(steps):
            for name in self.graph.nodes:
                self.value(name, time)
        return (
            {n: np.stack([self.values[n, t] for t in range(steps)], 1) for n in names},
            {n: np.stack([self.voltages[n, t] for t in range(steps)], 1) for n in names},
        )

    def value(self, name: str, time: int) -> Array:
        """What the node puts out in the step."""
        if (name, time) not in self.values:
            self.values[name, time] = self._value(name, time)
        return self.values[name, time]

    def _heard(self, name: str, time: int) -> Array:
        """The sum of what comes in; before the first step a late source is silent."""
        terms = []
        for source, target in self.graph.edges:
            if target == name:
                late = (source, target) in self.late
                if late and time == 0:
                    continue
                terms.append(self.value(source, time - late))
        return np.asarray(sum(terms)) if terms else np.zeros(())

    def _value(self, name: str, time: int) -> Array:
        node: Any = self.graph.nodes[name]
        kind = type(node).__name__
        if kind == "Input":
            return np.asarray(self.events[name][:, time], dtype=np.float64)
        if kind == "Delay":
            return self._delayed(name, node, time)
        x = self._heard(name, time)
        if kind in POPULATIONS:
            samples = len(next(iter(self.events.values())))
            rest = np.zeros((samples, *size(node))) if size(node) else 0.0
            return self._step(name, node, rest + x, time)
        if not x.shape:  # nothing has come yet
            return _of_nothing(node)
        return linear(node, x)

    def _delayed(self, name: str, node: Any, time: int) -> Array:
        given = np.rint(np.asarray(node.delay) / self.contract.dt).astype(int)
        result: Any = 0.0
        for delay in (d for d in np.unique(given) if d <= time):
            result = result + self._heard(name, time - delay) * (given == delay)
        return np.asarray(result)

    def _step(self, name: str, node: Any, current: Array, time: int) -> Array:
        rule = self.contract
        if name not in self.states:
            rest = np.zeros_like(current) + getattr(node, "v_leak", 0.0)
            self.states[name] = {"v": rest, "i": 0 * current, "s": 0 * current}
        state = self.states[name]
        v, s = state["v"], state["s"]
        kind = type(node).__name__
        if kind == "Threshold":
            s = self._fires(current, node.threshold)
            self.voltages[name, time] = np.where(s > 0, 0, current)
            return s
        if rule.reset_when == "before_decay" and s.any():
            v = np.where(s > 0, node.v_reset, v)
        v = self._integrated(node, state, v, current)
        if rule.reset_when == "after_decay":
            v = v - s * getattr(node, "v_threshold", 0.0)
        if hasattr(node, "v_threshold"):
            s = self._fires(v, node.v_threshold)
            if rule.reset_when == "after_fire":
                empty = node.v_reset if rule.reset == "zero" else v - node.v_threshold
                v = np.where(s > 0, empty, v)
        state["v"], state["s"] = v, s
        self.voltages[name, time] = v - getattr(node, "v_leak", 0.0)
        return s if hasattr(node, "v_threshold") else v

    def _integrated(self, node: Any, state: dict[str, Array], v: Array, current: Array) -> Array:
        if hasattr(node, "tau_syn"):
            towards = node.w_in * current
            state["i"] = self._relaxed(state["i"], towards, node.tau_syn)
            return self._relaxed(v, node.v_leak + node.r * state["i"], node.tau_mem)
        if hasattr(node, "tau"):
            return self._relaxed(v, node.v_leak + node.r * current, node.tau)
        return v + self.contract.dt * node.r * current

    def _relaxed(self, x: Array, towards: Array, tau: Array) -> Array:
        """One step of ``tau dx/dt = towards - x``."""
        dt = self.contract.dt
        kept = np.exp(-dt / tau) if self.contract.leak == "exact" else 1 - dt / tau
        return np.asarray(towards + (x - towards) * kept)

    def _fires(self, v: Array, threshold: Array) -> Array:
        fires = v > threshold if self.contract.compare == ">" else v >= threshold
        return fires.astype(np.float64)


def _of_nothing(node: Any) -> Array:
    """What a linear node makes of silence: its bias, or a 0 that has no shape yet."""
    if not hasattr(node, "weight"):
        return np.zeros(())
    shape = node.weight.shape[1:]
    if hasattr(node, "groups"):
        shape = (1, shape[0] * node.groups, *np.atleast_1d(node.input_shape))
    return linear(node, np.zeros(shape))


def size(node: Any) -> tuple[int, ...]:
    """The shape of a population."""
    return np.shape(getattr(node, "v_threshold", getattr(node, "threshold", getattr(node, "r", 0))))


def linear(node: Any, x: Array) -> Array:
    """A linear node without memory on (samples, *shape), by torch's functions."""
    match type(node).__name__:
        case "Output":
            return x
        case "Linear":
            return x @ node.weight.T
        case "Affine":
            return x @ node.weight.T + node.bias
        case "Scale":
            return x * node.scale
        case "Flatten":
            first, last = (n + 1 if n >= 0 else n for n in (node.start_dim, node.end_dim))
            return torch.flatten(torch.as_tensor(x), first, last).numpy()
        case "AvgPool2d":
            return functional.avg_pool2d(torch.as_tensor(x), *_window(node)).numpy()
        case "SumPool2d":
            size = float(np.prod(node.kernel_size))
            return size * functional.avg_pool2d(torch.as_tensor(x), *_window(node)).numpy()
        case kind:
            convolve = functional.conv1d if kind == "Conv1d" else functional.conv2d
            geometry = [g if isinstance(g, (str, int)) else tuple(g)
                        for g in (node.stride, node.padding, node.dilation)]  # fmt: skip
            given = (torch.as_tensor(a) for a in (x, node.weight, node.bias))
            return convolve(*given, *geometry, node.groups).numpy()


def _window(node: Any) -> list[list[int]]:
    return [list(map(int, n)) for n in (node.kernel_size, node.stride, node.padding)]
