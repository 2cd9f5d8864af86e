"""No wire ever leaves its derived type, and no state its register, whatever the input is."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from program_strategies import FAMILIES, events, programs

from sast_compile.backends.reference import run
from sast_compile.backends.reference.interpreter import _Machine
from sast_compile.ir.events import Events
from sast_compile.ir.ops import Neuron
from sast_compile.ir.program import Program
from sast_compile.ir.types import Int, TensorType

STEPS = 6
examples = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def check_wire(name: str, type_: TensorType, value: np.ndarray) -> None:
    assert value.shape[1:] == type_.shape, name
    if isinstance(type_.element, Int):
        assert value.dtype.kind == "i", name
        assert type_.element.low <= value.min(), name
        assert value.max() <= type_.element.high, name
    else:
        assert value.dtype.kind == "f", name
        assert np.isfinite(value).all(), name


def check_states(name: str, op: Neuron, states: dict[str, np.ndarray]) -> None:
    for state_name, state in op.named_states():
        clamp, value = state.clamp, states[state_name]
        assert value.dtype.kind == ("f" if clamp is None else "i"), name
        # one wrap brings back what is less than a span outside; more is not Loihi's to hold
        if clamp is not None and clamp.rule != "wrap_once":
            assert clamp.low <= value.min(), (name, state_name)
            assert value.max() <= clamp.high, (name, state_name)


def test_no_wire_leaves_its_type() -> None:
    seen = Counter[str]()

    @examples
    @given(st.data())
    def law(data: st.DataObject) -> None:
        program = data.draw(programs())
        batch = data.draw(events(program, steps=STEPS))
        if data.draw(st.booleans()):
            program = with_ties(program, batch)
        machine = _Machine(program, batch, samples=2)
        for _ in range(STEPS + 3):
            machine.step()
            for name, type_ in program.types.items():
                check_wire(name, type_, machine.now[name])
            for name, op in program.neurons.items():
                check_states(name, op, machine.states[name])
        count(seen, machine)

    law()
    # the law says something only if the nets did something
    for what in ("spikes", "ties", "negatives", "clamped", "several spikes", "active nets"):
        assert seen[what] > 0, (what, seen)
    assert seen["active nets"] > 60


def with_ties(program: Program, batch: Events) -> Program:
    """Each threshold that is one number at the highest voltage of a neuron that never fired.

    What Hypothesis draws depends on the modules that happen to be imported (it collects their
    numbers), so that ties cannot be left to chance.
    """
    trace, changed = run(program, batch, "states"), dict[str, Neuron]()
    for name, op in program.neurons.items():
        if op.fire is None or not isinstance(op.fire.threshold, int):
            continue
        layer, over = trace[name], (0, 1)
        silent = ~layer.spikes.any(axis=over)
        for value in layer.states["v"].max(axis=over)[silent]:
            if value > 0 and value % op.fire.unit == 0:
                fire = replace(op.fire, threshold=int(value) // op.fire.unit)
                changed[name] = replace(op, fire=fire)
    return program.with_ops(changed)


def count(seen: Counter[str], machine: _Machine) -> None:
    for tally in machine.tallies.values():
        seen["spikes"] += tally.spikes
        seen["ties"] += tally.ties
        seen["negatives"] += tally.negatives
        seen["clamped"] += sum(tally.clamped.values())
    seen["several spikes"] += any((machine.now[n] > 1).any() for n in machine.program.neurons)
    seen["active nets"] += all(t.spikes or t.negatives for t in machine.tallies.values())


@settings(examples, max_examples=80)
@given(st.data())
def test_a_record_is_what_the_wires_carried(data: st.DataObject) -> None:
    """Column k of a layer is its step start + k, in a record wide enough for it."""
    program = data.draw(programs())
    batch = data.draw(events(program, steps=STEPS))
    trace = run(program, batch, "states")
    machine = _Machine(program, batch, samples=2)
    for step in range(STEPS + max(program.start_of(name) for name in trace.layers)):
        machine.step()
        for name, layer in trace.layers.items():
            column = step - program.start_of(name)
            if 0 <= column < STEPS:
                assert np.array_equal(layer.spikes[:, column], machine.now[name])
                for state, record in layer.states.items():
                    assert np.array_equal(record[:, column], machine.states[name][state])


@settings(examples, max_examples=50)
@given(st.data())
def test_samples_do_not_touch_each_other(data: st.DataObject) -> None:
    program = data.draw(programs())
    batch = data.draw(events(program, samples=3, steps=STEPS))
    together = run(program, batch, "states")
    alone = run(program, {name: rows[1:2] for name, rows in batch.items()}, "states")
    for name, layer in alone.layers.items():
        for one, all_ in zip(records(layer), records(together[name]), strict=True):
            # sums of floats may be ordered differently in a larger batch
            same = np.allclose if one.dtype.kind == "f" else np.array_equal
            assert same(one[0], all_[1]), name


def records(layer: object) -> list[np.ndarray]:
    return [layer.spikes, *layer.states.values()]  # type: ignore[attr-defined]


def test_every_family_is_drawn() -> None:
    seen = Counter[str]()

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(programs())
    def law(program: Program) -> None:
        loops = {e.node for n in program.nodes for e in n.inputs if e.node == n.name.split(".")[0]}
        seen["loops"] += len(loops)
        seen["skips"] += any(n.name.endswith("sum0") for n in program.nodes)
        seen["delays"] += any(e.delay for n in program.nodes for e in n.inputs)
        seen["constants per neuron"] += any(len(c.type.shape) == 1 for c in program.consts.values())
        seen["populations"] += len(program.neurons)

    law()
    assert all(seen[what] > 5 for what in ("loops", "skips", "delays", "constants per neuron"))
    assert seen["populations"] > len(FAMILIES) * 5
