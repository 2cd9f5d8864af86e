"""Registers of a program replaced by values at the edges of the chip's, and layers that still fire.

Weights go through one map of values, so that what is one layer, zero or diagonal stays so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from fuzz.cases import Array, Batch, Generator
from sast_compile.backends.reference import run
from sast_compile.ir.neuron import Fire, MulShift, Param, Ref, Reset
from sast_compile.ir.ops import Input, Neuron, Op, Projection, lookup
from sast_compile.ir.program import Program, check
from sast_compile.ir.types import Const, Int, TensorType

HIGHEST = 131071
DECAYS = (0, 1, 2, 4094, 4095)
MANTISSAS = (-4096, -4095, -1, 0, 1, 4094, 4095)
ROUNDS = 6


def with_other_registers(program: Program, rng: Generator) -> Program:
    """``program`` with some of its registers replaced; a legal program."""
    consts = dict(program.consts)
    if rng.random() < 0.6:
        consts |= _other_weights(program, rng)
    ops: dict[str, Op] = {}
    if rng.random() < 0.5:
        ops |= _other_exponents(program, rng)
    for name, op in program.neurons.items():
        if rng.random() < 0.8:
            ops[name] = _other_neuron(op, consts, rng)
    if rng.random() < 0.25:
        ops |= _graded_inputs(program, rng)
    return check(program.with_ops(ops, consts))


def _other_weights(program: Program, rng: Generator) -> dict[str, Const]:
    """Every weight's values mapped to others that are not 0, many at the ends of the type."""
    maps: dict[Int, dict[int, int]] = {}
    found = {}
    for node in program.nodes:
        if not isinstance(node.op, Projection):
            continue
        const = lookup(node.op.weight, program.consts)
        element = const.type.element
        assert isinstance(element, Int)
        known = maps.setdefault(element, {0: 0})
        for value in np.unique(const.data).tolist():
            known.setdefault(value, _weight(value, element, rng))
        data = np.vectorize(known.__getitem__, otypes=[np.int64])(const.data)
        found[node.op.weight.name] = Const(const.type, data)
    return found


def _weight(value: int, element: Int, rng: Generator) -> int:
    if rng.random() < 0.5:
        return value
    ends = (element.low, element.high, element.low + 1, 1)
    return int(rng.choice([v for v in ends if v and element.low <= v <= element.high]))


def _other_exponents(program: Program, rng: Generator) -> dict[str, Op]:
    """All exponents moved by the same amount, up to an end of the chip's range for one of them."""
    ops = {n.name: n.op for n in program.nodes if isinstance(n.op, Projection)}
    ends = []
    for op in ops.values():
        element = lookup(op.weight, program.consts).type.element
        assert isinstance(element, Int)
        step = (9 if element.signed else 8) - element.bits
        ends.append((step - 8 - op.exponent, step + 7 - op.exponent))
    low, high = max(e[0] for e in ends), min(e[1] for e in ends)
    if low > high:
        return {}
    by = int(rng.choice([low, high, *range(max(low, -2), high + 1)]))
    return {name: replace(op, exponent=op.exponent + by) for name, op in ops.items()}


def _graded_inputs(program: Program, rng: Generator) -> dict[str, Op]:
    bits = int(rng.choice([2, 4, 8, 12]))
    return {
        n.name: replace(n.op, bits=bits, signed=bool(bits > 1 and rng.random() < 0.4))
        for n in program.nodes
        if isinstance(n.op, Input) and n.op.bits == 1
    }


def _other_neuron(op: Neuron, consts: dict[str, Const], rng: Generator) -> Neuron:
    """Other leaks, bias, threshold and, now and then, another reset."""
    draw = _Draw(op.shape, consts, rng)
    voltage = replace(
        op.voltage,
        decay=MulShift(decay=draw.param(DECAYS, (0, 4095))) if rng.random() < 0.8 else None,
    )
    if rng.random() < 0.5:
        exponents = [-7, -1, 0, 3, 7]
        voltage = replace(
            voltage,
            bias=draw.param(MANTISSAS, (-4096, 4095)),
            bias_exponent=int(rng.choice(exponents)),
        )
    synapses = op.synapses
    if synapses and rng.random() < 0.6:
        decay = MulShift(decay=draw.param(DECAYS, (0, 4095)), offset=1)
        synapses = (replace(synapses[0], decay=decay),)
    changed = replace(op, synapses=synapses, voltage=voltage)
    if op.fire is None:
        return changed
    threshold = draw.param((1, 2, HIGHEST - 1, HIGHEST), (1, 5000))
    changed = replace(changed, fire=replace(op.fire, threshold=threshold))
    return replace(changed, reset=_other_reset(changed, draw)) if rng.random() < 0.4 else changed


