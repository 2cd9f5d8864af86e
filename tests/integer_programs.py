"""Float programs of NIR graphs as integer programs, without any pass: for the back ends' tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from sast_compile.ir.neuron import Clamp, Factor, Fire, MulShift, Param, Ref, Reset, State
from sast_compile.ir.ops import Neuron, Projection, lookup
from sast_compile.ir.program import Program, check
from sast_compile.ir.types import Const, Int, TensorType

UNIT = 32  # integers to one of the float model's units
V = Clamp(rule="saturate", low=-(2**15), high=2**15 - 1)
U = Clamp(rule="wrap", low=-(2**15), high=2**15 - 1)
ELEMENT = Int(18)


def integer(program: Program, weight_unit: int = UNIT) -> Program:
    """``program`` with weights, thresholds and biases rounded to 1 / ``UNIT``, decays to 12 bits.

    Equal floats become equal integers; gains of neurons are left out.
    """
    rounded = _Rounded(program)
    ops: dict[str, Any] = {}
    for node in program.nodes:
        if isinstance(node.op, Projection):
            ops[node.name] = rounded.projection(node.op, weight_unit)
        elif isinstance(node.op, Neuron):
            ops[node.name] = rounded.neuron(node.op)
    return check(program.with_ops(ops, rounded.consts))


class _Rounded:
    def __init__(self, program: Program) -> None:
        self.given, self.consts = program.consts, dict[str, Const]()

    def projection(self, op: Any, unit: int) -> Any:
        data = np.rint(lookup(op.weight, self.given).data * unit)
        name = f"{op.weight.name}.int"
        even = not (data % 2).any() and bool(data.any())
        self.consts[name] = _ints(data / 2, 2.0) if even else _ints(data)
        return replace(op, weight=Ref(name), exponent=int(even))

    def neuron(self, op: Neuron) -> Neuron:
        fire, reset = op.fire, op.reset
        if fire is not None and reset is not None:
            height = self.param(fire.threshold, UNIT)
            amount = self.param(reset.amount, UNIT) if reset.kind == "subtract" else 0
            fire = Fire(compare=fire.compare, threshold=height)
            reset = Reset(kind=reset.kind, when=reset.when, amount=amount)
        return replace(
            op,
            synapses=tuple(self.state(s, U) for s in op.synapses),
            voltage=self.state(op.voltage, V),
            fire=fire,
            reset=reset,
        )

    def state(self, state: State, clamp: Clamp) -> State:
        assert isinstance(state.decay, Factor)
        decay = self.param(state.decay.alpha, 4096, start=4096)
        return State(decay=MulShift(decay=decay), bias=self.param(state.bias, UNIT), clamp=clamp)

    def param(self, given: Param, unit: int, start: int = 0) -> Param:
        """``unit given``, or ``start - unit given``, rounded."""
        data = lookup(given, self.given).data if isinstance(given, Ref) else np.asarray(given)
        whole = np.rint(abs(start - unit * data) if start else unit * data)
        if not isinstance(given, Ref):
            return int(whole)
        name = f"{given.name}.int{unit}"
        self.consts[name] = _ints(whole)
        return Ref(name)


def _ints(data: Any, scale: float = 1.0) -> Const:
    return Const(TensorType(np.shape(data), ELEMENT, scale), data)
