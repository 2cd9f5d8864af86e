"""A population on a device: its states, moved on step by step, and what is counted of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from sast_compile.backends.torch_program.equations import Number, Numbers, Register, Spiking
from sast_compile.errors import CompileError
from sast_compile.ir.ops import Neuron
from sast_compile.trace import Tally


class Population:
    """The states of some samples, at rest; `advance` computes their next steps.

    ``columns``: of how many steps is counted what `Tally` holds; 0 where nothing is kept. Counts
    stay on the device until all is done: the host would wait for each in every step.
    """

    def __init__(
        self, op: Neuron, samples: int, columns: int, numbers: Numbers, idle: frozenset[str]
    ) -> None:
        self.op, self.columns = op, columns
        named = op.named_states()
        self.registers = {n: Register(s, n in idle, numbers) for n, s in named}
        rest = torch.zeros((samples, *op.shape), dtype=numbers.kind, device=numbers.device)
        self.states: dict[str, Tensor] = dict.fromkeys(self.registers, rest)
        self.reached = self.fired = rest  # v before the resets of its step, and the spikes
        self.spiking = None
        if op.fire is not None and op.reset is not None:
            self.spiking = Spiking(op.fire, op.reset, numbers)
        none = torch.zeros((), dtype=torch.int64, device=numbers.device)
        self.ties = self.negatives = none
        self.clamped: Mapping[str, Tensor] = {}

    def advance(
        self,
        block: range,
        drives: Sequence[Tensor],
        sent: Tensor,
        records: Mapping[str, Tensor],
    ) -> None:
        """Computes the steps ``block``; drives and what is sent are (steps, samples, ..).

        ``records`` (columns, samples, ..) take the states. Before its start a population rests.
        """
        reached: list[Tensor] = []
        for i, time in enumerate(block):
            column = time - self.op.start
            if column < 0:
                continue
            sent[i] = self._step([drive[i] for drive in drives])
            if column >= self.columns:
                continue
            for state, record in records.items():
                record[column] = self.states[state]
            reached.append(self.reached)
            if column == self.columns - 1:
                self.clamped = {n: r.limit.count for n, r in self.registers.items()}
        if reached:
            self._count(torch.stack(reached))

    def _step(self, drives: Sequence[Tensor]) -> Tensor:
        """The spikes of one step, or v if none fire."""
        for (name, register), drive in zip(self._synapses(), drives, strict=False):
            self.states[name] = register.step(self.states[name], drive, 0)
        current = drives[0]
        if self.op.synapses:
            current = reduce(torch.add, [self.states[name] for name, _ in self._synapses()])
        v = self.states["v"]
        late: Number = 0
        if self.spiking is not None:
            v, late = self.spiking.before_decay(v, self.fired)
        self.reached = v = self.registers["v"].step(v, current, late)
        if self.spiking is None:
            self.states["v"] = v
            return v
        self.fired = self.spiking.count(v)
        self.states["v"] = self.spiking.after_fire(v, self.fired)
        return self.fired

    def _synapses(self) -> list[tuple[str, Register]]:
        return list(self.registers.items())[:-1]

    def _count(self, reached: Tensor) -> None:
        self.negatives = self.negatives + torch.count_nonzero(reached < 0)
        if self.spiking is not None:
            self.ties = self.ties + torch.count_nonzero(reached == self.spiking.threshold)

    def tally(self, sent: Tensor) -> Tally:
        """What happened in all columns; ``sent`` are their spikes."""
        spikes = int(sent.sum(dtype=torch.int64)) if self.spiking else 0
        clamped = {name: int(count) for name, count in self.clamped.items()}
        return Tally(spikes, int(self.ties), int(self.negatives), clamped)

    def check(self, name: str) -> None:
        """Raises CompileError if a state left a range that it was said never to leave."""
        for state, register in self.registers.items():
            clamp, times = register.clamp, int(register.limit.count)
            if clamp.rule == "forbid" and times:
                raise CompileError(
                    f"{state} leaves [{clamp.low}, {clamp.high}], {times} times", where=name
                )
