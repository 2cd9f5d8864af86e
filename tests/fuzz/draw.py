"""The program of a seed: a NIR graph through the real passes, or integers drawn directly."""

from __future__ import annotations

import re
from dataclasses import replace

import nir
import numpy as np
from loihi_graphs import each_its_own, own_reset, random_wiring
from loihi_programs import random_chain
from nir_nets import Net

from fuzz.cases import Batch, Case, Generator, Refused, duration, events_of
from fuzz.nets import drawn_net
from fuzz.pictures import random_picture
from fuzz.registers import lively, with_other_registers
from sast_compile.compile import lower
from sast_compile.contract import Contract
from sast_compile.errors import CompileError, TypeMismatch
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.source import Source
from sast_compile.ir.ops import Op
from sast_compile.ir.program import Program, check
from sast_compile.passes import Options, Rounding
from sast_compile.target import load_target

GRAPHS = 0.5  # the share of programs that come from a graph
CHANGED = 0.6  # the share of those whose registers are replaced


def drawn(seed: int) -> Case | Refused:
    """The program and events of ``seed``."""
    rng = np.random.default_rng([seed, 0])
    if rng.random() < GRAPHS:
        return from_graph(seed, rng)
    return from_integers(seed, rng)


def from_graph(seed: int, rng: Generator) -> Case | Refused:
    """A graph as loihi2's passes compile it, of some with other registers."""
    kind, net, contract = drawn_net(seed)
    graph, bits = graph_of(net), int(rng.integers(2, 9))
    samples, steps = duration(rng)
    roundings: tuple[Rounding, Rounding] = ("membrane", "nearest")
    options = Options(bits, steps if rng.random() < 0.5 else None, rounding=roundings[seed % 2])
    try:
        program = compiled(graph, contract, options)
    except TypeMismatch:  # a pass, or the front end, made an illegal program
        raise
    except CompileError as error:
        return Refused(seed, kind, f"compiler: {reason(error, [*net.nodes])}")
    if rng.random() < CHANGED:
        kind = f"{kind}, changed"
        program = with_other_registers(program, rng)
    program = replace(program, name=f"fuzz{seed}")
    events = events_of(program, rng, samples, steps)
    if kind.endswith("changed") or rng.random() < 0.5:
        program = lively(program, events, rng)
    source = Source("", "", graph, contract, program, None, None)
    return Case(seed, kind, program, events, source)


def compiled(graph: nir.NIRGraph, contract: Contract, options: Options) -> Program:
    """The program of ``graph`` after all passes of loihi2."""
    floats = to_program(graph, contract, "net")
    return lower(floats, load_target("loihi2"), options)[-1].program


def graph_of(net: Net) -> nir.NIRGraph:
    return net.nested() if net.inner else net.graph()


def from_integers(seed: int, rng: Generator) -> Case:
    """A program that no graph stands behind: any wiring and start, chains, pictures."""
    samples, steps = duration(rng)
    kind, program, events = _integers(seed, rng, samples, steps)
    if rng.random() < 0.5:
        kind = f"{kind}, changed"
        program = with_other_registers(program, rng)
        events = events_of(program, rng, samples, steps)
        program = lively(program, events, rng)
    return Case(seed, kind, replace(program, name=f"fuzz{seed}"), events)


def _integers(seed: int, rng: Generator, samples: int, steps: int) -> tuple[str, Program, Batch]:
    family = rng.random()
    if family < 0.35:
        program, events = _wired(rng, samples, steps)
        return "wiring", program, events
    if family < 0.5:
        bits, loop = int(rng.choice([1, 1, 3, 5])), bool(rng.random() < 0.5)
        program, array = random_chain(seed, steps=max(steps, 8), samples=samples, recurrent=loop,
                                      input_bits=bits)  # fmt: skip
        return "chain", program, {"x": array}
    program = random_picture(np.random.default_rng([seed, 2]))
    events = events_of(program, rng, samples, steps)
    return "picture", lively(program, events, rng), events


def _wired(rng: Generator, samples: int, steps: int) -> tuple[Program, Batch]:
    """Any wiring, start and delay; of half of them neurons that differ, or resets of ours."""
    longest = int(rng.choice([3, 8, 8, 60]))
    program, events = random_wiring(rng, "wiring", samples, steps, longest)
    program = lively(program, events, rng)
    change = [None, None, each_its_own, own_reset][rng.integers(0, 4)]
    if change is None:
        return program, events
    consts = dict(program.consts)
    ops: dict[str, Op] = {n: change(rng, op, consts) for n, op in program.neurons.items()}
    return lively(check(program.with_ops(ops, consts)), events, rng), events


def reason(error: CompileError, names: list[str]) -> str:
    """Why something was refused, without numbers and names, so that equal reasons are one."""
    text = error.what
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.]){re.escape(name)}(?:[.@][\w@.]+)?(?!\w)", "..", text)
    text = re.sub(r"(?:-?\d[\d.,x]*)+", "#", text)
    return f"{type(error).__name__}: {text[:110]}"
