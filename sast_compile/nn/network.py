"""A chain of named layers, built from and printed as plain data.

The names become NIR nodes and program nodes, so they are what every later message speaks of. The
plain description is a list of dicts, one a layer, in order:

- ``{"name": "flatten", "kind": "flatten"}``
- ``{"name": "fc1", "kind": "linear", "in_features": 200, "out_features": 128, "bias": false}``
- ``{"name": "lif1", "kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "zero",``
  ``"reset_when": "before_decay", "compare": ">=", "surrogate": "sigmoid", "slope": 5.0}``
- ``{"name": "if1", "kind": "if", ...}``: as ``lif``, without ``alpha``
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
import torch
from torch import Tensor, nn

from sast_compile.contract import Compare, Contract, Discretised, Encoding, ResetKind, ResetWhen
from sast_compile.errors import CompileError, TypeMismatch, Unsupported
from sast_compile.nn.neurons import IF, LIF, States, Surrogate

Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**24)]
MOST_AXES, MOST_INPUTS = 8, 2**31 - 1
TAKEN = ("input", "output")  # the NIR graph's own two nodes


class Layer(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """One layer of the plain description; its ``name`` is a node's name from here on."""

    name: Name


class Flatten(Layer, frozen=True, tag="flatten"):
    """(*shape) to (n,), row-major."""


class Linear(Layer, frozen=True, kw_only=True, tag="linear"):
    """``W x``, with ``bias`` ``W x + b`` in every step."""

    in_features: Size
    out_features: Size
    bias: bool = False


class Lif(Layer, frozen=True, kw_only=True, tag="lif"):
    """:class:`sast_compile.nn.neurons.LIF`."""

    alpha: float
    threshold: float
    reset: ResetKind
    reset_when: ResetWhen
    compare: Compare = ">="
    surrogate: Surrogate = "sigmoid"
    slope: float = 5.0


class If(Layer, frozen=True, kw_only=True, tag="if"):
    """:class:`sast_compile.nn.neurons.IF`."""

    threshold: float
    reset: ResetKind
    reset_when: ResetWhen
    compare: Compare = ">="
    surrogate: Surrogate = "sigmoid"
    slope: float = 5.0


AnyLayer: TypeAlias = Flatten | Linear | Lif | If