def _other_reset(op: Neuron, draw: _Draw) -> Reset:
    """Any reset of the IR; Loihi's own half of the time."""
    rng = draw.rng
    if rng.random() < 0.5:
        return Reset(kind="zero")
    when = str(rng.choice(["after_fire", "before_decay", "after_decay"]))
    if rng.random() < 0.3:
        return Reset(kind="zero", when=when)  # type: ignore[arg-type]
    amount = draw.param((1, 64, 1 << 16), (1, 1 << 20))
    return Reset(kind="subtract", when=when, amount=amount)  # type: ignore[arg-type]


class _Draw:
    """Numbers for all neurons, or one of each as a constant of the program."""

    def __init__(self, shape: tuple[int, ...], consts: dict[str, Const], rng: Generator) -> None:
        self.shape, self.consts, self.rng = shape, consts, rng

    def param(self, ends: tuple[int, ...], span: tuple[int, int]) -> Param:
        if self.rng.random() < 0.7:
            return int(self._values(ends, span, ()))
        return constant(self.consts, self._values(ends, span, self.shape))

    def _values(self, ends: tuple[int, ...], span: tuple[int, int], shape: Any) -> Array:
        inside = self.rng.integers(*span, shape, endpoint=True)
        return np.where(self.rng.random(shape) < 0.5, self.rng.choice(ends, shape), inside)


def constant(consts: dict[str, Const], data: Array) -> Ref:
    """A name for ``data`` among ``consts``."""
    name = f"own{len(consts)}"
    consts[name] = Const(TensorType(data.shape, Int(26)), data)
    return Ref(name)


def lively(program: Program, events: Batch, rng: Generator) -> Program:
    """``program`` with thresholds that some voltages pass and some do not, as far as that goes."""
    for _ in range(ROUNDS):
        trace = run(program, events, "states")
        ops: dict[str, Op] = {}
        for name, op in program.neurons.items():
            spikes = trace[name].spikes
            if op.fire is None or 0 < spikes.sum() < 0.8 * spikes.size:
                continue
            voltages = np.asarray(trace[name].states["v"])
            ops[name] = _within_reach(op, voltages, bool(spikes.any()), rng)
        ops = {name: op for name, op in ops.items() if op != program.neurons[name]}
        if not ops:
            break
        program = check(program.with_ops(ops))
    return program


def _within_reach(op: Neuron, voltages: Array, often: bool, rng: Generator) -> Neuron:
    """``op`` with another threshold; one number, for a register of each could be out of reach."""
    assert op.fire is not None
    if often and not isinstance(op.fire.threshold, Ref):
        threshold = min(3 * int(op.fire.threshold) + 1, HIGHEST)
        return _with_threshold(op, threshold, rng)
    reached = voltages[voltages > op.fire.unit]
    if not reached.size:
        return op
    threshold = int(np.quantile(reached, rng.uniform(0.3, 0.95))) // op.fire.unit
    if rng.random() < 0.5 and op.fire.unit > 1:  # a tie: v equal to the threshold
        whole = reached[reached % op.fire.unit == 0]
        threshold = int(rng.choice(whole)) // op.fire.unit if whole.size else threshold
    return _with_threshold(op, min(max(threshold, 1), HIGHEST), rng)


def _with_threshold(op: Neuron, threshold: int, rng: Generator) -> Neuron:
    assert op.fire is not None
    assert op.reset is not None
    fire: Fire = replace(op.fire, threshold=threshold)
    if op.reset.kind == "subtract" and rng.random() < 0.5:
        return replace(op, fire=fire, reset=replace(op.reset, amount=threshold * fire.unit))
    return replace(op, fire=fire)
