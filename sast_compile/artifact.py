"""The ``.sast`` file: one compiled network, checkable on any machine with numpy alone.

It is a safetensors file. Its tensors are the program's constants (``const.NAME``) and the golden
vectors: ``golden.events``, the spikes that the program must give on them (``golden.spikes.NODE``),
and those of the float hard-spike model (``golden.float.NODE``). One metadata key holds canonical
JSON with the program's text, the target's TOML, the contract and the provenance: several keys would
be an unordered map, and the same input would no longer give the same bytes. Its ``sha256`` is that
of everything else in the file, so no damage goes unseen: neither in the weights and the golden
vectors nor in a register that stands in the text.

The same input gives the same bytes on every machine and in every folder: nothing in the file says
when, where or by whom it was made. The input is the model's bytes and the path by which it was
named (it names the program, and `verify` looks there for the source), the target's bytes, the
options, and the versions in the provenance. A path inside the working directory counts from there,
so an absolute path does not carry a user's name into the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from sast_compile.contract import Contract, contract_from_json
from sast_compile.errors import BadFile, CompileError
from sast_compile.files import read_whole, write_whole
from sast_compile.ir.events import together
from sast_compile.ir.program import Program
from sast_compile.ir.text import parse_program, print_program
from sast_compile.ir.types import Array
from sast_compile.target import Target, parse_target

FORMAT = "sast/1"
METADATA_KEY = "sast"
SUFFIX = ".sast"
EVENTS = "golden.events"  # the tensors of the events: of one input, or the beginning of a name
INTEGERS = ".net"  # the suffix of sources that have no float model
AGAIN = "compile the model again, or copy the file again"


class CalibratedOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The events on which weights were rounded: in words, how many samples, and their hash."""

    data: str
    samples: int
    sha256: str


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a compiled network comes from; nothing in it depends on when or by whom."""

    source: str  # as the user named it; from the working directory if it lies inside
    source_sha256: str
    bits: int  # of a weight; of the widest, where layers differ
    data: str | None  # the data set of the golden events, or None: random ones
    versions: dict[str, str]
    # what was proven, was proven for inputs no more active than this; unset: for any input
    event_rate: float | msgspec.UnsetType = msgspec.UNSET
    rounding: Literal["membrane", "nearest"] | msgspec.UnsetType = (
        msgspec.UNSET
    )  # unset where the source held integers
    calibration: CalibratedOn | msgspec.UnsetType = msgspec.UNSET
    # the bits of the weights into each population; unset where all have ``bits``
    bits_of: dict[str, int] | msgspec.UnsetType = msgspec.UNSET

    @property
    def widths(self) -> str:
        """The bits in words: ``8``, or ``3-8`` where layers differ."""
        if isinstance(self.bits_of, msgspec.UnsetType):
            return str(self.bits)
        return f"{min(self.bits_of.values())}-{self.bits}"


@dataclass(frozen=True, eq=False)
class Golden:
    """Events (samples, steps, *input shape) and the spikes of every population on them.

    The events of several inputs are a structured array: `ir/events.py`.

    ``float_spikes`` is empty where there is no float model: a `.net` holds integers.
    """

    events: Array
    spikes: Mapping[str, Array]
    float_spikes: Mapping[str, Array]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Golden)
            and np.array_equal(self.events, other.events)
            and _equal(self.spikes, other.spikes)
            and _equal(self.float_spikes, other.float_spikes)
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays


@dataclass(frozen=True)
class Artifact:
    """A compiled network with everything that is needed to run and to check it."""

    program: Program
    target_text: str
    contract: Contract
    provenance: Provenance
    golden: Golden

    @property
    def target(self) -> Target:
        """The chip as it was described when the program was compiled."""
        return parse_target(self.target_text, "target")

    def default_name(self) -> str:
        """``<model>.<target>.<bits>b.sast``."""
        return f"{self.program.name}.{self.target.name}.{self.provenance.widths}b{SUFFIX}"


def artifact_bytes(artifact: Artifact) -> bytes:
    """The file's bytes; the same artifact, the same bytes."""
    tensors = {f"const.{n}": c.data for n, c in artifact.program.consts.items()}
    tensors |= _event_tensors(artifact.golden.events)
    tensors |= {f"golden.spikes.{n}": s for n, s in artifact.golden.spikes.items()}
    tensors |= {f"golden.float.{n}": s for n, s in artifact.golden.float_spikes.items()}
    document = {
        "format": FORMAT,
        "program": print_program(artifact.program),
        "target": artifact.target_text,
        "contract": json.loads(artifact.contract.to_json()),
        "provenance": msgspec.to_builtins(artifact.provenance),
    }
    text = _canonical({**document, "sha256": _content_sha256(document, tensors)})
    contiguous = {name: np.ascontiguousarray(data) for name, data in tensors.items()}
    return safetensors_numpy.save(contiguous, metadata={METADATA_KEY: text})


