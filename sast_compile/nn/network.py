"""A chain of named layers, built from and printed as plain data.

The names become NIR nodes and program nodes, so they are what every later message speaks of. The
plain description is a list of dicts, one a layer, in order:

- ``{"name": "flatten", "kind": "flatten"}``
- ``{"name": "fc1", "kind": "linear", "in_features": 200, "out_features": 128, "bias": false}``
- ``{"name": "lif1", "kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "zero",``
  ``"reset_when": "before_decay", "compare": ">=", "surrogate": "sigmoid", "slope": 5.0}``
- ``{"name": "if1", "kind": "if", ...}``: as ``lif``, without ``alpha``
- ``{"name": "cuba1", "kind": "cuba_lif", "beta": 0.8, ...}``: as ``lif``, behind a synaptic current
- ``{"name": "conv1", "kind": "conv2d", "in_channels": 2, "out_channels": 8, "kernel_size": 5,``
  ``"stride": 2, "padding": 2, "bias": false}``: (channels, rows, columns), the same in every step
- ``{"name": "readout", "kind": "li", "alpha": 0.9}``: a leaky readout that never fires, as the last

A spiking layer with ``"recurrent": true`` also hears the spikes that it made one step before,
through a matrix of its own, the layer ``<name>_rec``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from sast_compile.contract import Contract, Discretised, Encoding, Readout
from sast_compile.errors import CompileError, TypeMismatch, Unsupported
from sast_compile.nn import conv
from sast_compile.nn.event_linear import event_linear, is_events
from sast_compile.nn.layers import (
    AnyLayer,
    Conv2d,
    CubaLif,
    Flatten,
    If,
    Li,
    Lif,
    Linear,
    Spiking,
    checked_chain,
    checked_shape,
    read_layer,
    recurrent_name,
    shapes_after,
)
from sast_compile.nn.modes import spiking_layers
from sast_compile.nn.neurons import IF, LI, LIF, CubaLIF, States


class Network(nn.Module):
    """Named layers in a chain: events (batch, T, *input_shape) to output spikes (batch, T, n).

    Raises CompileError, naming the layer, if the chain does not fit together.
    """

    def __init__(self, layers: Sequence[AnyLayer], input_shape: Sequence[int]) -> None:
        super().__init__()
        self.specification = tuple(layers)
        self.input_shape = checked_shape(input_shape)
        self.output_shape = checked_chain(self.specification, self.input_shape)
        shapes = self.shapes()
        for layer in self.specification:
            if hasattr(self, layer.name):
                raise CompileError(
                    "torch uses this name itself", where=layer.name, hint="choose another"
                )
            self.add_module(layer.name, _module(layer))
            if isinstance(layer, Spiking) and layer.recurrent:
                self.add_module(recurrent_name(layer.name), _recurrent(layer.name, shapes))

    def forward(self, events: Tensor) -> Tensor:
        """The last layer's spikes, or a readout's voltages: (batch, T, *output_shape)."""
        return self._run(events, None)

    def states(self, events: Tensor) -> dict[str, States]:
        """Spikes and membrane of every spiking layer, by name, first layer first."""
        return self.trace(events)[1]

    def trace(self, events: Tensor) -> tuple[Tensor, dict[str, States]]:
        """The output, and the states of every spiking layer, of one run."""
        seen: dict[str, States] = {}
        return self._run(events, seen), seen

    def _run(self, events: Tensor, seen: dict[str, States] | None) -> Tensor:
        """The network's output; the states of its spiking layers go into ``seen``."""
        x = self._checked_input(events)
        for specification in self.specification:
            layer: Any = self.get_submodule(specification.name)
            match specification:
                case Linear() if is_events(x):
                    x = event_linear(x, layer.weight, layer.bias)
                case Linear():
                    x = layer(x)
                case Lif() | If() | CubaLif() if seen is not None or specification.recurrent:
                    states = self._states(specification, self._numbers(x))
                    x = states.spikes
                    if seen is not None:
                        seen[specification.name] = states
                case Flatten():
                    x = layer(x)
                case _:
                    x = layer(self._numbers(x))
        return x

    def _states(self, layer: Lif | If | CubaLif, x: Tensor) -> States:
        neurons: Any = self.get_submodule(layer.name)
        if not layer.recurrent:
            states: States = neurons.states(x)
            return states
        weight = self.get_submodule(recurrent_name(layer.name))
        state, spike = neurons.start(x[:, 0]), torch.zeros_like(x[:, 0])
        spikes, membrane = [], []
        for now in x.unbind(dim=1):
            spike, state = neurons.step(now + weight(spike), state)
            spikes.append(spike)
            membrane.append(state[-2])
        return States(torch.stack(spikes, dim=1), torch.stack(membrane, dim=1))

    def spikes(self, events: Tensor) -> dict[str, Tensor]:
        """The spikes (batch, T, *shape) of every spiking layer, by name, first layer first."""
        return {name: states.spikes for name, states in self.states(events).items()}

    def neurons(self) -> dict[str, LIF]:
        """The spiking layers by name, first layer first."""
        return spiking_layers(self)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one step of one sample after every layer, by name."""
        return dict(shapes_after(self.specification, self.input_shape))

    def description(self) -> list[dict[str, Any]]:
        """The plain description: ``build(n.description(), n.input_shape)`` is ``n``, untrained."""
        plain = [{"name": x.name, **msgspec.to_builtins(x)} for x in self.specification]
        for layer in plain:
            if layer.get("recurrent") is False:
                del layer["recurrent"]  # unsaid is no
        return plain

    def contract(self, dt: float, encoding: Encoding | None) -> Contract:
        """What the network's numbers mean in discrete time; the leak is alpha = 1 - dt/tau.

        Raises Unsupported if two populations reset or compare differently: a contract has one rule.
        """
        neurons = self.neurons()
        rules = {name: (lif.reset, lif.reset_when, lif.compare) for name, lif in neurons.items()}
        first, (reset, reset_when, compare) = next(iter(rules.items()))
        for name, rule in rules.items():
            if rule != rules[first]:
                raise Unsupported(
                    f"resets and compares as {rule}, but {first} as {rules[first]}",
                    where=name,
                    hint="all populations of a graph share one rule",
                )
        return Contract(
            dt=dt,
            leak="euler",
            reset=reset,
            reset_when=reset_when,
            compare=compare,
            neurons={name: _discretised(lif) for name, lif in neurons.items()},
            encoding=encoding,
            readout=Readout(kind="voltage_sum") if self._reads_voltage() else Readout(),
        )

    def _reads_voltage(self) -> bool:
        return isinstance(self.specification[-1], Li)

    def _checked_input(self, events: Tensor) -> Tensor:
        if tuple(events.shape[2:]) != self.input_shape or events.ndim < 2:
            raise TypeMismatch(
                f"expects events (batch, T, {', '.join(map(str, self.input_shape))}), "
                f"got {tuple(events.shape)}",
                where=self.specification[0].name,
            )
        return events if is_events(events) else self._numbers(events)

    def _numbers(self, x: Tensor) -> Tensor:
        """``x`` in the precision of the weights (floats, where there are none)."""
        weight = next(self.parameters(), None)
        if weight is not None:
            return x.to(weight.dtype)
        return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def build(description: Sequence[dict[str, Any]], input_shape: Sequence[int]) -> Network:
    """The network that the plain ``description`` states, freshly initialised, in smooth mode.

    Strict: an unknown kind or key, a missing key or a wrong type is a CompileError that names the
    layer.
    """
    if not isinstance(description, Sequence) or isinstance(description, (str, bytes)):
        raise CompileError(f"a network is a list of layers, not {type(description).__name__}")
    return Network([read_layer(plain, at) for at, plain in enumerate(description)], input_shape)


NEURONS: dict[type, type[nn.Module]] = {Lif: LIF, If: IF, CubaLif: CubaLIF, Li: LI}


def _recurrent(name: str, shapes: dict[str, tuple[int, ...]]) -> nn.Linear:
    (n,) = shapes[name]
    return nn.Linear(n, n, bias=False)


def _discretised(lif: LIF) -> Discretised:
    if isinstance(lif, CubaLIF):
        return Discretised(lif.alpha, beta=lif.beta)
    return Discretised(lif.alpha)


def _module(layer: AnyLayer) -> nn.Module:
    match layer:
        case Flatten():
            return nn.Flatten(start_dim=2)
        case Linear(in_features=n_in, out_features=n_out, bias=bias):
            return nn.Linear(n_in, n_out, bias=bias)
        case Conv2d():
            return conv.Conv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,
                layer.stride,
                layer.padding,
                bias=layer.bias,
            )
        case Lif() | If() | CubaLif() | Li():
            plain = msgspec.structs.asdict(layer)
            numbers = {k: v for k, v in plain.items() if k not in ("name", "recurrent")}
            try:
                return NEURONS[type(layer)](**numbers)
            except CompileError as error:
                raise CompileError(error.what, where=layer.name, hint=error.hint) from None
