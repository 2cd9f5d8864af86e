"""Small random NIR graphs, grown node by node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import nir
import numpy as np
import numpy.typing as npt

from sast_compile.contract import Contract

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
DT, STEPS, SAMPLES = 1e-3, 14, 3
RULES = [
    ("zero", "before_decay"),
    ("zero", "after_fire"),
    ("subtract", "after_fire"),
    ("subtract", "after_decay"),
]


@dataclass
class Net:
    """A graph that grows.

    ``late`` names the edges that close its loops, ``meant`` nodes that stand for others.
    """

    rng: np.random.Generator
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    late: frozenset[tuple[str, str]] = frozenset()
    meant: dict[str, Any] = field(default_factory=dict)
    resets: tuple[str, ...] = ("zero", "subtract")
    inner: tuple[str, ...] = ()  # nodes that lie in the subgraph ``sub``

    def wire(self, path: str) -> None:
        """Edges along ``a > b > c``."""
        self.edges += list(pairwise(path.split(" > ")))

    # weights are positive in the mean, and so large that most populations fire now and then

    def dense(self, outputs: int, inputs: int, bias: bool = False) -> Any:
        weight = self.rng.normal(1.3 / inputs, 1.1 / np.sqrt(inputs), (outputs, inputs))
        if not bias:
            return nir.Linear(weight)
        return nir.Affine(weight, self.rng.normal(0.05, 0.1, outputs))

    def conv(self, shape: Shape, outputs: int, kernel: int = 3, **geometry: Any) -> Any:
        """A convolution with a bias."""
        values = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, **geometry}
        axes = len(shape) - 1
        per_group = shape[0] // values["groups"]
        fan = per_group * kernel**axes
        size = (outputs, per_group, *(kernel,) * axes)
        weight = self.rng.normal(1.3 / fan, 1.1 / np.sqrt(fan), size)
        bias = self.rng.normal(0.0, 0.1, outputs)
        kind = nir.Conv1d if axes == 1 else nir.Conv2d
        return kind(input_shape=shape[1:] if axes > 1 else shape[1], weight=weight, bias=bias,
                    **values)  # fmt: skip

    def lif(self, *shape: int, **changes: Any) -> Any:
        """Neurons of gain 1, all different; ``changes`` are arrays or numbers for all."""
        tau = self.rng.uniform(2.5, 20, shape) * DT
        values = {"tau": tau, "v_leak": 0.0, "v_threshold": self.rng.uniform(0.5, 1.1, shape)}
        values = {**values, **changes}
        values = {"v_reset": values["v_leak"], **values}
        full = {key: np.broadcast_to(v, shape).astype(float) for key, v in values.items()}
        return nir.LIF(**{"r": full["tau"] / DT, **full})

    def cuba(self, n: int) -> Any:
        mem, syn = (self.rng.uniform(2.5, 9, n) * DT for _ in range(2))
        return nir.CubaLIF(
            tau_syn=syn, tau_mem=mem, r=mem / DT, v_leak=np.zeros(n), v_reset=np.zeros(n),
            v_threshold=self.rng.uniform(1, 2, n), w_in=self.rng.uniform(0.7, 1.2, n) * syn / DT,
        )  # fmt: skip

    def as_meant(self) -> nir.NIRGraph:
        """The graph that needs no rule but ``late`` to be computed."""
        return nir.NIRGraph(self.nodes | self.meant, list(self.edges), type_check=False)

    def graph(self) -> nir.NIRGraph:
        return nir.NIRGraph(dict(self.nodes), list(self.edges), type_check=False)

    def nested(self) -> nir.NIRGraph:
        """The same with ``inner`` in a subgraph: one edge leads in and one out."""
        into = [(a, b) for a, b in self.edges if b in self.inner and a not in self.inner]
        out = [(a, b) for a, b in self.edges if a in self.inner and b not in self.inner]
        within = [(a, b) for a, b in self.edges if a in self.inner and b in self.inner]
        ends = {"in": nir.Input(np.array([1])), "out": nir.Output(None)}
        sub = nir.NIRGraph(
            ends | {n: self.nodes[n] for n in self.inner},
            within + [("in", b) for _, b in into] + [(a, "out") for a, _ in out[:1]],
            type_check=False,
        )
        others = {n: node for n, node in self.nodes.items() if n not in self.inner}
        edges = [(a, b) for a, b in self.edges if a not in self.inner and b not in self.inner]
        edges += [(a, "sub") for a in dict.fromkeys(a for a, _ in into)]
        edges += [("sub", b) for _, b in out]
        return nir.NIRGraph({"sub": sub, **others}, edges, type_check=False)

    def contract(self) -> Contract:
        kind, when = RULES[int(self.rng.choice([i for i, r in enumerate(RULES)
                                                if r[0] in self.resets]))]  # fmt: skip
        return Contract(
            dt=DT, leak=str(self.rng.choice(["euler", "exact"])), reset=kind, reset_when=when,
            compare=str(self.rng.choice([">", ">="])),
        )  # fmt: skip

    def events(self, density: float = 0.5) -> Mapping[str, Array]:
        shapes = {n: tuple(node.input_type["input"]) for n, node in self.nodes.items()
                  if isinstance(node, nir.Input)}  # fmt: skip
        return {name: (self.rng.random((SAMPLES, STEPS, *shape)) < density).astype(np.uint8)
                for name, shape in shapes.items()}  # fmt: skip
