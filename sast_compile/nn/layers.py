"""The plain description of a network as records: each layer, and the shapes between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, TypeAlias

import msgspec

from sast_compile.contract import Compare, ResetKind, ResetWhen
from sast_compile.errors import CompileError
from sast_compile.nn.surrogates import SurrogateName

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


class Conv2d(Layer, frozen=True, kw_only=True, tag="conv2d"):
    """Cross-correlation of every step's picture, (C, H, W) to (C', H', W'), as torch's."""

    in_channels: Size
    out_channels: Size
    kernel_size: Size
    stride: Size = 1
    padding: Annotated[int, msgspec.Meta(ge=0, le=2**10)] = 0
    bias: bool = False


class Spiking(Layer, frozen=True, kw_only=True):
    """What every population states; ``recurrent``: it also hears itself, one step later."""

    threshold: float
    reset: ResetKind
    reset_when: ResetWhen
    compare: Compare = ">="
    surrogate: SurrogateName = "sigmoid"
    slope: float = 5.0
    recurrent: bool = False


class If(Spiking, frozen=True, kw_only=True, tag="if"):
    """:class:`sast_compile.nn.neurons.IF`."""


class Lif(Spiking, frozen=True, kw_only=True, tag="lif"):
    """:class:`sast_compile.nn.neurons.LIF`."""

    alpha: float


class CubaLif(Spiking, frozen=True, kw_only=True, tag="cuba_lif"):
    """:class:`sast_compile.nn.neurons.CubaLIF`."""

    alpha: float
    beta: float


class Li(Layer, frozen=True, kw_only=True, tag="li"):
    """:class:`sast_compile.nn.neurons.LI`, the last layer only."""

    alpha: float


AnyLayer: TypeAlias = Flatten | Linear | Conv2d | Lif | If | CubaLif | Li
KINDS = "flatten, linear, conv2d, lif, if, cuba_lif, li"


def recurrent_name(name: str) -> str:
    """The layer that carries the spikes of ``name`` back to it."""
    return f"{name}_rec"


def read_layer(plain: object, at: int) -> AnyLayer:
    """The record of ``plain``, layer number ``at``; CompileError naming the layer."""
    name = plain.get("name") if isinstance(plain, dict) else None
    where = name if isinstance(name, str) and name else f"layer {at}"
    try:
        layer: AnyLayer = msgspec.convert(plain, type=AnyLayer)
        return layer
    except (msgspec.ValidationError, RecursionError) as error:
        raise CompileError(str(error), where=where, hint=f"kinds: {KINDS}") from None


def checked_chain(layers: Sequence[AnyLayer], input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The output shape of the chain; raises CompileError where two layers do not fit."""
    if not layers:
        raise CompileError("a network has at least one layer")
    names = [layer.name for layer in layers]
    names += [recurrent_name(x.name) for x in layers if isinstance(x, Spiking) and x.recurrent]
    for name in names:
        if name in TAKEN or names.count(name) > 1:
            raise CompileError("the name is taken", where=name, hint="every layer has its own name")
    if not isinstance(layers[-1], (Spiking, Li)):
        raise CompileError(
            "the last layer emits no spikes",
            where=layers[-1].name,
            hint="end with a lif or if layer",
        )
    for layer in layers[:-1]:
        if isinstance(layer, Li):
            raise CompileError(
                "a leaky readout emits no spikes", where=layer.name, hint="it is the last layer"
            )
    if not any(isinstance(layer, Spiking) for layer in layers):
        raise CompileError("no layer emits spikes", where=layers[-1].name, hint="add a lif layer")
    return list(shapes_after(layers, input_shape))[-1][1]


def shapes_after(
    layers: Sequence[AnyLayer], shape: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every layer's name and the shape of one step after it; CompileError where two do not fit."""
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
            case Conv2d():
                shape = _convolved(layer, shape)
            case Lif() | If() | CubaLif() if layer.recurrent and len(shape) > 1:
                raise CompileError(
                    f"hears itself, but has the shape {shape}",
                    where=layer.name,
                    hint="put a flatten layer before it",
                )
            case _:
                pass
        yield layer.name, shape


def _convolved(layer: Conv2d, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3 or shape[0] != layer.in_channels:
        raise CompileError(
            f"takes pictures of {layer.in_channels} channels but is given shape {shape}",
            where=layer.name,
        )
    rows, columns = (
        (n + 2 * layer.padding - layer.kernel_size) // layer.stride + 1 for n in shape[1:]
    )
    if rows < 1 or columns < 1:
        raise CompileError(
            f"a kernel of {layer.kernel_size} is larger than the padded picture of {shape}",
            where=layer.name,
        )
    return layer.out_channels, rows, columns


def checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The input shape, if it is one."""
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
