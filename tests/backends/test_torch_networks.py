"""The torch integer model of our own networks: loops, synaptic currents, readouts.

`test_torch_integers.py` has the chains; here the layers are called step by step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch integer model: the torch extra")

import torch
from float_programs import LOIHI2, events
from integer_programs import integer
from msgspec.structs import replace as with_fields

from sast_compile.backends import reference, torch_integers
from sast_compile.catalog import shipped
from sast_compile.compare import compare_traces
from sast_compile.compile import lower
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.source import read_source
from sast_compile.frontend.torch_to_nir import to_nir
from sast_compile.ir.program import Edge, Program, check
from sast_compile.ir.types import Array
from sast_compile.levels import integer_trace
from sast_compile.nn import Network, build
from sast_compile.passes import Options
from sast_compile.trace import Trace

RESETS = [("zero", "before_decay"), ("zero", "after_fire"), ("subtract", "after_fire"),
          ("subtract", "after_decay")]  # fmt: skip


def network(hidden: dict[str, Any], last: dict[str, Any], reset: tuple[str, str]) -> Network:
    """flatten, fc1, hidden (6), fc2, last (4), with weights that make both busy."""
    torch.manual_seed(3)
    rule = {"threshold": 1.0, "reset": reset[0], "reset_when": reset[1]}
    layers = [
        {"name": "flatten", "kind": "flatten"},
        {"name": "fc1", "kind": "linear", "in_features": 12, "out_features": 6, "bias": False},
        {"name": "hidden", "alpha": 0.8, **rule, **hidden},
        {"name": "fc2", "kind": "linear", "in_features": 6, "out_features": 4, "bias": False},
        {"name": "last", "alpha": 0.7, **(rule if last["kind"] != "li" else {}), **last},
    ]
    net = build(layers, (2, 3, 2)).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(1.5 / weight.shape[1], 0.4)
    return net


def integers_of(net: Network) -> Program:
    contract = net.contract(1e-3, None)
    return integer(to_program(to_nir(net, contract), contract, "net"))


def same(ours: Trace, theirs: Trace) -> bool:
    compared = compare_traces(ours, theirs)
    assert [layer.layer for layer in compared] == list(ours.layers)
    return all(layer.identical for layer in compared)


LIF = {"kind": "lif"}
CUBA = {"kind": "cuba_lif", "beta": 0.6}
LI = {"kind": "li"}
BACK = {"recurrent": True}


@pytest.mark.parametrize("reset", RESETS, ids="-".join)
@pytest.mark.parametrize(
    ("hidden", "last"),
    [(LIF | BACK, LIF), (CUBA, LI), (CUBA | BACK, CUBA | BACK), (LIF, LI), (LIF | BACK, LI)],
)
def test_networks(hidden: dict[str, Any], last: dict[str, Any], reset: tuple[str, str]) -> None:
    net = network(hidden, last, reset)
    program, x = integers_of(net), events((4, 15, 2, 3, 2), 0.4)
    chip = reference.run(program, x, record="states")
    ours = torch_integers.run(net, program, x)
    assert same(chip, ours)
    assert set(ours["hidden"].states) == set(chip["hidden"].states)
    assert 0.1 < chip["hidden"].spikes.mean() < 0.95
    assert (chip["last"].spikes != 0).mean() > 0.1
    if "recurrent" in hidden:
        loop = program.by_name["hidden.sum"].inputs
        assert Edge("hidden_rec") in loop
        assert not same(reference.run(_slower(program), x, record="states"), ours)


def _slower(program: Program) -> Program:
    """The same with a loop of two steps."""
    nodes = [
        type(n)(n.name, n.op, (Edge("hidden", 2),)) if n.name == "hidden_rec" else n
        for n in program.nodes
    ]
    return check(Program(program.name, tuple(nodes), program.outputs, program.consts))


def test_the_torch_module_runs_again_from_rest() -> None:
    net = network(LIF | BACK, LI, RESETS[1])
    program, x = integers_of(net), events((4, 15, 2, 3, 2), 0.4)
    first = torch_integers.run(net, program, x)
    assert same(first, torch_integers.run(net, program, x))


def test_a_readout_keeps_what_its_neurons_say() -> None:
    net = network(LIF, LI, RESETS[1])
    program, x = integers_of(net), events((4, 15, 2, 3, 2), 0.4)
    op = program.neurons["last"]
    biased = with_fields(op, voltage=with_fields(op.voltage, bias=-7, bias_exponent=1))
    program = check(program.with_ops({"last": biased}))
    chip = reference.run(program, x, record="states")
    assert same(chip, torch_integers.run(net, program, x))
    assert (chip["last"].spikes < 0).any()


@pytest.mark.parametrize("suffix", ["pt", "nir"])
def test_the_recurrent_model(suffix: str) -> None:
    source = read_source(shipped("models") / "digits_recurrent" / f"model.{suffix}")
    assert source.contract.encoding is not None
    steps = source.contract.encoding.steps
    program = lower(source.program, LOIHI2, Options(8, steps))[-1].program
    x: Array = events((6, steps, *source.program.types["input"].shape), 0.3)
    chip = reference.run(program, x, record="states")
    assert same(chip, integer_trace(source, program, x))
    assert all(np.asarray(chip[name].spikes).any() for name in program.neurons)
