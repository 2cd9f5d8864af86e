"""Float programs for tests of the passes: chains of dense projections and leaky populations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.contract import Compare, ResetKind, ResetWhen
from sast_compile.ir.neuron import Factor, Fire, Param, Ref, Reset, State
from sast_compile.ir.ops import Dense, Input, Neuron
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Float, TensorType
from sast_compile.passes import PASSES, Lowered, Options, Rounding
from sast_compile.target import Target, load_target

Array: TypeAlias = npt.NDArray[Any]
LOIHI2 = load_target("loihi2")


@dataclass(frozen=True)
class FloatLayer:
    """``v <- alpha v + gain W x + bias``; weights are (outputs, inputs), arrays are per neuron."""

    weights: npt.ArrayLike
    alpha: float | Array = 1.0
    threshold: float | Array = 1.0
    bias: float | Array = 0.0
    gain: float | Array = 1.0
    compare: Compare = ">="
    reset: ResetKind = "zero"
    when: ResetWhen = "before_decay"


def floats(data: npt.ArrayLike) -> Const:
    array = np.asarray(data, dtype=np.float64)
    return Const(TensorType(array.shape, Float()), array)


def float_neuron(name: str, layer: FloatLayer, consts: dict[str, Const]) -> Neuron:
    """The population of ``layer``; arrays become constants called ``name.what``."""

    def param(what: str, value: float | Array) -> Param:
        if not isinstance(value, np.ndarray):
            return value
        consts[f"{name}.{what}"] = floats(value)
        return Ref(f"{name}.{what}")

    threshold = param("threshold", layer.threshold)
    return Neuron(
        shape=(len(np.asarray(layer.weights)),),
        voltage=State(
            decay=Factor(alpha=param("alpha", layer.alpha)),
            gain=param("gain", layer.gain),
            bias=param("bias", layer.bias),
        ),
        fire=Fire(compare=layer.compare, threshold=threshold),
        reset=Reset(
            kind=layer.reset,
            when=layer.when,
            amount=threshold if layer.reset == "subtract" else 0,
        ),
    )


def float_chain(*layers: FloatLayer, input_bits: int = 1) -> Program:
    """x -> fc1 -> lif1 -> fc2 -> lif2 .."""
    inputs = np.asarray(layers[0].weights).shape[1]
    nodes = [Node("x", Input(shape=(inputs,), bits=input_bits))]
    consts: dict[str, Const] = {}
    for number, layer in enumerate(layers, 1):
        consts[f"fc{number}.weight"] = floats(layer.weights)
        dense = Dense(weight=Ref(f"fc{number}.weight"))
        nodes.append(Node(f"fc{number}", dense, (Edge(nodes[-1].name),)))
        neuron = float_neuron(f"lif{number}", layer, consts)
        nodes.append(Node(f"lif{number}", neuron, (Edge(nodes[-1].name),)))
    return check(Program("net", tuple(nodes), (nodes[-1].name,), consts))


def lowered(
    program: Program,
    passes: Sequence[str],
    *,
    bits: int = 8,
    steps: int | None = None,
    target: Target = LOIHI2,
    rounding: Rounding = "membrane",
) -> Lowered:
    """The program after ``passes``, legal after each, with the notes of the last one."""
    result = Lowered(program)
    for name in passes:
        result = PASSES[name](result.program, target, Options(bits, steps, rounding=rounding))
        check(result.program)
    return result


def until(name: str, target: Target = LOIHI2) -> tuple[str, ...]:
    """The names of the target's passes up to and with ``name``."""
    return target.passes[: target.passes.index(name) + 1]


def weights_of(program: Program, dense: str) -> Const:
    """The weight constant of the projection called ``dense``."""
    op = program.by_name[dense].op
    assert isinstance(op, Dense)
    return program.consts[op.weight.name]


def events(shape: tuple[int, ...], density: float = 0.4, seed: int = 0) -> Array:
    """Bernoulli events (samples, steps, *input shape)."""
    return (np.random.default_rng(seed).random(shape) < density).astype(np.uint8)
