"""``sast-compile bounds``: what a network cannot exceed, from its parameters alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sast_compile.cli.console import output, print_json, table
from sast_compile.errors import BadFile
from sast_compile.frontend.source import Source, read_source

if TYPE_CHECKING:
    from sast_compile.bounds.network import Horizon, LayerBounds
    from sast_compile.bounds.neuron import Range

HIGHEST = {"binary": 1.0, "counts": 255.0}  # an event tensor is one byte an element


@dataclass(frozen=True)
class _Found:
    """The bounds of one file, and for which inputs they hold."""

    steps: int | None
    highest: float
    layers: tuple[LayerBounds, ...]


def bounds_(
    model: Annotated[str, typer.Argument(help="A .pt checkpoint.")],
    highest: Annotated[
        float | None,
        typer.Option("--highest-input", min=0, help="Of one input in one step; binary events: 1."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print how far membranes and the effect of an input can go, layer by layer; runs no data.

    Contraction factor, input-Lipschitz bound, the membrane's range and the register that holds it,
    for ever and over one sample. docs/bounds.md derives them.
    """
    found = _bounds(read_source(model), highest)
    if as_json:
        print_json(_document(found))
    else:
        _print(found)


def _bounds(source: Source, highest: float | None) -> _Found:
    if source.network is None:
        raise BadFile(
            "holds no surrogate network", where=source.path, hint="name its .pt checkpoint"
        )
    from sast_compile.bounds.network import network_bounds  # torch is there: a .pt was read

    encoding = source.contract.encoding
    steps = encoding.steps if encoding else None
    if highest is None:
        highest = HIGHEST[encoding.values] if encoding else 1.0
    return _Found(steps, highest, network_bounds(source.network, steps, highest))


def _document(found: _Found) -> dict[str, Any]:
    from sast_compile.bounds.network import total

    return {
        "steps": found.steps,
        "highest_input": found.highest,
        "layers": [_layer(layer) for layer in found.layers],
        "network": [
            {"steps": t.steps, "spikes": _finite(t.spikes), "sums": _finite(t.sums)}
            for t in total(found.layers)
        ],
    }


def _layer(layer: LayerBounds) -> dict[str, Any]:
    return {
        "layer": layer.layer,
        "contraction": layer.contraction,
        "norm": layer.norm,
        "recurrent_norm": layer.recurrent,
        "horizons": [_horizon(horizon) for horizon in layer.horizons],
    }


def _horizon(horizon: Horizon) -> dict[str, Any]:
    return {
        "steps": horizon.steps,
        "lipschitz": _finite(horizon.lipschitz),
        "membrane_surrogate": [_finite(end) for end in _ends(horizon.smooth)],
        "membrane_hard": [_finite(end) for end in _ends(horizon.hard)],
        "membrane_bits": {
            str(bits): {"safe": register.safe, "least": register.least}
            for bits, register in horizon.registers.items()
        },
    }


def _ends(range_: Range) -> tuple[float, float]:
    return float(range_.low.min()), float(range_.high.max())


def _finite(value: float) -> float | None:
    """JSON knows no infinity: null is "none"."""
    return value if math.isfinite(value) else None


def _print(found: _Found) -> None:
    from sast_compile.bounds.network import total

    rows = table("parameters", "layer", ">contraction", ">norm of W", ">norm of R")
    for layer in found.layers:
        loop = "" if layer.recurrent is None else f"{layer.recurrent:.3g}"
        contracts = "" if layer.contraction < 1 else " (does not contract)"
        rows.add_row(layer.layer, f"{layer.contraction:.4f}{contracts}", f"{layer.norm:.3g}", loop)
    output.print(rows)
    for at, whole in enumerate(total(found.layers)):
        span = "for ever" if whole.steps is None else f"over {whole.steps} steps from rest"
        widths = tuple(found.layers[0].horizons[at].registers)
        bits = [f">int{b} register: safe (least)" for b in widths]
        rows = table(
            f"{span}, inputs in [0, {found.highest:g}]",
            "layer", ">input-Lipschitz", ">membrane, surrogate", ">membrane, hard", *bits,
        )  # fmt: skip
        for layer in found.layers:
            rows.add_row(layer.layer, *_cells(layer.horizons[at], widths))
        output.print(rows)
        counts = "" if whole.steps is None else f"; summed over time {_shown(whole.sums)}"
        output.print(f"network: input-Lipschitz {_shown(whole.spikes)}{counts}")


def _cells(horizon: Horizon, widths: tuple[int, ...]) -> list[str]:
    ranges = (_ends(horizon.smooth), _ends(horizon.hard))
    registers = [horizon.registers[bits] for bits in widths if bits in horizon.registers]
    return [
        _shown(horizon.lipschitz),
        *(f"{_shown(low)} .. {_shown(high)}" for low, high in ranges),
        *(f"{register.safe or 'none'} ({register.least})" for register in registers),
    ]


def _shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "none"
