"""Anybody's torch module as a NIR graph: traced, mapped layer by layer, under its own names.

The module is traced (torch.fx) down to torch's own layers and to neurons that `neuron_maps` knows.
"""

from __future__ import annotations

import math
import operator
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import nir
import numpy as np
import torch
from torch import Tensor, fx, nn

from sast_compile.contract import METADATA_KEY, Contract, Discretised, Encoding
from sast_compile.errors import Unsupported
from sast_compile.frontend.neuron_maps import NeuronRule, known_neurons, rule_of

LAYERS = (
    nn.Flatten,
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.AvgPool2d,
    nn.Identity,
    nn.Dropout,
)
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Traced:
    """The layers in order with their sources, and the rules of those that are neurons."""

    sources: dict[str, list[str]]
    layers: dict[str, nn.Module]
    outputs: list[str]
    rules: Mapping[str, NeuronRule]


class _Tracer(fx.Tracer):
    """Stops at torch's own layers and at known neurons; looks into everything else."""

    def __init__(self, rules: Mapping[str, NeuronRule]) -> None:
        super().__init__()
        self.rules = rules

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = isinstance(m, LAYERS) or module_qualified_name in self.rules
        return known or not list(m.children())


def trace(module: nn.Module) -> Traced:
    """The layers of ``module``; Unsupported listing everything that cannot be mapped."""
    # before tracing, which turns parameters into proxies
    found = {name: rule_of(layer, name) for name, layer in module.named_modules()}
    rules = {name: rule for name, rule in found.items() if rule is not None}
    try:
        graph = _Tracer(rules).trace(_plain(module))
    except Exception as error:  # fx raises whatever the module's own code meets
        raise Unsupported(
            f"the module cannot be traced: {error}",
            hint="pass tensors through layers only; keep loops over time and states out of forward",
        ) from None
    values: dict[fx.Node, list[str]] = {}
    traced = Traced({}, {}, [], rules)
    problems = [p for node in graph.nodes if (p := _visit(module, node, values, traced))]
    if problems:
        raise Unsupported("; ".join(problems), hint=f"known neurons: {', '.join(known_neurons())}")
    return traced


def _plain(module: nn.Module) -> nn.Module:
    """Containers that only chain their children, as norse's SequentialState, as nn.Sequential."""
    if not isinstance(module, nn.Sequential):
        return module
    return nn.Sequential(OrderedDict((n, _plain(child)) for n, child in module.named_children()))


def _visit(
    module: nn.Module, node: fx.Node, values: dict[fx.Node, list[str]], traced: Traced
) -> str | None:
    """Adds one traced node; returns what is wrong with it, or None."""
    sources = [name for source in node.all_input_nodes for name in values.get(source, [])]
    match node.op:
        case "placeholder":
            values[node] = [] if traced.sources.get("input") is not None else ["input"]
            traced.sources.setdefault("input", [])
        case "output":
            traced.outputs.extend(sources)
        case "call_module":
            return _visit_layer(module, node, sources, values, traced)
        case "call_function" if node.target in (operator.add, torch.add):
            values[node] = sources
        case "call_function" if node.target is operator.getitem and node.args[1] == 0:
            values[node] = sources
        case "call_function" if node.target is operator.getitem:
            values[node] = []  # a state that is handed on
        case _:
            return f"{node.op} {node.target} cannot be exported"
    return None


def _visit_layer(
    module: nn.Module,
    node: fx.Node,
    sources: list[str],
    values: dict[fx.Node, list[str]],
    traced: Traced,
) -> str | None:
    name = str(node.target)
    layer = module.get_submodule(name)
    if isinstance(layer, (nn.Identity, nn.Dropout)):
        values[node] = sources
        return None
    if name not in traced.rules and not isinstance(layer, LAYERS):
        package = type(layer).__module__.split(".")[0]
        return f"{name}: {package}.{type(layer).__name__} is not mapped"
    if name in traced.sources:
        return f"{name}: used twice"
    traced.sources[name], traced.layers[name] = sources, layer
    values[node] = [name]
    return None


def contract_of(rules: Mapping[str, NeuronRule], dt: float, encoding: Encoding | None) -> Contract:
    """What the populations' numbers mean in discrete time; Unsupported if they follow two rules."""
    if not rules:
        raise Unsupported("no spiking layer", hint=f"known: {', '.join(known_neurons())}")
    manners = {(r.reset, r.reset_when, r.compare) for r in rules.values()}
    if len(manners) > 1:
        raise Unsupported(f"populations reset or compare differently: {sorted(manners)}")
    reset, when, compare = manners.pop()
    return Contract(
        dt=dt,
        leak="euler",
        reset=reset,
        reset_when=when,
        compare=compare,
        neurons={name: Discretised(rule.alpha, rule.gain) for name, rule in rules.items()},
        encoding=encoding,
    )


