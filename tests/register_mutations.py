"""Every register of a compiled layer, each with a value that a broken chip or compiler could give.

The table names the attributes of `Neuron` and `Dense` by path; a test demands that none is missing.
Where a mutation cannot be seen, the table says when and why, and the test demands that too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from sast_compile.backends import reference
from sast_compile.frontend.source import Source
from sast_compile.ir.neuron import MulShift, Ref
from sast_compile.ir.ops import Dense, Neuron, Op
from sast_compile.ir.program import Edge, Program
from sast_compile.ir.types import Const, Int
from sast_compile.trace import Layer, Tally, Trace

Array: TypeAlias = npt.NDArray[Any]
UNIT = 64  # of loihi2's thresholds


@dataclass(frozen=True)
class Compiled:
    """A compiled net, events, and what it computes on them."""

    source: Source
    program: Program
    events: Array

    @cached_property
    def trace(self) -> Trace:
        return reference.run(self.program, self.events, record="states")


@dataclass(frozen=True)
class Place:
    """One layer of a compiled net: a population and the projection that drives it."""

    net: Compiled
    layer: str

    @property
    def op(self) -> Neuron:
        return self.net.program.neurons[self.layer]

    @property
    def dense(self) -> str:
        return self.net.program.by_name[self.layer].inputs[0].node

    @property
    def weight(self) -> tuple[str, Const]:
        op = self.net.program.by_name[self.dense].op
        assert isinstance(op, Dense)
        return op.weight.name, self.net.program.consts[op.weight.name]

    @property
    def record(self) -> Layer:
        return self.net.trace[self.layer]

    @property
    def tally(self) -> Tally:
        assert self.record.tally is not None
        return self.record.tally

    @property
    def bias(self) -> Array:
        """What every step adds to v."""
        bias = self.op.voltage.bias
        data = self.net.program.consts[bias.name].data if isinstance(bias, Ref) else bias
        return np.asarray(data).astype(np.int64) << self.op.voltage.bias_exponent

    def state(self, name: str) -> Array:
        return self.record.states[name].astype(np.int64)

    def leaks(self) -> tuple[Array, int]:
        """v times the factor of its leak before the shift, at the start of every step."""
        decay = self.op.voltage.decay
        assert isinstance(decay, MulShift)
        assert isinstance(decay.decay, int)
        v = self.state("v")
        v = np.concatenate([np.zeros_like(v[:, :1]), v[:, :-1]], axis=1)
        return v * ((1 << decay.bits) - decay.decay), 1 << decay.bits

    def before_reset(self) -> Array:
        """v as the comparison sees it, written out here once more."""
        product, one = self.leaks()
        kept = np.sign(product) * (np.abs(product) // one)
        drive: Array = kept + self.state("u") + self.bias
        return drive

    def inputs(self) -> Array:
        """The values (samples, steps, inputs) that the projection reads."""
        name = self.net.program.by_name[self.dense].inputs[0].node
        values = self.net.events if name not in self.net.trace.layers else self.net.trace[name]
        data = values if isinstance(values, np.ndarray) else values.spikes
        return data.reshape(*data.shape[:2], -1)


def always(_: Place) -> bool:
    return True


def never(_: Place) -> bool:
    return False


@dataclass(frozen=True)
class Mutation:
    """One attribute set to ``to(its value, place)``, seen where ``seen``; not seen ``because``."""

    of: str  # neuron, dense
    path: str
    to: Callable[[Any, Place], Any]
    name: str
    seen: Callable[[Place], bool] = always
    because: str = ""
    refused: bool = False  # no program: the check after every pass says so

    def __str__(self) -> str:
        return f"{self.of} {self.path}: {self.name}"

    def applied(self, place: Place) -> Program:
        """The program of ``place`` with this one register changed."""
        name = place.layer if self.of == "neuron" else place.dense
        plain = builtins_of(place.net.program.by_name[name].op)
        *parents, last = self.path.split(".")
        at = plain
        for key in parents:
            at = at[int(key) if isinstance(at, list) else key]
        if isinstance(at[last], dict) and "name" in at[last] and self.path == "voltage.bias":
            return _one_mantissa(place, at[last]["name"], self.to)
        at[last] = self.to(at[last], place)
        return place.net.program.with_ops({name: msgspec.convert(plain, Op)})


def _one_mantissa(place: Place, const: str, to: Callable[[Any, Place], Any]) -> Program:
    """The bias of one neuron alone: the last one's."""
    old = place.net.program.consts[const]
    data = old.data.copy()
    data[-1] = to(int(data[-1]), place)
    return place.net.program.with_ops({}, {const: Const(old.type, data)})


