"""The discretisation contract: what a NIR graph leaves open and accuracy depends on.

NIR fixes the differential equation of a neuron but not the time step, the leak rule, the kind and
order of the reset or the comparison at threshold. The contract states them, travels with the graph
as one JSON string in NIR metadata (other types change on their way through HDF5), and is never
guessed.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from sast_compile.errors import BadFile, ContractMissing
from sast_compile.files import read_whole

METADATA_KEY = "sast_contract"
VERSION = 1

Compare: TypeAlias = Literal[">", ">="]
ResetKind: TypeAlias = Literal["zero", "subtract"]
ResetWhen: TypeAlias = Literal["after_fire", "before_decay", "after_decay"]
Leak: TypeAlias = Literal["euler", "exact"]


class Discretised(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One neuron population in discrete time: ``v <- alpha v + gain I`` (all without unit).

    ``beta``, where there is one, is the decay of the synaptic current: ``I <- beta I + x``.
    """

    alpha: float
    gain: float = 1.0
    beta: float | msgspec.UnsetType = msgspec.UNSET


class Encoding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How events become the input tensor ``(steps, *axes)`` of one sample."""

    steps: int
    axes: str  # one letter an axis, slowest first: "PYX" is polarity, row, column
    values: Literal["binary", "counts"]
    bin: str  # how time is cut, in words: "sample duration / steps"


class Readout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the output becomes a decision."""

    kind: Literal["spike_count", "voltage_sum"] = "spike_count"
    ties: Literal["lowest_index"] = "lowest_index"


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the numbers of a graph mean in discrete time.

    One step of a population, with ``H`` the comparison ``compare`` and ``s`` its spikes:

    - ``zero``, ``before_decay``:  ``v[t] = alpha v[t-1] (1 - s[t-1]) + gain I`` (the SAST papers)
    - ``zero``, ``after_fire``:    the same spikes; ``v`` reads 0 in the step of the spike
    - ``subtract``, ``after_fire``:  ``v[t] -= threshold`` in the spike's step, then it decays
    - ``subtract``, ``after_decay``: ``v[t] = alpha v[t-1] - threshold s[t-1] + gain I`` (snnTorch)
    """

    version: int = VERSION
    dt: float  # seconds
    leak: Leak  # euler: alpha = 1 - dt/tau; exact: alpha = exp(-dt/tau)
    reset: ResetKind
    reset_when: ResetWhen
    compare: Compare
    # alpha and gain themselves, by NIR node: tau in float32 does not give alpha back
    neurons: dict[str, Discretised] = {}
    encoding: Encoding | None = None
    readout: Readout = Readout()
    # steps that the edge of a loop takes which looks back; 1 where nothing else is said
    feedback: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def feedback_steps(self) -> int:
        """What a loop without a delay of its own looks back."""
        return 1 if isinstance(self.feedback, msgspec.UnsetType) else self.feedback

    def __post_init__(self) -> None:
        if not 0 < self.dt < math.inf:
            raise BadFile(
                f"time step dt = {self.dt} s is not positive and finite",
                where="contract",
                hint="give it in seconds: 1e-3 is a millisecond",
            )
        for name, neuron in self.neurons.items():
            if not 0 <= neuron.alpha <= 1:
                raise BadFile(
                    f"leak factor alpha = {neuron.alpha} lies outside [0, 1]",
                    where=f"contract, {name}",
                    hint="alpha = 1 - dt/tau (Euler) or exp(-dt/tau) (exact), tau >= dt > 0",
                )
            if not math.isfinite(neuron.gain):
                raise BadFile(f"gain = {neuron.gain} is not finite", where=f"contract, {name}")
        if self.feedback_steps < 1:
            raise BadFile(
                f"feedback = {self.feedback} steps: a loop must look back", where="contract"
            )
        if self.encoding is not None and self.encoding.steps < 1:
            raise BadFile(
                f"a sample of {self.encoding.steps} steps is empty", where="contract, encoding"
            )

    def to_json(self) -> str:
        """The canonical JSON of the contract: sorted keys, no spaces, the same bytes every time."""
        return msgspec.json.encode(self, order="sorted").decode()


def contract_from_json(text: str | bytes, where: str) -> Contract:
    """The contract in ``text``; raises BadFile naming ``where`` if it is malformed or newer."""
    try:
        version = msgspec.json.decode(text, type=dict[str, object]).get("version")
        if version != VERSION:
            newer = isinstance(version, int) and version > VERSION
            raise BadFile(
                f"contract version {version!r} is not the {VERSION} that this release reads",
                hint="update sast-compile" if newer else f'it states "version": {VERSION}',
            )
        return msgspec.json.decode(text, type=Contract)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadFile(f"the discretisation contract is malformed: {error}", where=where) from None
    except BadFile as error:
        inner = f"{where}, {error.where}" if error.where else where
        raise BadFile(error.what, where=inner, hint=error.hint) from None


def named_contract(name: str, dt: float | None) -> Contract:
    """The contract that a user names: a preset, or the path of a JSON file.

    - ``sast``: Euler leak, zero reset before the next decay, ``>=`` (arXiv 2603.18039)
    - ``nir-euler``: NIR's equations by Euler's rule, zero reset in the step of the spike, ``>``
    A preset needs ``dt`` in seconds, which is never guessed.
    """
    if name.endswith(".json"):
        stated = contract_from_json(read_whole(name), name)
        return stated if dt is None else msgspec.structs.replace(stated, dt=dt)
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise ContractMissing(f"unknown contract {name!r}", hint=f"{known}, or a .json file")
    if dt is None:
        raise ContractMissing(f"the contract {name!r} needs a time step", hint="add --dt SECONDS")
    return msgspec.structs.replace(PRESETS[name], dt=dt)


PRESETS = {
    "sast": Contract(dt=1.0, leak="euler", reset="zero", reset_when="before_decay", compare=">="),
    "nir-euler": Contract(dt=1.0, leak="euler", reset="zero", reset_when="after_fire", compare=">"),
}
