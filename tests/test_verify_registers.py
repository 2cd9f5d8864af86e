"""Verification finds every register, weight and delay that is not what it should be."""

from __future__ import annotations

from functools import cache

import pytest

pytest.importorskip("torch", reason="the torch integer model: the torch extra")
pytest.importorskip("sklearn", reason="the digits: the data extra")

from digits_verified import LAYERS, NETS, PLACES, place
from register_mutations import (
    DENSE,
    ELEMENTS,
    NEURON,
    TABLE,
    Mutation,
    leaves,
)

from sast_compile.backends import reference
from sast_compile.compare import Compared, compare_traces
from sast_compile.errors import (
    TypeMismatch,
)
from sast_compile.ir.program import Program, check
from sast_compile.levels import integer_trace
from sast_compile.trace import Trace


@cache
def integers(net: str) -> Trace:
    """L2 of the net as it was compiled: what a device is compared with."""
    given = NETS[net]()
    return integer_trace(given.source, given.program, given.events)


# ---- mutations


def compared(net: str, mutant: Program) -> list[Compared]:
    """A device that runs ``mutant``, beside the torch integer model."""
    device = reference.run(check(mutant), NETS[net]().events, record="states")
    return compare_traces(integers(net), device)


def assert_found(found: list[Compared], layer: str) -> None:
    """The first layer that differs is ``layer``, and all before it are equal."""
    differing = [c.layer for c in found if not c.identical]
    assert differing, "nothing was found"
    assert differing[0] == layer


@pytest.mark.parametrize("net", NETS)
def test_unchanged_nothing_is_found_and_every_layer_fires(net: str) -> None:
    found = compared(net, NETS[net]().program)
    assert [c.layer for c in found] == list(NETS[net]().program.neurons)
    for layer in found:
        assert layer.identical
        assert layer.spikes > 50
        assert set(layer.values) == {"spikes", "u", "v"}


@LAYERS
def test_the_table_leaves_no_register_out(net: str, layer: str) -> None:
    at = place(net, layer)
    program = at.net.program
    assert set(leaves(at.op)) <= {m.path for m in NEURON}
    assert set(leaves(program.by_name[at.dense].op)) <= {m.path for m in DENSE}


@LAYERS
@pytest.mark.parametrize("mutation", TABLE, ids=str)
def test_a_changed_register_is_found_in_its_layer(net: str, layer: str, mutation: Mutation) -> None:
    at = place(net, layer)
    mutant = mutation.applied(at)
    assert mutant != at.net.program
    if mutation.refused:
        with pytest.raises(TypeMismatch):
            check(mutant)
        return
    found = compared(net, mutant)
    if mutation.seen(at):
        assert_found(found, layer)
    else:  # not skipped: it computes the same, for the reason that the table gives
        assert mutation.because
        assert all(c.identical for c in found)


@LAYERS
@pytest.mark.parametrize("element", ELEMENTS)
def test_a_changed_weight_or_delay_is_found_in_its_layer(
    net: str, layer: str, element: str
) -> None:
    assert_found(compared(net, ELEMENTS[element](place(net, layer))), layer)


def test_what_is_never_seen_computes_the_same_for_every_input() -> None:
    unseen = {
        str(m) for m in TABLE if not m.refused and not any(m.seen(place(*at)) for at in PLACES)
    }
    assert unseen == {
        "neuron synapses.0.decay.rounding: floor",
        "neuron synapses.0.adds: increment",
        "neuron synapses.0.bias_exponent: 1",
        "neuron synapses.0.clamp.rule: saturate",
        "neuron synapses.0.clamp.low: one more",
        "neuron synapses.0.clamp.high: one less",
        "neuron voltage.adds: increment",
        "neuron voltage.clamp.rule: wrap",
        "neuron voltage.clamp.low: one more",
        "neuron voltage.clamp.high: one less",
        "neuron reset.amount: 1",
    }


# ---- verdicts
