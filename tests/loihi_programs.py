"""Programs of Loihi's neurons for tests: hand-written chains and random ones, every layer active.

The composition is written out here on its own, from semantics.md: a back end is not tested against
itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_compile.backends.reference import run
from sast_compile.ir.neuron import Clamp, Fire, MulShift, Ref, Reset, State
from sast_compile.ir.ops import Add, Dense, Input, Neuron
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType, int_holding

LIMIT = 1 << 23
MAX_VTH = 131071
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LoihiLayer:
    """One dense projection and its population; weights (outputs, inputs) are small integers."""

    weights: Array
    bits: int = 8
    signed: bool = True
    exponent: int = 1  # the whole left shift of the small integers
    du: int = 4095
    dv: int = 0
    vth: int = 1
    bias: int | Array = 0
    bias_exponent: int = 0
    recurrent: Array | None = None  # (outputs, outputs), of the same element and exponent


def loihi_neuron(
    size: int,
    *,
    start: int = 1,
    du: int = 4095,
    dv: int = 0,
    vth: int = 1,
    bias: int | Ref = 0,
    bias_exponent: int = 0,
) -> Neuron:
    """Loihi's neuron as Lava's fixed-point LIF computes it."""
    return Neuron(
        shape=(size,),
        synapses=(
            State(
                decay=MulShift(decay=du, offset=1),
                gain=64,
                clamp=Clamp(rule="wrap_once", low=1 - LIMIT, high=LIMIT),
            ),
        ),
        voltage=State(
            decay=MulShift(decay=dv) if dv else None,
            bias=bias,
            bias_exponent=bias_exponent,
            clamp=Clamp(rule="saturate", low=1 - LIMIT, high=LIMIT - 1),
        ),
        fire=Fire(compare=">", threshold=vth, unit=64),
        reset=Reset(kind="zero"),
        start=start,
    )


def chain(
    name: str,
    layers: Sequence[LoihiLayer],
    *,
    input_shape: tuple[int, ...] | None = None,
    input_bits: int = 1,
    input_signed: bool = False,
) -> Program:
    """A program of ``layers`` one behind the other: x, then a1, s1, a2, s2 .."""
    shape = input_shape or (layers[0].weights.shape[1],)
    nodes = [Node("x", Input(shape=shape, bits=input_bits, signed=input_signed))]
    consts: dict[str, Const] = {}
    for number, layer in enumerate(layers, 1):
        source = nodes[-1].name
        nodes += _layer_nodes(number, layer, source, consts)
    return check(Program(name, tuple(nodes), (nodes[-1].name,), consts))


def _layer_nodes(
    number: int, layer: LoihiLayer, source: str, consts: dict[str, Const]
) -> list[Node]:
    element = Int(layer.bits, layer.signed)
    weight, bias = f"w{number}", layer.bias
    consts[weight] = Const(TensorType(layer.weights.shape, element), layer.weights)
    nodes = [
        Node(
            f"a{number}",
            Dense(weight=Ref(weight), exponent=layer.exponent),
            (Edge(source, 1),),
        )
    ]
    if layer.recurrent is not None:
        consts[f"r{number}"] = Const(TensorType(layer.recurrent.shape, element), layer.recurrent)
        back = Dense(weight=Ref(f"r{number}"), exponent=layer.exponent)
        nodes.append(Node(f"b{number}", back, (Edge(f"s{number}", 1),)))
        nodes.append(Node(f"c{number}", Add(), (Edge(f"a{number}"), Edge(f"b{number}"))))
    if not isinstance(bias, int):
        kind = int_holding(int(bias.min()), int(bias.max()))
        consts[f"bias{number}"] = Const(TensorType(bias.shape, kind), bias)
        bias = Ref(f"bias{number}")
    neuron = loihi_neuron(
        len(layer.weights),
        start=number,
        du=layer.du,
        dv=layer.dv,
        vth=layer.vth,
        bias=bias,
        bias_exponent=layer.bias_exponent,
    )
    return [*nodes, Node(f"s{number}", neuron, (Edge(nodes[-1].name),))]


def random_chain(
    seed: int,
    *,
    steps: int = 12,
    samples: int = 3,
    recurrent: bool = False,
    input_bits: int = 1,
) -> tuple[Program, Array]:
    """A program of one to three random layers, and events that make every layer spike."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(3, 10, rng.integers(2, 5))]
    events = rng.random((samples, steps, sizes[0])) < rng.uniform(0.2, 0.7)
    events = events * rng.integers(1, 1 << input_bits, events.shape)
    layers: list[LoihiLayer] = []
    for inputs, outputs in itertools.pairwise(sizes):
        highest = 1 if layers else (1 << input_bits) - 1
        layer = _random_layer(rng, outputs, inputs, recurrent, highest)
        layers.append(_with_threshold(rng, layers, layer, events, input_bits))
    return chain(f"random{seed}", layers, input_bits=input_bits), events


def _random_layer(
    rng: np.random.Generator, outputs: int, inputs: int, recurrent: bool, highest: int
) -> LoihiLayer:
    bits, signed = int(rng.integers(1, 9)), bool(rng.random() < 0.7)
    element = Int(bits, signed)
    weights = rng.integers(element.low, element.high, (outputs, inputs), endpoint=True)
    back = rng.integers(element.low, element.high, (outputs, outputs), endpoint=True)
    step = (9 if signed else 8) - bits
    worst = int((abs(weights).sum(1) * highest + recurrent * abs(back).sum(1)).max()) << step
    room = max(e for e in range(8) if max(worst, 1) << e < 1 << 17)
    per_neuron = rng.random() < 0.5
    return LoihiLayer(
        weights,
        bits=bits,
        signed=signed,
        exponent=step + int(rng.integers(0, room + 1)),
        du=int(rng.choice([4095, 4095, 0, 1, rng.integers(2, 4095)])),
        dv=int(rng.choice([0, 0, 4095, 1, rng.integers(2, 4095)])),
        bias=rng.integers(-4096, 4096, outputs) if per_neuron else int(rng.integers(-64, 4096)),
        bias_exponent=int(rng.integers(0, 8)),
        recurrent=back if recurrent else None,
    )


def _with_threshold(
    rng: np.random.Generator,
    before: list[LoihiLayer],
    layer: LoihiLayer,
    events: Array,
    input_bits: int,
) -> LoihiLayer:
    """``layer`` with a threshold that some of its voltages pass; made more lively if none would."""
    for lively in (layer, _more_biased(layer), _excited(layer)):
        silent = replace(lively, vth=MAX_VTH)
        trace = run(chain("probe", [*before, silent], input_bits=input_bits), events, "states")
        voltages = np.asarray(trace[f"s{len(before) + 1}"].states["v"])
        reached = voltages[voltages > 64]
        if reached.size >= voltages.size // 20:
            break
    vth = (int(np.quantile(reached, rng.uniform(0.1, 0.8))) - 1) // 64  # below a reached v
    return replace(lively, vth=min(vth, MAX_VTH - 1))


def _more_biased(layer: LoihiLayer) -> LoihiLayer:
    return replace(layer, bias=4095, bias_exponent=min(7, layer.bias_exponent + 1))


def _excited(layer: LoihiLayer) -> LoihiLayer:
    """No negative weight, and no synaptic current, which would wrap."""
    high = Int(layer.bits, layer.signed).high
    back = None if layer.recurrent is None else np.minimum(abs(layer.recurrent), high)
    weights = np.minimum(abs(layer.weights), high)
    return replace(_more_biased(layer), weights=weights, recurrent=back, du=4095)