def builtins_of(op: Op) -> Any:
    """The attributes of ``op`` as nested dicts and lists, free to be changed."""
    return msgspec.json.decode(msgspec.json.encode(op))


def leaves(op: Op) -> Iterator[str]:
    """The paths of all attributes of ``op`` that are no records themselves."""
    yield from _leaves(builtins_of(op), "")


def _leaves(value: Any, path: str) -> Iterator[str]:
    is_record = isinstance(value, dict) and value.get("type") != "ref"
    if is_record or (isinstance(value, list) and value and isinstance(value[0], dict)):
        items = value.items() if is_record else enumerate(value)
        for key, inner in items:
            if key != "type":
                yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path


# ---- when a mutation can be seen at all


def u_outlives(place: Place) -> bool:
    return bool((np.abs(place.state("u")[:, :-1]) >= 4096).any())


def rounds_below_zero(place: Place) -> bool:
    product, one = place.leaks()
    return bool(((product < 0) & (product % one != 0)).any())


def has_bias(place: Place) -> bool:
    return bool(place.bias.any())


def has_ties(place: Place) -> bool:
    return place.tally.ties > 0


def threshold(place: Place) -> int:
    fire = place.op.fire
    assert fire is not None
    assert isinstance(fire.threshold, int)
    return fire.threshold


def passes_twice(place: Place) -> bool:
    return bool((place.before_reset() > 2 * UNIT * threshold(place)).any())


def lies_between(low: int, high: int) -> Callable[[Place], bool]:
    """Whether some v passes a threshold that is ``low`` units off, but not one ``high`` off."""

    def decide(place: Place) -> bool:
        v, at = place.before_reset(), threshold(place)
        return bool(((v > UNIT * (at + low)) & (v <= UNIT * (at + high))).any())

    return decide


