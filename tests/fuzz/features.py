"""What a case has, in words: so that a run can say how often each was compared."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.cases import Case
from sast_compile.backends.lava.graph import Graph, lower
from sast_compile.errors import CompileError
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Input, Neuron, Projection, SumPool2d, lookup
from sast_compile.ir.program import Node, Program
from sast_compile.ir.types import Int

LONG = 100  # steps


def features(case: Case) -> set[str]:
    """Everything of the list that ``case`` has."""
    found = {"from a NIR graph" if case.source else "integers drawn directly"}
    found |= {"registers replaced"} if case.kind.endswith("changed") else set()
    steps = next(iter(case.events.values())).shape[1]
    found |= {f"more than {LONG} steps"} if steps > LONG else set()
    found |= {"up to 4 steps"} if steps <= 4 else set()
    found |= {"several inputs"} if len(case.program.inputs) > 1 else set()
    found |= {"several outputs"} if len(case.program.outputs) > 1 else set()
    for node in case.program.nodes:
        found |= set(_of_node(node, case.program))
    return found | set(_of_graph(case.program))


def _of_node(node: Node, program: Program) -> Iterator[str]:
    op = node.op
    if isinstance(op, Conv2d):
        yield "convolution"
        if op.groups > 1 or op.dilation != (1, 1) or op.stride != (1, 1):
            yield "convolution with groups, dilation or stride"
    if isinstance(op, SumPool2d):
        yield "pool"
    if isinstance(op, Input) and op.bits > 1:
        yield f"input of {'2 to 15' if op.bits < 16 else '16 to 24'} bits"
    if isinstance(op, Neuron):
        yield from _of_neuron(op)
    if isinstance(op, Projection):
        yield from _of_weight(op, program)


def _of_neuron(op: Neuron) -> Iterator[str]:
    du, dv = (getattr(s.decay, "decay", 0) for s in (op.synapses[0], op.voltage))
    if du != 4095:
        yield "synaptic current that lasts"
    if op.fire is None:
        yield "readout"
    elif (op.reset.kind, op.reset.when) != ("zero", "after_fire"):  # type: ignore[union-attr]
        yield "reset that Intel's LIF lacks"
    if any(isinstance(p, Ref) for p in (du, dv, op.fire and op.fire.threshold)):
        yield "du, dv or threshold of each neuron"
    if op.voltage.bias_exponent < 0:
        yield "bias exponent below 0"


def _of_weight(op: Projection, program: Program) -> Iterator[str]:
    const = lookup(op.weight, program.consts)
    element = const.type.element
    assert isinstance(element, Int)
    yield f"weights of {min(element.bits, 9)} bits, {'mixed' if element.signed else 'positive'}"
    if element.bits == 8 and const.data.min() == element.low < 0:
        yield "weight of -256"
    if element.bits == 8 and const.data.max() == element.high:
        yield f"weight of {254 if element.signed else 255}"


def _of_graph(program: Program) -> Iterator[str]:
    """What only the Lava graph shows, if there is one."""
    try:
        graph = lower(program)
    except CompileError:
        return
    if any(one.delay > 1 for one in graph.projections):
        yield "delay above 1"
    if any(one.delay > 30 for one in graph.projections):
        yield "delay above 30"
    if any(one.sign_mode == "inhibitory" for one in graph.projections):
        yield "weights, none above 0"
    if graph.gap:
        yield "population that reads ahead"
    yield from _loops(graph)


def _loops(graph: Graph) -> Iterator[str]:
    paths = {(one.source, one.target) for one in graph.projections}
    for _ in graph.populations:
        paths |= {(a, d) for a, b in paths for c, d in paths if b == c}
    direct = {(one.source, one.target) for one in graph.projections}
    if any(a == b for a, b in direct):
        yield "population that drives itself"
    if any(a != b and (b, a) in paths for a, b in paths):
        yield "loop through several populations"
