"""The ``.pt`` file of a trained network: plain data only, nothing in it can run.

``torch.save`` of one dict::

    {"format": "sast-model/1",
     "network": [...],            the plain description, see sast_compile.nn.network
     "input_shape": [2, 10, 10],
     "state_dict": {"fc1.weight": tensor, ...},   float32 or float64, one dtype
     "contract": "<json>",        the discretisation contract, see sast_compile.contract
     "provenance": {...}}         plain data: data set, recipe, seed, versions, command, accuracies

The same content gives the same bytes. Reading trusts nothing: ``weights_only=True``, and every
type, shape and number is checked before it is used.
"""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import torch
from torch import Tensor

from sast_compile.contract import Contract, contract_from_json
from sast_compile.errors import BadFile, CompileError
from sast_compile.files import read_whole, sha256, write_whole
from sast_compile.nn.network import Network, build

FORMAT = "sast-model/1"
DTYPES = (torch.float32, torch.float64)
KEYS: dict[str, type] = {
    "network": list,
    "input_shape": list,
    "state_dict": dict,
    "contract": str,
    "provenance": dict,
}
FOREIGN = {
    b"\x89PNG": "a PNG picture",
    b"\x89HDF": "an HDF5 file, perhaps NIR: give it a name that ends in .nir",
    b"\x80": "a bare pickle, which can run code: refused",
}
WAY_OUT = "write it with sast_compile.nn.write_checkpoint(path, network, contract)"
Plain: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A network in smooth mode with its contract, its history and the hash of its file."""

    network: Network
    contract: Contract
    provenance: Plain
    sha256: str


def write_checkpoint(
    path: str | os.PathLike[str],
    network: Network,
    contract: Contract,
    provenance: Plain | None = None,
) -> None:
    """The file of ``network`` lies at ``path``, whole or not at all.

    Raises BadFile if the folder cannot be written, CompileError if ``contract`` does not describe
    ``network``.
    """
    _check_contract(network, contract, "contract")
    content = {
        "format": FORMAT,
        "network": network.description(),
        "input_shape": list(network.input_shape),
        "state_dict": {
            key: value.detach().cpu().contiguous().clone()
            for key, value in network.state_dict().items()
        },
        "contract": contract.to_json(),
        "provenance": _plain(provenance or {}, "provenance"),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint at ``path``, checked; raises BadFile saying what is wrong with it."""
    where = os.fspath(path)
    data = read_whole(path)
    content = _content(data, where)
    try:
        network = _network(content, where)
        contract = contract_from_json(content["contract"], where)
        _check_contract(network, contract, where)
    except BadFile:
        raise
    except CompileError as error:
        what = f"{error.where}: {error.what}" if error.where else error.what
        raise BadFile(_one_line(what), where=where, hint=error.hint) from None
    provenance = _plain(content["provenance"], where)
    return Checkpoint(network, contract, provenance, sha256(data))


def _content(data: bytes, where: str) -> Plain:
    """The dict in the file, with the types that its format demands one level down."""
    content = _loaded(data, where)
    if not isinstance(content, dict):
        raise BadFile(
            f"holds a {type(content).__name__}, not a {FORMAT} dict", where=where, hint=WAY_OUT
        )
    _check_format(content, where)
    for key, wanted in KEYS.items():
        if key not in content:
            raise BadFile(f"the key {key!r} is missing", where=where, hint=WAY_OUT)
        if not isinstance(content[key], wanted):
            found = type(content[key]).__name__
            raise BadFile(f"{key!r} is of type {found}, not {wanted.__name__}", where=where)
    unknown = [key for key in content if key != "format" and key not in KEYS]
    if unknown:
        raise BadFile(f"unknown key {_shown(unknown[0])}", where=where)
    return content


