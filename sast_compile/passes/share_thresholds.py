"""Thresholds that differ between neurons, where a population of the chip has one register for all.

Two ways are exact before the weights are rounded. *Split*: neurons of equal threshold are a
population of their own; nothing is lost, and each part needs registers of its own. *Fold*: the rows
of the weights times ``theta_0 / theta_i``, after which all thresholds are theta_0; rows then differ
more, and the common scale of the integers leaves the small ones fewer bits:

    lost bits = log2(max_i m_i) - mean_i log2(m_i),   m_i = max_j |W_ij| / theta_i

beside the same with ``m_i = max_j |W_ij|``. Folding is taken where it costs no bits.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Param, Ref
from sast_compile.ir.ops import Conv2d, Neuron, Op, Projection
from sast_compile.ir.program import Program, used_consts
from sast_compile.ir.types import Const
from sast_compile.passes.feeders import Floats, by_row, feeders
from sast_compile.passes.fold_scales import scaled
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import Target


def share_thresholds(program: Program, target: Target, options: Options) -> Lowered:
    """Thresholds per neuron are folded where that costs no bits; the others stay, to be split.

    A chip that holds a threshold for each neuron keeps them all.
    """
    ops: dict[str, Op] = {}
    consts: dict[str, Const] = {}
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        if not neuron.is_float or neuron.fire is None or not isinstance(neuron.fire.threshold, Ref):
            continue
        threshold = program.consts[neuron.fire.threshold.name].data
        parts = len(np.unique(threshold))
        if target.neurons.scope == "neuron":
            notes.append(Note(name, f"{parts} thresholds, each neuron holds its own"))
            continue
        cost = _cost(program, name, threshold)
        split = cost is None or cost > 0
        priced = "cannot be folded" if cost is None else f"folding costs {cost:.2f} bits"
        notes.append(
            Note(
                name,
                f"{parts} thresholds, {priced}: {'split' if split else 'folded'}",
                {"parts": parts} if cost is None else {"parts": parts, "bits": cost},
            )
        )
        if not split:
            base = common_threshold(threshold)
            consts |= dict(scaled(program, name, base / threshold, "threshold"))
            ops[name] = _with_threshold(program, name, neuron, base, threshold, consts)
    return Lowered(used_consts(program.with_ops(ops, consts)), tuple(notes))


def common_threshold(threshold: Floats) -> float:
    """The one that all neurons have when theirs are folded: the geometric mean."""
    return float(np.exp(np.log(threshold).mean()))


def _cost(program: Program, name: str, threshold: Floats) -> float | None:
    """The bits that folding costs; None where it is impossible."""
    try:
        rows = [
            _largest(program, feeder, by_row(program, feeder, 1 / threshold, "threshold"))
            for feeder in feeders(program, name)
        ]
    except Unsupported:
        return None
    before = np.max([plain for plain, _ in rows], axis=0)
    after = np.max([folded for _, folded in rows], axis=0)
    return _spread(after) - _spread(before)


def _largest(program: Program, feeder: str, factor: Floats) -> tuple[Floats, Floats]:
    """The largest weight of every row, as it is and times ``factor``; per neuron of a channel."""
    op = program.by_name[feeder].op
    assert isinstance(op, Projection)
    weight = np.abs(program.consts[op.weight.name].data)
    plain = weight.reshape(len(weight), -1).max(axis=1)
    folded = (weight * factor).reshape(len(weight), -1).max(axis=1)
    if isinstance(op, Conv2d):
        pixels = program.types[feeder].size // len(weight)
        plain, folded = np.repeat(plain, pixels), np.repeat(folded, pixels)
    return plain, folded


def _spread(rows: Floats) -> float:
    some = rows[rows > 0]
    return float(np.log2(some.max()) - np.log2(some).mean()) if some.size else 0.0


def _with_threshold(
    program: Program, name: str, neuron: Neuron, base: float, was: Floats, consts: dict[str, Const]
) -> Neuron:
    """The population with the threshold ``base``; what else counts in v is scaled with it."""
    factor = base / was
    assert neuron.fire is not None
    assert neuron.reset is not None
    assert isinstance(neuron.fire.threshold, Ref)
    type_ = program.consts[neuron.fire.threshold.name].type

    def rescaled(what: str, param: Param) -> Param:
        data = program.consts[param.name].data if isinstance(param, Ref) else param
        values = np.broadcast_to(data * factor, was.shape)
        if np.allclose(values, values.flat[0], rtol=1e-12, atol=0):
            return float(values.flat[0])
        key = f"{name}.{what}"
        consts[key] = Const(type_, values)
        return Ref(key)

    fire = replace(neuron.fire, threshold=base)
    reset = replace(neuron.reset, amount=rescaled("amount", neuron.reset.amount))
    voltage = replace(neuron.voltage, bias=rescaled("bias", neuron.voltage.bias))
    return replace(neuron, fire=fire, reset=reset, voltage=voltage)