def graph_of(
    traced: Traced, spikes: Mapping[str, Tensor], shape: Shape, contract: Contract
) -> nir.NIRGraph:
    """The graph; ``spikes`` (samples, steps, *shape) give the populations' shapes."""
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array(shape))}
    after: dict[str, Shape] = {"input": shape}
    for name, layer in traced.layers.items():
        if name in traced.rules:
            after[name] = tuple(spikes[name].shape[2:])
            nodes[name] = _neuron(traced.rules[name], after[name], contract.dt)
        else:
            before = after[traced.sources[name][0]]
            nodes[name] = _layer(name, layer, before)
            after[name] = _shape_after(layer, before)
    nodes["output"] = nir.Output(np.array(after[traced.outputs[0]]))
    edges = [(s, name) for name, sources in traced.sources.items() for s in sources]
    edges += [(s, "output") for s in traced.outputs]
    return nir.NIRGraph(nodes, edges, {METADATA_KEY: contract.to_json()}, type_check=False)


def _shape_after(layer: nn.Module, before: Shape) -> Shape:
    if isinstance(layer, nn.Flatten):
        return (math.prod(before),)
    weight = next(layer.parameters(), torch.zeros(()))
    with torch.no_grad():
        return tuple(layer(torch.zeros(1, *before).to(weight)).shape[1:])


def _layer(name: str, layer: nn.Module, shape: Shape) -> nir.NIRNode:
    """The node of ``layer`` on an input of ``shape``; Unsupported for what NIR cannot say."""
    match layer:
        case nn.Flatten():
            return nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
        case nn.Linear(bias=None):
            return nir.Linear(_array(layer.weight))
        case nn.Linear():
            return nir.Affine(_array(layer.weight), _array(layer.bias))
        case nn.Conv1d() | nn.Conv2d():
            return _conv(name, layer, shape)
        case nn.AvgPool2d():
            return _pool(name, layer)
        case _:
            raise Unsupported(f"{type(layer).__name__} has no node in NIR", where=name)


def _conv(name: str, layer: nn.Conv1d | nn.Conv2d, shape: Shape) -> nir.NIRNode:
    if layer.padding_mode != "zeros":
        raise Unsupported(f"padding mode {layer.padding_mode!r}: NIR pads with zeros", where=name)
    bias = np.zeros(layer.out_channels) if layer.bias is None else _array(layer.bias)
    numbers = (
        _array(layer.weight),
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        bias,
    )
    if isinstance(layer, nn.Conv2d):
        return nir.Conv2d((shape[1], shape[2]), *numbers)
    weight, stride, padding, dilation, groups, bias = numbers
    one = padding if isinstance(padding, str) else padding[0]
    return nir.Conv1d(shape[1], weight, stride[0], one, dilation[0], groups, bias)


def _pool(name: str, layer: nn.AvgPool2d) -> nir.AvgPool2d:
    """NIR's average divides by the whole window, padding too, and drops what is left over."""
    padding = np.broadcast_to(layer.padding, (2,))
    counts = layer.count_include_pad or not padding.any()
    if layer.ceil_mode or layer.divisor_override is not None or not counts:
        raise Unsupported(
            "ceil_mode, divisor_override and count_include_pad=False are not in NIR", where=name
        )
    kernel, stride = (np.broadcast_to(n, (2,)) for n in (layer.kernel_size, layer.stride))
    return nir.AvgPool2d(kernel, stride, padding)


def _neuron(rule: NeuronRule, shape: Shape, dt: float) -> nir.NIRNode:
    """NIR's LIF, or its IF where nothing leaks: gain = r dt / tau, and r dt."""
    zero, threshold = np.zeros(shape), np.broadcast_to(rule.threshold, shape).copy()
    if rule.alpha == 1:
        return nir.IF(r=np.full(shape, rule.gain / dt), v_threshold=threshold, v_reset=zero)
    tau = dt / (1 - rule.alpha)
    r = np.full(shape, rule.gain * tau / dt)
    return nir.LIF(
        tau=np.full(shape, tau), r=r, v_leak=zero, v_threshold=threshold, v_reset=zero.copy()
    )


def _array(weight: Tensor) -> Any:
    return weight.detach().cpu().double().numpy()