def _loaded(data: bytes, where: str) -> object:
    _check_archive(data, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file, we say ourselves
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds on damaged and hostile files
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted:
            raise BadFile(
                f"refused: its pickle wants to run {_one_line(wanted[1])}",
                where=where,
                hint=f"save network.state_dict() instead of the module, or {WAY_OUT}",
            ) from None
        first = _one_line(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise BadFile(f"is damaged or needs code to load: {first}", where=where) from None


def _check_archive(data: bytes, where: str) -> None:
    if not data.startswith(b"PK\x03\x04"):
        kind = next((text for magic, text in FOREIGN.items() if data.startswith(magic)), None)
        found = kind or f"it starts with the bytes {data[:8].hex(' ')}"
        raise BadFile(f"is not a torch checkpoint: {found}", where=where, hint=WAY_OUT)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        unpacked = sum(entry.file_size for entry in archive.infolist())
        # torch stores its entries; a compressed one is foreign and may unpack to any size
        damaged = archive.testzip() if unpacked <= len(data) else None
    except Exception as error:  # zipfile, too, raises a dozen kinds
        raise BadFile(f"is damaged: {error}", where=where) from None
    if unpacked > len(data):
        raise BadFile(f"is foreign: {len(data)} bytes that would unpack to {unpacked}", where=where)
    if damaged is not None:  # torch.load does not look at the checksums
        raise BadFile(f"is damaged: the checksum of {damaged[:80]!r} is wrong", where=where)


def _check_format(content: Plain, where: str) -> None:
    found = content.get("format")
    if found == FORMAT:
        return
    if isinstance(found, str) and found.startswith("sast-model/"):
        raise BadFile(
            f"format {_shown(found)} is not the {FORMAT!r} that this release reads",
            where=where,
            hint="update sast-compile",
        )
    if content and all(isinstance(value, Tensor) for value in content.values()):
        raise BadFile(
            f"is a bare state_dict of {len(content)} tensors; it does not say which network, "
            "neuron and time step they belong to",
            where=where,
            hint=f"load it into a network and {WAY_OUT}",
        )
    raise BadFile(f"is not a {FORMAT} file: 'format' is {_shown(found)}", where=where, hint=WAY_OUT)


def _network(content: Plain, where: str) -> Network:
    """The network with its weights. Built without memory first: a lying size allocates nothing."""
    with torch.device("meta"):
        network = build(content["network"], content["input_shape"])
    wanted, given = network.state_dict(), content["state_dict"]
    for key in wanted:
        if key not in given:
            raise BadFile(f"the state_dict lacks {key!r}", where=where)
    for key in given:
        if key not in wanted:
            raise BadFile(f"the state_dict has {_shown(key)}, the network does not", where=where)
    weights = {key: _weight(key, given[key], wanted[key].shape, where) for key in wanted}
    if len({weight.dtype for weight in weights.values()}) > 1:
        raise BadFile("the state_dict mixes float32 and float64", where=where)
    network.load_state_dict(weights, assign=True)
    return network


def _weight(key: str, value: object, shape: torch.Size, where: str) -> Tensor:
    """A copy of ``value`` that owns its memory; raises BadFile unless it is finite and fits."""
    if not isinstance(value, Tensor):
        raise BadFile(f"{key} is a {type(value).__name__}, not a tensor", where=where)
    if value.layout != torch.strided or value.device.type != "cpu" or value.dtype not in DTYPES:
        raise BadFile(
            f"{key} is a {value.layout} {value.dtype} tensor on {value.device}; "
            "a dense float32 or float64 tensor is needed",
            where=where,
        )
    if value.shape != shape:
        raise BadFile(
            f"{key} has shape {tuple(value.shape)}, the network needs {tuple(shape)}", where=where
        )
    # a stride of 0 lets a few bytes claim any size
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise BadFile(f"{key} claims more numbers than the file holds", where=where)
    bad = value.numel() - int(torch.isfinite(value).sum())
    if bad:
        raise BadFile(f"{key} has {bad} NaN or Inf of {value.numel()} weights", where=where)
    return value.detach().resolve_neg().clone(memory_format=torch.contiguous_format)


def _check_contract(network: Network, contract: Contract, where: str) -> None:
    """Raises BadFile unless ``contract`` states exactly the neurons of ``network``."""
    built = network.contract(contract.dt, contract.encoding)
    for field in ("reset", "reset_when", "compare", "neurons", "readout"):
        stated, true = getattr(contract, field), getattr(built, field)
        if stated != true:
            raise BadFile(
                f"the contract says {field} = {stated}, the network has {true}", where=where
            )
    axes = contract.encoding.axes if contract.encoding else None
    if axes is not None and len(axes) != len(network.input_shape):
        raise BadFile(
            f"the contract's axes {axes!r} do not fit the input shape {network.input_shape}",
            where=where,
        )


def _plain(provenance: object, where: str) -> Plain:
    """``provenance`` through JSON and back: whatever it was, it is plain data now."""
    try:
        text = msgspec.json.encode(provenance)
        return msgspec.json.decode(text, type=dict[str, Any])
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BadFile(f"the provenance is not plain data: {error}", where=where) from None


def _shown(value: object) -> str:
    """A short quoted text, or the type of what is none: the repr of hostile data may not end."""
    return repr(value[:60]) if isinstance(value, str) else f"of type {type(value).__name__}"


def _one_line(text: str) -> str:
    """``text`` from a file as one short printable line: no terminal obeys it."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:300])
