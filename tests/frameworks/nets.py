"""Random nets in plain numbers for the workers: chains with populations of a framework's own class.

Two of three nets have weights on a grid of 1/16, so that voltages meet thresholds exactly and the
comparison is seen; every third has weights of float32 as they come.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SAMPLES, STEPS, DENSITY = 8, 100, 0.3
GRID = 16
PLANE = (2, 8, 8)


@dataclass(frozen=True)
class Neuron:
    """A framework's class, its arguments, and how large a current it needs for a usual rate."""

    name: str
    arguments: Mapping[str, Any]
    current: float = 1.0


@dataclass
class Net:
    """Layers as the workers read them; ``events`` (samples, steps, *shape)."""

    layers: list[dict[str, Any]]
    arrays: dict[str, Array]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def events(self) -> Array:
        return self.arrays["events"]

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        stated = {"layers": self.layers, "options": dict(self.options)}
        (folder / "net.json").write_text(json.dumps(stated))
        np.savez(folder / "arrays.npz", **self.arrays)


class Chain:
    """A net under construction; ``add`` returns it, so that layers chain."""

    def __init__(self, seed: int, neuron: Neuron, shape: tuple[int, ...]) -> None:
        self.rng, self.neuron, self.generic = np.random.default_rng(seed), neuron, seed % 3 == 2
        events = self.rng.random((SAMPLES, STEPS, *shape)) < DENSITY
        self.layers: list[dict[str, Any]] = []
        self.arrays: dict[str, Array] = {"events": events.astype(np.uint8)}

    def array(self, drawn: Array) -> str:
        """The name of an array of weights, in units of the neuron's current."""
        drawn = drawn if self.generic else np.rint(drawn * GRID) / GRID
        name = f"w{len(self.arrays)}"
        self.arrays[name] = np.asarray(drawn * self.neuron.current, np.float32)
        return f"@{name}"

    def linear(self, outputs: int, inputs: int, bias: bool = False) -> Chain:
        drawn = self.rng.normal(2 / inputs, 0.3, (outputs, inputs))
        made = {"kind": "linear", "weight": self.array(drawn)}
        if bias:
            made["bias"] = self.array(self.rng.normal(0, 0.1, outputs))
        return self.also(made)

    def conv(self, outputs: int, inputs: int, bias: bool = True) -> Chain:
        drawn = self.rng.normal(0.5 / inputs**2, 0.3, (outputs, inputs, 3, 3))
        made = {"kind": "conv", "weight": self.array(drawn), "stride": 1, "padding": 1}
        if bias:
            made["bias"] = self.array(self.rng.normal(0, 0.1, outputs))
        return self.also(made)

    def spiking(self, *shape: int, recurrent: str = "") -> Chain:
        made: dict[str, Any] = {
            "kind": "neuron", "class": self.neuron.name, "shape": shape, "samples": SAMPLES,
            "arguments": dict(self.neuron.arguments),
        }  # fmt: skip
        if recurrent == "matrix":
            made["recurrent"] = self.array(self.rng.normal(0, 0.2, (shape[0], shape[0])))
        elif recurrent == "one_to_one":
            made["one_to_one"] = self.array(self.rng.normal(0, 0.4, shape))
        return self.also(made)

    def also(self, made: dict[str, Any]) -> Chain:
        self.layers.append(made)
        return self

    def without(self, key: str) -> None:
        for layer in self.layers:
            layer.pop(key, None)

    def net(self, options: Mapping[str, Any]) -> Net:
        return Net(self.layers, self.arrays, options)


Shape = Callable[[int, Neuron], Chain]


def dense(seed: int, neuron: Neuron) -> Chain:
    chain = Chain(seed, neuron, (24,)).linear(40, 24).spiking(40)
    return chain.linear(30, 40).spiking(30)


def biased(seed: int, neuron: Neuron) -> Chain:
    chain = Chain(seed, neuron, (24,)).linear(40, 24, bias=True).spiking(40)
    return chain.linear(30, 40, bias=True).spiking(30)


def recurrent(seed: int, neuron: Neuron, kind: str = "matrix") -> Chain:
    chain = Chain(seed, neuron, (24,)).linear(40, 24).spiking(40, recurrent=kind)
    return chain.linear(30, 40).spiking(30, recurrent=kind)


def one_to_one(seed: int, neuron: Neuron) -> Chain:
    return recurrent(seed, neuron, "one_to_one")


def conv_only(seed: int, neuron: Neuron) -> Chain:
    chain = Chain(seed, neuron, PLANE).conv(4, 2).spiking(4, 8, 8)
    return chain.conv(4, 4).spiking(4, 8, 8)


def _plane(seed: int, neuron: Neuron, pool: str, bias: bool = True) -> Chain:
    chain = Chain(seed, neuron, PLANE).conv(4, 2, bias).spiking(4, 8, 8)
    if pool:
        chain = chain.also({"kind": pool, "size": 2}).conv(4, 4, bias).spiking(4, 4, 4)
    return chain.also({"kind": "flatten"}).linear(20, 64 if pool else 256).spiking(20)


def conv(seed: int, neuron: Neuron) -> Chain:
    return _plane(seed, neuron, "")


def conv_without_bias(seed: int, neuron: Neuron) -> Chain:
    return _plane(seed, neuron, "", bias=False)


def sum_pool(seed: int, neuron: Neuron) -> Chain:
    return _plane(seed, neuron, "sum_pool", bias=False)


def avg_pool(seed: int, neuron: Neuron) -> Chain:
    return _plane(seed, neuron, "avg_pool", bias=False)
