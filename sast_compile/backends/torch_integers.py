"""L2, the torch integer model: the user's own module with the chip's integers put in.

The module keeps its own topology and its own torch layers; only the numbers are replaced: weights
by ``W 2^E``, spiking layers by `IntegerNeuron`. A wrong order of axes, fold or comparison in the
lowering therefore shows, because nothing here was lowered. The equations are written in torch,
apart from the reference interpreter's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from sast_compile.contract import ResetWhen
from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.neuron import BitShift, Decay, Factor, MulShift, Param, Ref, State
from sast_compile.ir.ops import Consts, Neuron, Projection, lookup
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.trace import Layer, Trace

EXACT = 2**53  # integers below this are exact in float64, and so are sums of them
Names: TypeAlias = Mapping[str, str]


def run(module: nn.Module, program: Program, events: Array, names: Names | None = None) -> Trace:
    """Spikes, u and v of every population of ``program``, computed by ``module``.

    ``events`` is (samples, steps, *input shape); ``names`` maps nodes to submodules where they
    differ. Raises CompileError if a node has no submodule, Unsupported for neurons that torch
    integers do not cover.
    """
    paths = {node: (names or {}).get(node, node) for node in program.by_name}
    model = copy.deepcopy(module).double()
    populations: dict[str, IntegerNeuron] = {}
    for node in program.nodes:
        if isinstance(node.op, Projection):
            _put_weight(model, node.name, paths[node.name], node.op, program.consts)
        elif isinstance(node.op, Neuron):
            population = IntegerNeuron(node.name, node.op, program.consts)
            _submodule(model, node.name, paths[node.name])
            _set_submodule(model, paths[node.name], population)
            populations[node.name] = population
    with torch.no_grad():
        model(torch.as_tensor(events, dtype=torch.float64))
    return Trace({name: population.layer() for name, population in populations.items()})


class IntegerNeuron(nn.Module):
    """A population in int64: currents (batch, T, *shape), whole numbers in float64, to spikes."""

    def __init__(self, name: str, op: Neuron, consts: Consts) -> None:
        super().__init__()
        self.name, self.op, self.value = name, op, partial(_tensor, consts=consts)
        self.record: dict[str, list[Tensor]] = {}
        states = op.states
        plain = all(s.adds == "sum" and s.decays == "first" for s in states)
        reset = op.reset
        if not plain or op.is_float or len(op.synapses) > 1 or op.fire is None or reset is None:
            raise Unsupported("the torch integer model has no such neuron", where=name)
        if op.fire.limit > 1 or reset.floor is not None:
            raise Unsupported("the torch integer model has no such spike or reset", where=name)

    def forward(self, current: Tensor) -> Tensor:
        """The spikes; u and v of every step are kept for `layer`."""
        whole = _whole(current, self.name)
        self.record = {key: [] for key in ("spikes", *(n for n, _ in self.op.named_states()))}
        u = v = torch.zeros_like(whole[:, 0])
        spikes = torch.zeros_like(v, dtype=torch.bool)
        for a in whole.unbind(dim=1):
            drive = a
            if self.op.synapses:
                drive = u = self._state(self.op.synapses[0], u, a)
                self.record["u"].append(u)
            v = self._reset(v, spikes, "before_decay")
            v = self._state(self.op.voltage, v, drive, self._late(spikes))
            spikes = self._fires(v)
            v = self._reset(v, spikes, "after_fire")
            self.record["v"].append(v)
            self.record["spikes"].append(spikes.to(torch.uint8))
        return torch.stack(self.record["spikes"], dim=1).double()

    def layer(self) -> Layer:
        """What the last `forward` recorded."""
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

    def _fires(self, v: Tensor) -> Tensor:
        fire = self.op.fire
        assert fire is not None
        threshold = self.value(fire.threshold) * fire.unit
        return v.gt(threshold) if fire.compare == ">" else v.ge(threshold)

    def _reset(self, v: Tensor, spikes: Tensor, when: ResetWhen) -> Tensor:
        """v after the reset that acts ``when``; of an emptied v no decay leaves anything."""
        reset = self.op.reset
        assert reset is not None
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
        assert reset is not None
        if (reset.kind, reset.when) != ("subtract", "after_decay"):
            return 0
        return self.value(reset.amount) * spikes


def _put_weight(model: nn.Module, name: str, path: str, op: Projection, consts: Consts) -> None:
    layer = _submodule(model, name, path)
    weight = torch.as_tensor(lookup(op.weight, consts).data.copy(), dtype=torch.float64)
    if not isinstance(layer, (nn.Linear, nn.Conv2d)) or layer.weight.shape != weight.shape:
        raise CompileError(
            f"the module is {type(layer).__name__}, the program has a projection "
            f"{tuple(weight.shape)}",
            where=name,
        )
    if op.exponent < 0:
        raise Unsupported("an exponent below 0 rounds, which torch layers do not", where=name)
    layer.weight = nn.Parameter(weight * 2**op.exponent, requires_grad=False)
    layer.register_parameter("bias", None)  # it is a register of the population now


def _submodule(model: nn.Module, name: str, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise CompileError("the torch module has no layer of this name", where=name) from None


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
