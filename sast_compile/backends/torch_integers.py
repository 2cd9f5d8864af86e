"""L2, the torch integer model: the user's own module with the chip's integers put in.

The module keeps its own topology and its own torch layers; only the numbers are replaced: weights
by ``W 2^E`` (`torch_weights.py`), spiking layers by `IntegerNeuron`. A wrong order of axes, fold or
comparison in the lowering therefore shows, because nothing here was lowered. The equations are
written in torch, apart from the reference interpreter's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from sast_compile.backends.torch_weights import put_weights, submodule
from sast_compile.contract import ResetWhen
from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.events import Events, as_array, by_input
from sast_compile.ir.neuron import BitShift, Decay, Factor, Fire, MulShift, Param, Ref, State
from sast_compile.ir.ops import Consts, Neuron, lookup
from sast_compile.ir.program import Program
from sast_compile.trace import Layer, Trace

EXACT = 2**53  # integers below this are exact in float64, and so are sums of them
Names: TypeAlias = Mapping[str, str]


def run(
    module: nn.Module,
    program: Program,
    events: Events,
    names: Names | None = None,
) -> Trace:
    """Spikes, u and v of every population of ``program``, computed by ``module``.

    ``events`` are those of the interpreter; a module of several inputs is given a mapping.
    ``names`` maps nodes to submodules where they differ. Raises CompileError if a node has no
    submodule, Unsupported for neurons and weights that torch integers do not cover.
    """
    paths = {node: (names or {}).get(node, node) for node in program.by_name}
    model = copy.deepcopy(module).double()
    put_weights(model, program, paths)
    populations: dict[str, IntegerNeuron] = {}
    for name, op in program.neurons.items():
        population = IntegerNeuron(name, op, program.consts)
        submodule(model, name, paths[name])
        _set_submodule(model, paths[name], population)
        populations[name] = population
    with torch.no_grad():
        model(_doubles(program, events))
    return Trace({name: population.layer() for name, population in populations.items()})


def _doubles(program: Program, events: Events) -> Tensor | dict[str, Tensor]:
    given = by_input(program, events)
    doubles = {n: torch.as_tensor(as_array(n, x), dtype=torch.float64) for n, x in given.items()}
    return doubles if len(doubles) > 1 else next(iter(doubles.values()))


class IntegerNeuron(nn.Module):
    """A population in int64: currents, whole numbers in float64, to spikes, or to v if none fire.

    Over all steps at once, (batch, T, *shape), or one step after the other, by `start` and `step`.
    """

    def __init__(self, name: str, op: Neuron, consts: Consts) -> None:
        super().__init__()
        self.name, self.op, self.value = name, op, partial(_tensor, consts=consts)
        self.record: dict[str, list[Tensor]] = {}
        plain = all(s.adds == "sum" and s.decays == "first" for s in op.states)
        if not plain or op.is_float or len(op.synapses) > 1:
            raise Unsupported("the torch integer model has no such neuron", where=name)
        many = op.fire is not None and op.fire.limit > 1
        if many or (op.reset is not None and op.reset.floor is not None):
            raise Unsupported("the torch integer model has no such spike or reset", where=name)

    def forward(self, currents: Tensor) -> Tensor:
        """What the population sends; u and v of every step are kept for `layer`."""
        state, sent = self.start(currents[:, 0]), []
        for current in currents.unbind(dim=1):
            out, state = self.step(current, state)
            sent.append(out)
        return torch.stack(sent, dim=1)

    def start(self, current: Tensor) -> tuple[Tensor, ...]:
        """The state at rest, ``(u, v, spikes)``; the record begins anew."""
        self.record = {key: [] for key in ("spikes", *(n for n, _ in self.op.named_states()))}
        rest = torch.zeros_like(current, dtype=torch.int64)
        return rest, rest, torch.zeros_like(rest, dtype=torch.bool)

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The spikes (batch, *shape) of one step as floats, or v, and the state after it."""
        u, v, spikes = state
        drive = _whole(current, self.name)
        if self.op.synapses:
            drive = u = self._state(self.op.synapses[0], u, drive)
            self.record["u"].append(u)
        v = self._reset(v, spikes, "before_decay")
        v = self._state(self.op.voltage, v, drive, self._late(spikes))
        if self.op.fire is not None:
            spikes = self._fires(v, self.op.fire)
        v = self._reset(v, spikes, "after_fire")
        sent = v if self.op.fire is None else spikes.to(torch.uint8)
        self.record["v"].append(v)
        self.record["spikes"].append(sent)
        return sent.double(), (u, v, spikes)

    def layer(self) -> Layer:
        """What was recorded since the last `start`."""
        arrays = {key: torch.stack(values, dim=1).numpy() for key, values in self.record.items()}
        return Layer(arrays.pop("spikes"), arrays)

    def _state(self, state: State, x: Tensor, drive: Tensor, late: Tensor | int = 0) -> Tensor:
        bias = self.value(state.bias)
        exponent = state.bias_exponent
        bias = bias << exponent if exponent >= 0 else bias >> -exponent
        x = self._decayed(state.decay, x) + self.value(state.gain) * drive + bias - late
        clamp = state.clamp
        assert clamp is not None
        span = clamp.high - clamp.low + 1
        match clamp.rule:
            case "saturate":
                return x.clamp(clamp.low, clamp.high)
            case "wrap":
                return torch.remainder(x - clamp.low, span) + clamp.low
            case "wrap_once":
                return x - span * (x > clamp.high) + span * (x < clamp.low)
            case "forbid":
                if bool(((x < clamp.low) | (x > clamp.high)).any()):
                    raise CompileError("a state leaves its proven range", where=self.name)
                return x

    def _decayed(self, decay: Decay | None, x: Tensor) -> Tensor:
        match decay:
            case None:
                return x
            case MulShift():
                product = x * (2**decay.bits - self.value(decay.decay) - decay.offset)
                if decay.rounding == "half_even":
                    return torch.round(product.double() / 2**decay.bits).long()
                mode = "trunc" if decay.rounding == "toward_zero" else "floor"
                return torch.div(product, 2**decay.bits, rounding_mode=mode)
            case BitShift():
                step = torch.div(x, 2 ** self.value(decay.dash), rounding_mode="floor")
                return x - torch.where(step == 0, decay.min_step * x.sign(), step)
            case Factor():
                raise Unsupported("a float decay in an integer neuron", where=self.name)

    def _fires(self, v: Tensor, fire: Fire) -> Tensor:
        threshold = self.value(fire.threshold) * fire.unit
        return v.gt(threshold) if fire.compare == ">" else v.ge(threshold)

    def _reset(self, v: Tensor, spikes: Tensor, when: ResetWhen) -> Tensor:
        """v after the reset that acts ``when``; of an emptied v no decay leaves anything."""
        reset = self.op.reset
        if reset is None:
            return v
        acts = reset.when
        if reset.kind == "zero" and acts == "after_decay":
            acts = "before_decay"
        if acts != when:
            return v
        if reset.kind == "zero":
            return v.masked_fill(spikes, 0)
        return v - self.value(reset.amount) * spikes

    def _late(self, spikes: Tensor) -> Tensor | int:
        """What the last step's spikes take from the decayed v."""
        reset = self.op.reset
        if reset is None or (reset.kind, reset.when) != ("subtract", "after_decay"):
            return 0
        return self.value(reset.amount) * spikes


def _set_submodule(model: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, child = path.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)


def _whole(current: Tensor, name: str) -> Tensor:
    whole = current.long()
    if bool((whole.double() != current).any()) or bool((current.abs() >= EXACT).any()):
        raise CompileError("a current is no exact integer", where=name)
    return whole


def _tensor(param: Param, consts: Consts) -> Tensor:
    data = lookup(param, consts).data.copy() if isinstance(param, Ref) else param
    return torch.as_tensor(data, dtype=torch.int64)
