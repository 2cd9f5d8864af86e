"""The discretisation contract: what a NIR graph leaves open and accuracy depends on.

NIR fixes the differential equation of a neuron but not the time step, the leak rule, the kind and
order of the reset or the comparison at threshold. The contract states them, travels with the graph
as one JSON string in NIR metadata (other types change on their way through HDF5), and is never
guessed. docs/contract.md has the equation of every choice, `presets.py` the contracts of the
frameworks.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from sast_compile.errors import BadFile

METADATA_KEY = "sast_contract"
VERSION = 2
MOST_SPIKES = 2**16
ADDED = {2: ("drive", "synapse", "spikes", "overrides")}  # fields, by the version that began them

Compare: TypeAlias = Literal[">", ">="]
ResetKind: TypeAlias = Literal["zero", "subtract"]
ResetWhen: TypeAlias = Literal["after_fire", "before_decay", "after_decay", "after_input"]
Leak: TypeAlias = Literal["euler", "exact", "alpha"]
Drive: TypeAlias = Literal["nir", "step", "unit"]
Synapse: TypeAlias = Literal["nir", "unit", "decayed"]


class Discretised(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One neuron population in discrete time: ``v <- alpha v + gain I`` (all without unit).

    ``beta``, where there is one, is the decay of the synaptic current: ``I <- beta I + x``.
    """

    alpha: float
    gain: float = 1.0
    beta: float | msgspec.UnsetType = msgspec.UNSET


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one population does otherwise than the contract says of all."""

    reset: ResetKind | msgspec.UnsetType = msgspec.UNSET
    reset_when: ResetWhen | msgspec.UnsetType = msgspec.UNSET
    compare: Compare | msgspec.UnsetType = msgspec.UNSET
    spikes: int | msgspec.UnsetType = msgspec.UNSET


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

    One step of a population: ``I <- beta I + c x`` where it has a current, ``v <- alpha v + gain
    I``, ``s = H(v - threshold)`` with ``H(0)`` by ``compare``, and a reset:

    - ``zero``, ``before_decay``:  ``v[t] = alpha v[t-1] (1 - s[t-1]) + gain I`` (the SAST papers)
    - ``zero``, ``after_decay``:   the same
    - ``zero``, ``after_fire``:    the same spikes; ``v`` reads 0 in the step of the spike
    - ``zero``, ``after_input``:   ``v[t] = (alpha v[t-1] + gain I) (1 - s[t-1])``
    - ``subtract``, ``after_fire``:  ``v[t] -= threshold`` in the spike's step, then it decays
    - ``subtract``, ``before_decay``: the same spikes
    - ``subtract``, ``after_decay``: ``v[t] = alpha v[t-1] - threshold s[t-1] + gain I`` (snnTorch)
    - ``subtract``, ``after_input``: the same

    Between two graphs that differ in nothing else, each field of this record changes spikes; the
    defaults are NIR's own equations, and what version 1 meant.
    """

    version: int = VERSION
    dt: float  # in the unit of the graph's time constants; NIR's are in seconds
    # euler: alpha = 1 - dt/tau; exact: alpha = exp(-dt/tau); alpha: as euler, but dt and alpha are
    # of the type that tau is stored in, which was written as tau = dt/(1 - alpha) in that type
    leak: Leak
    # gain, nir: r (1 - alpha), of an IF r dt; step: the same, but of an IF r; unit: 1
    drive: Drive = "nir"
    # c, nir: w_in (1 - beta); unit: w_in, or 1 where drive is unit; decayed: that times beta
    synapse: Synapse = "nir"
    reset: ResetKind
    reset_when: ResetWhen
    compare: Compare
    spikes: int = 1  # the most that a neuron fires in one step; a reset takes all of them
    overrides: dict[str, Override] = {}  # by NIR node
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

    def of(self, name: str) -> Contract:
        """The contract of the population ``name``: this one with what it overrides."""
        changes = msgspec.structs.asdict(self.overrides.get(name, Override()))
        stated = {key: value for key, value in changes.items() if value is not msgspec.UNSET}
        return msgspec.structs.replace(self, **stated)

    def __post_init__(self) -> None:
        for where, spikes in (
            ("contract", self.spikes),
            *((f"contract, {name}", its.spikes) for name, its in self.overrides.items()),
        ):
            if isinstance(spikes, int) and not 1 <= spikes <= MOST_SPIKES:
                raise BadFile(
                    f"spikes = {spikes} in one step lies outside 1..{MOST_SPIKES}", where=where
                )
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
    """The contract in ``text``; raises BadFile naming ``where`` if it is malformed or newer.

    Version 1 had none of the fields in `ADDED`; it meant their defaults.
    """
    try:
        fields = msgspec.json.decode(text, type=dict[str, object])
        _check_version(fields)
        return msgspec.convert({**fields, "version": VERSION}, type=Contract)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadFile(f"the discretisation contract is malformed: {error}", where=where) from None
    except BadFile as error:
        inner = f"{where}, {error.where}" if error.where else where
        raise BadFile(error.what, where=inner, hint=error.hint) from None


def _check_version(fields: dict[str, object]) -> None:
    """Raises BadFile unless ``fields`` are of a known version, and those of that version."""
    version = fields.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION:
        newer = isinstance(version, int) and version > VERSION
        raise BadFile(
            f"contract version {version!r} is none of the 1 to {VERSION} that this release reads",
            hint="update sast-compile" if newer else f'it states "version": {VERSION}',
        )
    for since, names in ADDED.items():
        for name in names:
            if version < since and name in fields:
                raise BadFile(
                    f"states `{name}`, which a contract of version {version} has not",
                    hint=f'it is of "version": {since}',
                )
            if version >= since and name not in fields:
                raise BadFile(f"the discretisation contract is malformed: lacks `{name}`")
