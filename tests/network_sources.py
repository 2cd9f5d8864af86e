"""Torch networks with given numbers, as the sources that a checkpoint or a NIR file would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch
from float_programs import LOIHI2, Array, FloatLayer, float_chain
from hypothesis import strategies as st

from sast_compile.backends import reference
from sast_compile.compile import lower
from sast_compile.contract import Encoding
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.source import Source
from sast_compile.frontend.torch_to_nir import to_nir
from sast_compile.ir.program import Program
from sast_compile.ir.types import Int
from sast_compile.nn import Network, build
from sast_compile.passes import Options, Rounding

STEPS = 12


def network(layers: Sequence[FloatLayer], input_shape: Sequence[int] | None = None) -> Network:
    """flatten?, fc1, lif1, fc2, lif2 .. in float64; a flatten where the input has several axes."""
    shape = tuple(input_shape or (np.asarray(layers[0].weights).shape[1],))
    description: list[dict[str, Any]] = []
    if len(shape) > 1:
        description.append({"name": "flatten", "kind": "flatten"})
    for number, layer in enumerate(layers, 1):
        outputs, inputs = np.asarray(layer.weights).shape
        features = {"in_features": inputs, "out_features": outputs}
        bias = isinstance(layer.bias, np.ndarray)
        description.append({"name": f"fc{number}", "kind": "linear", **features, "bias": bias})
        neuron = {"alpha": layer.alpha, "threshold": layer.threshold, "compare": layer.compare}
        resets = {"reset": layer.reset, "reset_when": layer.when}
        description.append({"name": f"lif{number}", "kind": "lif", **neuron, **resets})
    net = build(description, shape).double()
    for number, layer in enumerate(layers, 1):
        linear = net.get_submodule(f"fc{number}")
        assert isinstance(linear, torch.nn.Linear)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.asarray(layer.weights, dtype=np.float64)))
            if isinstance(layer.bias, np.ndarray):
                linear.bias.copy_(torch.tensor(layer.bias))
    return net


def source(
    layers: Sequence[FloatLayer], input_shape: Sequence[int] | None = None, steps: int = STEPS
) -> Source:
    """What read_source gives of a checkpoint with these numbers."""
    net = network(layers, input_shape)
    axes = "PYX"[-len(net.input_shape) :]
    encoding = Encoding(steps=steps, axes=axes, values="binary", bin="one step")
    contract = net.contract(1e-3, encoding)
    graph = to_nir(net, contract)
    program = to_program(graph, contract, "net")
    return Source("net.pt", "", graph, contract, program, None, net)


def without_module(given: Source, graph: nir.NIRGraph | None = None) -> Source:
    """The same as a bare .nir: its graph, and no torch module."""
    return Source("net.nir", "", graph or given.graph, given.contract, given.program, None, None)


def compiled(given: Source, bits: int = 8, rounding: Rounding = "membrane") -> Program:
    """The program for loihi2."""
    steps = given.contract.encoding.steps if given.contract.encoding else None
    return lower(given.program, LOIHI2, Options(bits, steps, rounding=rounding))[-1].program


# ---- random nets in which every layer fires


def with_thresholds(
    layers: Sequence[FloatLayer],
    events: Array,
    quantiles: Sequence[float],
    *,
    nudge: float = 0.0,
    least: float = 0.0,
) -> list[FloatLayer]:
    """``layers`` with thresholds that some of their voltages reach exactly (``nudge``: miss)."""
    chosen: list[FloatLayer] = []
    for layer, quantile in zip(layers, quantiles, strict=True):
        silent = replace(layer, threshold=1e9)
        flat = events.reshape(*events.shape[:2], -1)
        trace = reference.run(float_chain(*chosen, silent), flat, "states")
        v = np.asarray(trace[f"lif{len(chosen) + 1}"].states["v"])
        positive = np.sort(v[v > 0])
        reached = positive[int(quantile * (len(positive) - 1))] if len(positive) else 1.0
        chosen.append(replace(layer, threshold=max(float(reached), least) + nudge))
    return chosen


@st.composite
def grid_layers(draw: Any, bits: int) -> list[FloatLayer]:
    """One to three IF layers whose numbers lie on the chip's grid, thresholds not chosen yet."""
    compare = draw(st.sampled_from([">", ">="]))
    sizes = draw(st.lists(st.integers(2, 7), min_size=2, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layers = []
    for inputs, outputs in pairwise(sizes):
        element = Int(bits, signed=draw(st.booleans()))
        step = 2.0 ** -draw(st.integers(-2, 9))
        # ends of the grid, where max-abs is exact, the middle, where only a power of two is
        low, high = draw(st.sampled_from([(element.low, element.high), (-1, 1), (-3, 5)]))
        low, high = max(low, element.low), min(high, element.high)
        k = rng.integers(low, high, (outputs, inputs), endpoint=True)
        k.flat[int(rng.integers(k.size))] = high
        bias: float | Array = 0.0
        if draw(st.booleans()):
            bias = rng.integers(-2, 3, outputs) * step
        layers.append(FloatLayer(k * step, bias=bias, compare=compare))
    return layers
