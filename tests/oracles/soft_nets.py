"""Random nets of two populations: as a program of ours, and in plain numbers for SANA-FE."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace as with_fields

from sast_compile.backends.reference import run
from sast_compile.contract import ResetKind, ResetWhen
from sast_compile.ir.loihi import ALIGNMENT, loihi_neuron
from sast_compile.ir.neuron import MulShift, Ref, Reset, Rounding
from sast_compile.ir.ops import Add, Dense, Input
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, TensorType, int_holding

NO_SYNAPSE = 4095  # du: the current lasts for one step
STEPS = 120
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Population:
    """Weights (outputs, inputs), and one threshold, leak and bias per neuron."""

    weights: Array
    recurrent: Array | None
    threshold: Array
    leak: Array
    bias: Array
    reset: ResetKind


@dataclass(frozen=True)
class Net:
    """Populations one behind the other, and the events (steps, inputs) of one run."""

    name: str
    events: Array
    populations: tuple[Population, ...]

    def changed(self, number: int, **fields: Any) -> Net:
        """This net with other fields in one of its populations."""
        held = list(self.populations)
        held[number] = replace(held[number], **fields)
        return replace(self, populations=tuple(held))


def program(
    net: Net,
    when: ResetWhen = "after_fire",
    amount_times: int = 1,
    rounding: Rounding = "toward_zero",
) -> Program:
    """Loihi's neurons with the net's reset; all begin in step 0, as SANA-FE's do."""
    nodes = [Node("x", Input(shape=(net.events.shape[1],)))]
    consts: dict[str, Const] = {}

    def held(name: str, data: Array) -> Ref:
        kind = int_holding(int(data.min()), int(data.max()))
        consts[name] = Const(TensorType(data.shape, kind), data)
        return Ref(name)

    for number, p in enumerate(net.populations, 1):
        weight = Dense(weight=held(f"w{number}", p.weights))
        nodes.append(Node(f"a{number}", weight, (Edge(nodes[-1].name, 1),)))
        if p.recurrent is not None:
            back = Dense(weight=held(f"r{number}", p.recurrent))
            nodes.append(Node(f"b{number}", back, (Edge(f"s{number}", 1),)))
            nodes.append(Node(f"c{number}", Add(), (Edge(f"a{number}"), Edge(f"b{number}"))))
        amount: Any = 0
        if p.reset == "subtract":
            amount = held(f"amount{number}", amount_times * (p.threshold << ALIGNMENT))
        neuron = loihi_neuron(
            p.threshold.shape,
            du=NO_SYNAPSE,
            dv=held(f"leak{number}", p.leak) if p.leak.any() else None,
            threshold=held(f"threshold{number}", p.threshold),
            bias=held(f"bias{number}", p.bias),
        )
        voltage = neuron.voltage
        if isinstance(voltage.decay, MulShift):
            voltage = with_fields(voltage, decay=with_fields(voltage.decay, rounding=rounding))
        reset = Reset(kind=p.reset, when=when, amount=amount)
        neuron = with_fields(neuron, voltage=voltage, reset=reset)
        nodes.append(Node(f"s{number}", neuron, (Edge(nodes[-1].name),)))
    return check(Program(net.name, tuple(nodes), (nodes[-1].name,), consts))


def plain(net: Net) -> dict[str, Any]:
    """What sanafe_worker.py reads."""
    rows = []
    for p in net.populations:
        back = None if p.recurrent is None else p.recurrent.tolist()
        row = {name: getattr(p, name).tolist() for name in ("weights", "threshold", "leak", "bias")}
        mode = {"zero": "hard", "subtract": "soft"}[p.reset]
        rows.append({**row, "recurrent": back, "reset": mode})
    return {"events": net.events.astype(int).tolist(), "populations": rows}


def random_net(seed: int) -> Net:
    """Every eight seeds: zero and subtract, feed-forward and recurrent, IF and LIF."""
    rng = np.random.default_rng(seed)
    subtract, recurrent, leaky = (bool(seed >> bit & 1) for bit in range(3))
    sizes = [int(n) for n in rng.integers(6, 25, 3)]
    events = rng.random((STEPS, sizes[0])) < rng.uniform(0.1, 0.5)
    net = Net(f"net{seed}", events, ())
    arriving = events
    for inputs, outputs in itertools.pairwise(sizes):
        weights = sparse(rng, outputs, inputs, mean=30)
        p = Population(
            weights=weights,
            recurrent=sparse(rng, outputs, outputs, mean=0) // 4 if recurrent else None,
            threshold=thresholds(rng, arriving @ weights.T),
            leak=rng.integers(1, 2048, outputs) if leaky else np.zeros(outputs, int),
            bias=rng.integers(-100, 400, outputs),
            reset="subtract" if subtract else "zero",
        )
        net = replace(net, populations=(*net.populations, p))
        arriving = run(program(net), events[None])[f"s{len(net.populations)}"].spikes[0]
    return net


def sparse(rng: np.random.Generator, outputs: int, inputs: int, mean: int) -> Array:
    """8-bit weights of both signs, odd ones too, a random share of them 0."""
    drawn = np.clip(rng.normal(mean, 50, (outputs, inputs)), -128, 127).astype(int)
    return drawn * (rng.random(drawn.shape) < rng.uniform(0.3, 1))


def thresholds(rng: np.random.Generator, drive: Array) -> Array:
    """Of the size of a few steps' drive, so that some neurons fire often and some seldom."""
    usual = max(1.0, float(abs(drive).mean()))
    return np.asarray(usual * rng.uniform(0.5, 3, drive.shape[1]), int) + 1


def every_kind(nets: Sequence[Net]) -> set[tuple[str, bool, bool]]:
    """The kinds among ``nets``: reset, whether recurrent, whether leaky."""
    firsts = [net.populations[0] for net in nets]
    return {(p.reset, p.recurrent is not None, bool(p.leak.any())) for p in firsts}