def last_spike(_: Any, place: Place) -> int:
    """The least threshold that takes a spike away."""
    v = place.before_reset()
    return int(-(-v[v > UNIT * threshold(place)].min() // UNIT))


def ends_negative(place: Place) -> bool:
    return bool((place.state("v") < 0).any())


def subtracts(_: Any, place: Place) -> dict[str, Any]:
    return {"type": "reset", "kind": "subtract", "amount": UNIT * threshold(place)}


def plus(n: int) -> Callable[[Any, Place], Any]:
    return lambda old, _: old + n


def to(value: Any) -> Callable[[Any, Place], Any]:
    return lambda _, __: value


IDLE = "the sums are proven to stay inside: the clamp never acts"
NO_BIAS = "the bias is 0, and 0 shifted is 0"
NO_V = "no v lies between the two thresholds"
KEEPS_NOTHING = "nothing is kept of u: 0 is 0 under every rounding"
U, V = "synapses.0", "voltage"

NEURON = [
    Mutation("neuron", "shape", lambda old, _: [old[0] + 1], "one neuron more", refused=True),
    Mutation("neuron", f"{U}.decay.decay", plus(-1), "one less", u_outlives, "u < 1 step of it"),
    Mutation("neuron", f"{U}.decay.offset", plus(-1), "0", u_outlives, "u < 1 step of it"),
    Mutation("neuron", f"{U}.decay.bits", plus(1), "13"),
    Mutation("neuron", f"{U}.decay.rounding", to("floor"), "floor", never, KEEPS_NOTHING),
    Mutation("neuron", f"{U}.decays", to("last"), "after the use"),
    Mutation("neuron", f"{U}.gain", plus(-1), "63"),
    Mutation("neuron", f"{U}.adds", to("increment"), "increment", never, IDLE),
    Mutation("neuron", f"{U}.adds", to("each"), "each", refused=True),
    Mutation("neuron", f"{U}.bias", plus(1), "1"),
    Mutation("neuron", f"{U}.bias_exponent", plus(1), "1", never, NO_BIAS),
    Mutation("neuron", f"{U}.clamp.rule", to("saturate"), "saturate", never, IDLE),
    Mutation("neuron", f"{U}.clamp.low", plus(1), "one more", never, IDLE),
    Mutation("neuron", f"{U}.clamp.high", plus(-1), "one less", never, IDLE),
    Mutation("neuron", f"{U}.clamp.low", lambda _, p: int(p.state("u").min()) + 1, "reached"),
    Mutation("neuron", f"{U}.clamp.high", lambda _, p: int(p.state("u").max()) - 1, "reached"),
    Mutation("neuron", f"{V}.decay.decay", plus(1), "one more"),
    Mutation("neuron", f"{V}.decay.decay", plus(-1), "one less"),
    Mutation("neuron", f"{V}.decay.offset", plus(1), "1"),
    Mutation("neuron", f"{V}.decay.bits", plus(1), "13"),
    Mutation("neuron", f"{V}.decay.rounding", to("floor"), "floor", rounds_below_zero, "v >= 0"),
    Mutation("neuron", f"{V}.decay.rounding", to("half_even"), "half_even"),
    Mutation("neuron", f"{V}.decays", to("last"), "after the use"),
    Mutation("neuron", f"{V}.gain", plus(1), "2"),
    Mutation("neuron", f"{V}.adds", to("increment"), "increment", never, IDLE),
    Mutation("neuron", f"{V}.adds", to("each"), "each", refused=True),
    Mutation("neuron", f"{V}.bias", plus(1), "one more"),
    Mutation("neuron", f"{V}.bias_exponent", plus(1), "one more", has_bias, NO_BIAS),
    Mutation("neuron", f"{V}.clamp.rule", to("wrap"), "wrap", never, IDLE),
    Mutation("neuron", f"{V}.clamp.low", plus(1), "one more", never, IDLE),
    Mutation("neuron", f"{V}.clamp.high", plus(-1), "one less", never, IDLE),
    Mutation("neuron", f"{V}.clamp.low", lambda _, p: int(p.state("v").min()) + 1, "reached"),
    Mutation("neuron", f"{V}.clamp.high", lambda _, p: int(p.state("v").max()) - 1, "reached"),
    Mutation("neuron", "fire.compare", to(">="), ">=", has_ties, "no v equals the threshold"),
    Mutation("neuron", "fire.threshold", plus(1), "one more", lies_between(0, 1), NO_V),
    Mutation("neuron", "fire.threshold", plus(-1), "one less", lies_between(-1, 0), NO_V),
    Mutation("neuron", "fire.threshold", last_spike, "a spike less"),
    Mutation("neuron", "fire.threshold", lambda old, _: old // 2, "half"),
    Mutation("neuron", "fire.unit", plus(-1), "63"),
    Mutation("neuron", "fire.limit", plus(1), "2", passes_twice, "no v passes 2 thresholds"),
    Mutation("neuron", "reset", subtracts, "subtract the threshold"),
    Mutation("neuron", "reset.kind", to("subtract"), "subtract nothing", refused=True),
    Mutation("neuron", "reset.when", to("before_decay"), "before the next decay"),
    Mutation("neuron", "reset.amount", plus(1), "1", never, "a reset to 0 has no amount"),
    Mutation("neuron", "reset.floor", to(0), "0", ends_negative, "v >= 0"),
    Mutation("neuron", "start", plus(1), "a step late"),
    Mutation("neuron", "start", plus(-1), "a step early"),
]
DENSE = [
    Mutation("dense", "weight", to({"type": "ref", "name": "no.weight"}), "absent", refused=True),
    Mutation("dense", "exponent", plus(1), "one more"),
    Mutation("dense", "exponent", plus(-1), "one less"),
]
TABLE = [*NEURON, *DENSE]


# ---- what is no attribute of an op: the elements of a weight, the delay of an edge


def used_weight(place: Place) -> tuple[int, int]:
    """Output and input of a weight whose input fires, that has a sign, and room for a step."""
    _, const = place.weight
    element = const.type.element
    assert isinstance(element, Int)
    fires = place.inputs().sum(axis=(0, 1)) > 0
    data = const.data.astype(np.int64)
    usable = fires[None] & (data != 0) & (np.abs(data) < element.high)
    output, source = np.argwhere(usable)[0]
    return int(output), int(source)


def with_weight(place: Place, change: Callable[[int], int]) -> Program:
    name, const = place.weight
    at = used_weight(place)
    data = const.data.copy()
    data[at] = change(int(data[at]))
    return place.net.program.with_ops({}, {name: Const(const.type, data)})


def with_delay(place: Place, change: int) -> Program:
    program = place.net.program

    def late(edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
        return tuple(Edge(e.node, e.delay + change) for e in edges)

    nodes = tuple(
        replace(n, inputs=late(n.inputs)) if n.name == place.dense else n for n in program.nodes
    )
    return replace(program, nodes=nodes)


ELEMENTS: dict[str, Callable[[Place], Program]] = {
    "the sign of a weight": lambda place: with_weight(place, lambda w: -w),
    "a weight by a step": lambda place: with_weight(place, lambda w: w + 1),
    "a connection a step late": lambda place: with_delay(place, 1),
    "a connection a step early": lambda place: with_delay(place, -1),
}
