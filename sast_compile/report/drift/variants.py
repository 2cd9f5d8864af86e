"""Programs of which one thing only is the chip's: what costs what.

Each is made of the float form F (`programs.py`) and the compiled program I of the same model.

- ``weights``: F with the weights ``w scale`` of I
- ``leaks``: `with_leaks` of F: the factors of the decay registers, no state being rounded
- ``thresholds``: F with the thresholds, biases and reset amounts of I's registers, as floats
- ``states``: integer states with I's rounding, clamps and scale, and every parameter *fine*:
  rounded to one step of v (weights, thresholds, biases, amounts) or to 2^-24 (leaks)

The last can be asked for some layers only; the others are then I's.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from msgspec.structs import replace
from typing_extensions import assert_never

from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import BitShift, Decay, Factor, Fire, MulShift, Param, Ref, State
from sast_compile.ir.ops import Neuron, Op, Projection
from sast_compile.ir.program import Program, check, used_consts
from sast_compile.ir.types import (
    Array,
    Const,
    Element,
    Float,
    TensorType,
    int_holding,
    scale_column,
)
from sast_compile.passes.feeders import Floats, by_row, feeders, numbers_of
from sast_compile.report.drift.programs import height, step_of_v

FINE_BITS = 24  # of a leak: beside 24 bits of state they fit the 62 of a back end


def only_weights(floats: Program, integers: Program) -> Program:
    """``floats`` with the weights that ``integers`` holds, times their scale."""
    consts = {}
    for node in floats.nodes:
        if isinstance(node.op, Projection):
            wanted = floats.consts[node.op.weight.name]
            consts[node.op.weight.name] = Const(wanted.type, weights(integers, node.name))
    return check(floats.with_ops({}, consts))


def weights(integers: Program, projection: str) -> Floats:
    """The weights of a projection in model units."""
    op = integers.by_name[projection].op
    assert isinstance(op, Projection)
    const = integers.consts[op.weight.name]
    return np.asarray(const.data * scale_column(const.type), dtype=np.float64)


def only_thresholds(floats: Program, integers: Program, leaking: Program) -> Program:
    """``floats`` with the thresholds, biases and reset amounts of ``integers`` in model units.

    What makes good a leak, which is not the chip's here, is taken out of the thresholds: by how
    much those of ``leaking`` (`with_leaks`) differ from those of ``floats``.

    The comparison is the chip's too, unless v is always a multiple of the threshold's unit: then
    the register stands for every threshold between two multiples, and the float one is kept.
    """
    made = _Made(floats)
    for name, before in floats.neurons.items():
        after, step = integers.neurons[name], step_of_v(integers, name)
        bias = numbers_of(integers, after.voltage.bias) * 2.0**after.voltage.bias_exponent
        voltage = replace(before.voltage, bias=made.param(name, "bias", bias * step))
        op = replace(before, voltage=voltage)
        if before.fire and after.fire and before.reset and after.reset:
            amount = made.param(name, "amount", numbers_of(integers, after.reset.amount) * step)
            op = replace(op, reset=replace(before.reset, amount=amount))
            if not on_multiples(integers, after, after.fire.unit):
                register = numbers_of(integers, after.fire.threshold) * after.fire.unit * step
                threshold = register * moved(floats, leaking, name)
                height = made.param(name, "threshold", threshold)
                op = replace(op, fire=Fire(compare=after.fire.compare, threshold=height))
        made.ops[name] = op
    return made.program()


def moved(floats: Program, leaking: Program, name: str) -> Floats:
    """The thresholds of a population before its leak was made good, over those behind it."""
    before, after = height(floats, name), height(leaking, name)
    assert before is not None
    assert after is not None
    return before / after


def on_multiples(program: Program, neuron: Neuron, unit: int) -> bool:
    """Whether v of an integer population is always a multiple of ``unit``."""
    gain = np.prod([numbers_of(program, state.gain) for state in neuron.states])
    bias = numbers_of(program, neuron.voltage.bias) * 2.0**neuron.voltage.bias_exponent
    taken = numbers_of(program, neuron.reset.amount) if neuron.reset else np.zeros(())
    forgets = all((factor(program, s.decay) == 0).all() for s in neuron.synapses)
    keeps = bool((factor(program, neuron.voltage.decay) == 1).all())
    return forgets and keeps and not (gain % unit or (bias % unit).any() or (taken % unit).any())


def factor(program: Program, decay: Decay | None) -> Floats:
    """What a decay keeps of a state in one step, before any rounding."""
    match decay:
        case None:
            return np.ones(())
        case Factor():
            return numbers_of(program, decay.alpha)
        case MulShift():
            return 1 - (numbers_of(program, decay.decay) + decay.offset) / 2.0**decay.bits
        case BitShift():
            return 1 - 2.0 ** -numbers_of(program, decay.dash)
    assert_never(decay)


def only_states(floats: Program, integers: Program) -> Program:
    """``integers`` with fine parameters everywhere."""
    return fine(floats, integers, integers.neurons)


def fine(floats: Program, integers: Program, layers: Iterable[str]) -> Program:
    """``integers`` with fine parameters in ``layers``, every state as wide and coarse as before.

    Unsupported where the chip's leak has no finer one: a shift.
    """
    made = _Made(integers)
    for name in layers:
        step = step_of_v(integers, name)
        for feeder in feeders(integers, name):
            made.weigh(feeder, _weight(floats, feeder), step)
        made.ops[name] = _fine_neuron(made, floats, name, step)
    return made.program()


def _weight(floats: Program, projection: str) -> Floats:
    op = floats.by_name[projection].op
    assert isinstance(op, Projection)
    return floats.consts[op.weight.name].data


def _fine_neuron(made: _Made, floats: Program, name: str, step: Floats) -> Neuron:
    before, after = floats.neurons[name], made.source.neurons[name]
    was = before.synapses or (FORGETS,)
    synapses = tuple(
        _fine_state(made, floats, (name, f"u{i}"), old, new)
        for i, (old, new) in enumerate(zip(was, after.synapses, strict=False))
    )
    voltage = _fine_state(made, floats, (name, "v"), before.voltage, after.voltage)
    bias = made.whole(name, "bias", numbers_of(floats, before.voltage.bias) / step)
    voltage = replace(voltage, bias=bias, bias_exponent=0)
    op = replace(after, synapses=synapses, voltage=voltage)
    if not (before.fire and before.reset and after.fire and after.reset):
        return op
    wanted = numbers_of(floats, before.fire.threshold) / step
    least = np.ceil(wanted) if before.fire.compare == ">=" else np.floor(wanted) + 1
    register = made.whole(name, "threshold", least - (after.fire.compare == ">"))
    fire = replace(after.fire, threshold=register, unit=1)
    if after.reset.kind == "zero":
        return replace(op, fire=fire)
    amount = np.maximum(np.rint(numbers_of(floats, before.reset.amount) / step), 1)
    return replace(
        op, fire=fire, reset=replace(after.reset, amount=made.whole(name, "amount", amount))
    )


FORGETS = State(decay=Factor(alpha=0.0))  # the current of a neuron without a synaptic state


def _fine_state(
    made: _Made, floats: Program, key: tuple[str, str], was: State, now: State
) -> State:
    """The state as the chip rounds and clamps it, driven in steps of v, with a fine leak."""
    name, what = key
    if now.decay is None:
        return replace(now, gain=1)
    if not isinstance(now.decay, MulShift):
        raise Unsupported("this leak has no finer one", where=name)
    lost = (1 - factor(floats, was.decay)) * 2.0**FINE_BITS
    decay = MulShift(
        decay=made.whole(name, f"{what}.decay", lost), bits=FINE_BITS, rounding=now.decay.rounding
    )
    return replace(now, gain=1, decay=decay)


class _Made:
    """A program in the making: ``source`` with some ops and constants of its own."""

    def __init__(self, source: Program) -> None:
        self.source = source
        self.ops: dict[str, Op] = {}
        self.consts: dict[str, Const] = {}

    def program(self) -> Program:
        return check(used_consts(self.source.with_ops(self.ops, self.consts)))

    def param(self, name: str, what: str, values: Floats) -> Param:
        """Floats as one number for the population ``name``, or as one for each of its neurons."""
        if (values == values.flat[0]).all():
            return float(values.flat[0])
        return self._each(name, what, Float(), values)

    def whole(self, name: str, what: str, values: Floats) -> Param:
        """The same of the whole numbers that are nearest."""
        rounded = np.rint(values).astype(np.int64)
        if (rounded == rounded.flat[0]).all():
            return int(rounded.flat[0])
        return self._each(name, what, int_holding(int(rounded.min()), int(rounded.max())), rounded)

    def weigh(self, feeder: str, wanted: Floats, step: Floats) -> None:
        """Gives a projection the weights ``wanted``, rounded to ``step``, and no exponent."""
        op = self.source.by_name[feeder].op
        assert isinstance(op, Projection)
        rows = by_row(self.source, feeder, step, "scale")
        whole = np.rint(wanted / rows).astype(np.int64)
        element = int_holding(int(whole.min()), int(whole.max()))
        scale = float(step) if step.size == 1 else tuple(rows.ravel().tolist())
        key = f"{feeder}.fine"
        self.consts[key] = Const(TensorType(wanted.shape, element, scale), whole)
        self.ops[feeder] = replace(op, weight=Ref(key), exponent=0)

    def _each(self, name: str, what: str, element: Element, values: Array) -> Ref:
        shape, key = self.source.neurons[name].shape, f"{name}.{what}.each"
        self.consts[key] = Const(TensorType(shape, element), np.broadcast_to(values, shape))
        return Ref(key)