class Network(nn.Module):
    """Named layers in a chain: events (batch, T, *input_shape) to output spikes (batch, T, n).

    Raises CompileError, naming the layer, if the chain does not fit together.
    """

    def __init__(self, layers: Sequence[AnyLayer], input_shape: Sequence[int]) -> None:
        super().__init__()
        self.specification = tuple(layers)
        self.input_shape = _checked_shape(input_shape)
        self.output_shape = _walk(self.specification, self.input_shape)
        for layer in self.specification:
            if hasattr(self, layer.name):
                raise CompileError(
                    "torch uses this name itself", where=layer.name, hint="choose another"
                )
            self.add_module(layer.name, _module(layer))

    def forward(self, events: Tensor) -> Tensor:
        """The spikes of the last layer, (batch, T, *output_shape)."""
        x = self._checked_input(events)
        for layer in self.children():
            x = layer(x)
        return x

    def states(self, events: Tensor) -> dict[str, States]:
        """Spikes and membrane of every spiking layer, by name, first layer first."""
        x = self._checked_input(events)
        seen: dict[str, States] = {}
        for name, layer in self.named_children():
            if isinstance(layer, LIF):
                seen[name] = layer.states(x)
                x = seen[name].spikes
            else:
                x = layer(x)
        return seen

    def spikes(self, events: Tensor) -> dict[str, Tensor]:
        """The spikes (batch, T, *shape) of every spiking layer, by name, first layer first."""
        return {name: states.spikes for name, states in self.states(events).items()}

    def neurons(self) -> dict[str, LIF]:
        """The spiking layers by name, first layer first."""
        return {name: layer for name, layer in self.named_children() if isinstance(layer, LIF)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one step of one sample after every layer, by name."""
        return dict(_shapes(self.specification, self.input_shape))

    def description(self) -> list[dict[str, Any]]:
        """The plain description: ``build(n.description(), n.input_shape)`` is ``n``, untrained."""
        return [{"name": layer.name, **msgspec.to_builtins(layer)} for layer in self.specification]

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
            neurons={name: Discretised(lif.alpha) for name, lif in neurons.items()},
            encoding=encoding,
        )

    def _checked_input(self, events: Tensor) -> Tensor:
        if tuple(events.shape[2:]) != self.input_shape or events.ndim < 2:
            raise TypeMismatch(
                f"expects events (batch, T, {', '.join(map(str, self.input_shape))}), "
                f"got {tuple(events.shape)}",
                where=self.specification[0].name,
            )
        weight = next(self.parameters(), None)
        if weight is not None:
            return events.to(weight.dtype)
        return events if events.is_floating_point() else events.to(torch.get_default_dtype())


def build(description: Sequence[dict[str, Any]], input_shape: Sequence[int]) -> Network:
    """The network that the plain ``description`` states, freshly initialised, in smooth mode.

    Strict: an unknown kind or key, a missing key or a wrong type is a CompileError that names the
    layer.
    """
    if not isinstance(description, Sequence) or isinstance(description, (str, bytes)):
        raise CompileError(f"a network is a list of layers, not {type(description).__name__}")
    return Network([_layer(plain, at) for at, plain in enumerate(description)], input_shape)


def hard(network: Network) -> Network:
    """A deep copy of ``network`` that fires hard: only sigma -> Heaviside is swapped.

    Follow with ``.double()`` for float64: alpha and threshold are exact there, and float32 weights
    times spikes then add up with no ties made by rounding.
    """
    swapped = copy.deepcopy(network)
    for neuron in swapped.neurons().values():
        neuron.hard = True
    return swapped


def _layer(plain: object, at: int) -> AnyLayer:
    name = plain.get("name") if isinstance(plain, dict) else None
    where = name if isinstance(name, str) and name else f"layer {at}"
    try:
        layer: AnyLayer = msgspec.convert(plain, type=AnyLayer)
        return layer
    except (msgspec.ValidationError, RecursionError) as error:
        raise CompileError(
            str(error), where=where, hint="kinds: flatten, linear, lif, if"
        ) from None


def _module(layer: AnyLayer) -> nn.Module:
    match layer:
        case Flatten():
            return nn.Flatten(start_dim=2)
        case Linear(in_features=n_in, out_features=n_out, bias=bias):
            return nn.Linear(n_in, n_out, bias=bias)
        case Lif() | If():
            numbers = {k: v for k, v in msgspec.structs.asdict(layer).items() if k != "name"}
            try:
                return LIF(**numbers) if isinstance(layer, Lif) else IF(**numbers)
            except CompileError as error:
                raise CompileError(error.what, where=layer.name, hint=error.hint) from None


def _walk(layers: Sequence[AnyLayer], input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The output shape of the chain; raises CompileError where two layers do not fit."""
    if not layers:
        raise CompileError("a network has at least one layer")
    names = [layer.name for layer in layers]
    for name in names:
        if name in TAKEN or names.count(name) > 1:
            raise CompileError("the name is taken", where=name, hint="every layer has its own name")
    if not isinstance(layers[-1], (Lif, If)):
        raise CompileError(
            "the last layer emits no spikes", where=names[-1], hint="end with a lif or if layer"
        )
    return list(_shapes(layers, input_shape))[-1][1]


def _shapes(
    layers: Sequence[AnyLayer], shape: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for layer in layers:
        match layer:
            case Flatten():
                shape = (math.prod(shape),)
            case Linear() if shape != (layer.in_features,):
                raise CompileError(
                    f"takes {layer.in_features} inputs but is given shape {shape}",
                    where=layer.name,
                    hint="put a flatten layer before it" if len(shape) > 1 else None,
                )
            case Linear():
                shape = (layer.out_features,)
            case Lif() | If():
                pass
        yield layer.name, shape


def _checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = msgspec.convert(list(shape), type=list[Size])
    except (msgspec.ValidationError, TypeError) as error:
        raise CompileError(f"the input shape {shape!r} is no list of sizes: {error}") from None
    if not 1 <= len(sizes) <= MOST_AXES or math.prod(sizes) > MOST_INPUTS:
        raise CompileError(
            f"the input shape has {len(sizes)} axes, the first {sizes[:MOST_AXES]}; possible are "
            f"1 to {MOST_AXES} axes and {MOST_INPUTS} elements"
        )
    return tuple(sizes)
