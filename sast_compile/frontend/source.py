"""A model file as the graph, the contract and the program in it.

A `.pt` and a `.nir` hold floats; a lava-dl `.net` holds the integers of a chip, and no graph.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nir
from msgspec import UNSET
from msgspec.structs import replace

from sast_compile.contract import Contract
from sast_compile.errors import BackendUnavailable, BadFile
from sast_compile.files import read_whole, sha256
from sast_compile.frontend.netx_to_ir import parse_net
from sast_compile.frontend.nir_file import load_nir, missing_contract, sound, stated_contract
from sast_compile.frontend.nir_graph import flattened
from sast_compile.frontend.nir_neurons import shape_of
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.ir.program import Program

if TYPE_CHECKING:
    from sast_compile.nn import Network


@dataclass(frozen=True)
class Source:
    """What a model file holds; ``network`` is the torch module of a `.pt`, None for the others.

    ``graph`` is None for a `.net`: it has no float model (`has_floats`).
    """

    path: str  # as it was named; from the working directory if it lies inside
    sha256: str
    graph: nir.NIRGraph | None
    contract: Contract
    program: Program  # in float64; the chip's integers if it is a `.net`
    dataset: str | None
    network: Network | None
    left_out: tuple[str, ...] = ()  # what the file says that the program does not hold
    repairs: tuple[str, ...] = ()  # what the file does not say, but can only mean: node: what
    as_chip: bool = False  # trained with a chip's own rounding in the forward pass

    @property
    def has_floats(self) -> bool:
        """Whether there is a float model that the integers stand for."""
        return self.graph is not None


def read_source(
    path: str | os.PathLike[str],
    contract: Contract | None = None,
    feedback: int | None = None,
) -> Source:
    """The model at ``path``; ``contract`` is for graphs that carry none.

    ``feedback`` makes the loops of a `.nir` look back so many steps: another function, for chips
    that need the time.

    Raises BadFile for anything but a model, ContractMissing if no contract is stated, and
    BackendUnavailable for a `.pt` where torch is not installed.
    """
    readers = {
        ".pt": _from_checkpoint,
        ".pth": _from_checkpoint,
        ".net": _from_net,
    }
    suffix = Path(path).suffix.lower()
    if suffix not in (*readers, ".nir"):
        compiled = "it is compiled already: verify, run and inspect take it"
        raise BadFile(
            f"a model ends in .pt, .nir or .net, not in {suffix!r}",
            where=str(path),
            hint=compiled if suffix == ".sast" else None,
        )
    if feedback is not None and suffix != ".nir":
        raise BadFile(
            f"--feedback {feedback} is for .nir graphs: the loops of other models look back 1 step",
            where=str(path),
        )
    if suffix == ".nir":
        return _from_nir(str(path), contract, feedback)
    return readers[suffix](str(path), contract)


def _from_checkpoint(path: str, contract: Contract | None) -> Source:
    try:
        from sast_compile.frontend.torch_to_nir import to_nir
        from sast_compile.nn import read_checkpoint
    except ImportError:
        raise BackendUnavailable(
            "a .pt checkpoint needs torch, which is not installed here",
            where=path,
            hint="pip install sast-compile[torch], or export it to .nir elsewhere",
        ) from None
    checkpoint = read_checkpoint(path)
    if contract is not None and contract != checkpoint.contract:
        raise BadFile("the checkpoint states its own contract; --contract is for .nir", where=path)
    graph = to_nir(checkpoint.network, checkpoint.contract)
    program = to_program(graph, checkpoint.contract, program_name(path))
    dataset = checkpoint.provenance.get("dataset")
    return Source(
        portable(path),
        checkpoint.sha256,
        graph,
        checkpoint.contract,
        program,
        dataset if isinstance(dataset, str) else None,
        checkpoint.network,
        as_chip="hardware" in checkpoint.provenance,
    )


def _from_nir(path: str, contract: Contract | None, feedback: int | None) -> Source:
    data = read_whole(path)
    loaded = sound(load_nir(data, path), path)
    used = used_contract(loaded.graph, path, contract, feedback)
    program = to_program(loaded.graph, used, program_name(path))
    repairs = (*loaded.repairs, *spread(loaded.graph, program))
    return Source(
        portable(path), sha256(data), loaded.graph, used, program, None, None, (), repairs
    )


def used_contract(
    graph: nir.NIRGraph, path: str, contract: Contract | None, feedback: int | None
) -> Contract:
    """The contract that a `.nir` states, or the one that is named for it."""
    stated = stated_contract(graph, path)
    if contract is not None and stated is not None and _plain(contract) != _plain(stated):
        raise BadFile("the file states its own contract, and --contract names another", where=path)
    used = stated or contract
    if used is None:
        raise missing_contract(path)
    return used if feedback is None else replace(used, feedback=feedback)


def contract_in(path: str, contract: Contract | None) -> Contract:
    """The contract that the model at ``path`` states; ``contract`` is for a `.nir` without one.

    The graph of a `.nir` need not be one that can be imported.
    """
    if Path(path).suffix.lower() != ".nir":
        return read_source(path, contract).contract
    return used_contract(load_nir(read_whole(path), path).graph, path, contract, None)


def spread(graph: nir.NIRGraph, program: Program) -> list[str]:
    """The populations whose parameters are one number each, taken for all of its neurons."""
    nodes = flattened(graph).nodes
    return [
        f"{name}: its parameters are single numbers, taken for a population of {neuron.shape}"
        for name, neuron in program.neurons.items()
        if shape_of(name, nodes[name], None) != neuron.shape
    ]


def _plain(contract: Contract) -> Contract:
    """The contract but for what a user may add to a file's own."""
    return replace(contract, feedback=UNSET)


def _from_net(path: str, contract: Contract | None) -> Source:
    data = read_whole(path)
    if contract is not None:
        raise BadFile("a .net holds integers of Loihi; --contract is for .nir", where=path)
    net = parse_net(data, path)
    program = net.program(program_name(path))
    return Source(
        portable(path), sha256(data), None, net.contract, program, None, None, net.left_out
    )


def portable(path: str) -> str:
    """``path`` from the working directory where it lies inside, else as named; ``/`` between."""
    absolute, here = Path(os.path.abspath(path)), Path.cwd()
    inside = absolute.is_relative_to(here)
    return (absolute.relative_to(here) if inside else Path(path)).as_posix()


def program_name(path: str | os.PathLike[str]) -> str:
    """The model's name: the file's, or its folder's where the file is just called ``model``."""
    file = Path(path)
    name = file.resolve().parent.name if file.stem == "model" else file.stem
    return re.sub(r"[^\w.\-]", "_", name) or "model"