def _event_tensors(events: Array) -> dict[str, Array]:
    """``golden.events``; of several inputs ``golden.events.NAME`` each."""
    names = events.dtype.names
    return {EVENTS: events} if names is None else {f"{EVENTS}.{n}": events[n] for n in names}


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _content_sha256(document: Mapping[str, Any], tensors: Mapping[str, Array]) -> str:
    """SHA-256 of the canonical JSON and of every tensor's name, type, shape and bytes, by name."""
    hashed = hashlib.sha256(_canonical(document).encode())
    for name, data in sorted(tensors.items()):
        little = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("<"))
        hashed.update(f"\n{name} {little.dtype.str} {data.shape}\n".encode())
        hashed.update(little.tobytes())
    return hashed.hexdigest()


def save_artifact(artifact: Artifact, path: str | os.PathLike[str]) -> None:
    """The artifact lies at ``path``, whole or not at all."""
    write_whole(path, artifact_bytes(artifact))


def load_artifact(path: str | os.PathLike[str]) -> Artifact:
    """The artifact at ``path``; BadFile if it is missing, damaged, foreign or newer."""
    where = str(path)
    data = read_whole(path)
    try:
        document, tensors = _document(data, where), safetensors_numpy.load(data)
        stated = document.pop("sha256", None)
        intact = stated == _content_sha256(document, tensors)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadFile(f"is damaged: {error}", where=where, hint=AGAIN) from None
    if not intact:
        raise BadFile("is damaged: its content is not what was written", where=where, hint=AGAIN)
    try:
        return _artifact(document, tensors)
    except BadFile as error:
        raise BadFile(
            error.what, where=f"{where}, {error.where}" if error.where else where
        ) from None
    except CompileError as error:
        raise BadFile(f"holds an illegal program: {error}", where=where) from None


def _document(data: bytes, where: str) -> dict[str, Any]:
    """The JSON in the header; a safetensors header is its length (8 bytes) and a JSON object."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8 or data[8:9] != b"{":
        hint = AGAIN if where.endswith(SUFFIX) else f"compile a model first: sast-compile {where}"
        raise BadFile("is no .sast file, or was cut off", where=where, hint=hint)
    header = json.loads(data[8 : 8 + length])
    metadata = header.get("__metadata__") or {}
    if METADATA_KEY not in metadata:
        raise BadFile("is a safetensors file, but not a .sast file", where=where)
    document = json.loads(metadata[METADATA_KEY])
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise BadFile(
            f"format {found!r} is not the {FORMAT!r} that this release reads",
            where=where,
            hint="update sast-compile" if str(found).startswith("sast/") else None,
        )
    return dict(document)


def _artifact(document: dict[str, Any], tensors: Mapping[str, Array]) -> Artifact:
    missing = {"program", "target", "contract", "provenance"} - set(document)
    if missing or not any(name.startswith(EVENTS) for name in tensors):
        raise BadFile(f"lacks {', '.join(sorted(missing)) or 'golden events'}")
    try:
        provenance = msgspec.convert(document["provenance"], Provenance)
    except msgspec.ValidationError as error:
        raise BadFile(f"provenance: {error}") from None
    integers = provenance.source.lower().endswith(INTEGERS)
    program = parse_program(_text(document["program"]), _prefixed(tensors, "const."))
    events = _golden_events(program, tensors)
    golden = Golden(
        events,
        _by_layer(program, _prefixed(tensors, "golden.spikes."), events),
        _by_layer(program, _prefixed(tensors, "golden.float."), events, optional=integers),
    )
    target_text = _text(document["target"])
    parse_target(target_text, "target")
    contract = contract_from_json(json.dumps(document["contract"]), "contract")
    return Artifact(program, target_text, contract, provenance, golden)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadFile(f"holds {type(value).__name__} where text belongs")
    return value


def _golden_events(program: Program, tensors: Mapping[str, Array]) -> Array:
    """The golden events; BadFile if the program's inputs are others, or of another shape."""
    one = len(program.inputs) == 1
    found = {name: tensors.get(EVENTS if one else f"{EVENTS}.{name}") for name in program.inputs}
    for name, events in found.items():
        shape = program.types[name].shape
        if events is None or events.ndim < 2 or events.shape[2:] != shape:
            given = "no golden events" if events is None else f"golden events {events.shape}"
            raise BadFile(f"{given} for an input of shape {shape}", where=name)
    try:
        return together({name: e for name, e in found.items() if e is not None})
    except CompileError as error:
        raise BadFile(f"golden events: {error.what}") from None


def _by_layer(
    program: Program, spikes: Mapping[str, Array], events: Array, *, optional: bool = False
) -> dict[str, Array]:
    """``spikes`` in the program's order; BadFile if they are of other layers or shapes."""
    if optional and not spikes:
        return {}
    if set(spikes) != set(program.neurons):
        raise BadFile("the golden vectors are of other layers than the program's")
    ordered = {name: spikes[name] for name in program.neurons}  # safetensors has no order
    for name, record in ordered.items():
        wanted = (*events.shape[:2], *program.types[name].shape)
        if record.shape != wanted:
            raise BadFile(f"golden spikes of shape {record.shape}, not {wanted}", where=name)
    return ordered


def _equal(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def _prefixed(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
