"""Anybody's torch module to NIR, and on to a verified chip program, in one call.

Module and graph both run on the sample input: the float program of the exported graph must give the
module's own spikes in every population, step and sample. An export that is not the module is never
written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nir
from torch import Tensor, nn

from sast_compile.artifact import SUFFIX, Artifact, save_artifact
from sast_compile.backends import reference
from sast_compile.catalog import DEFAULT_TARGET
from sast_compile.compile import compile_model
from sast_compile.contract import Contract, Encoding
from sast_compile.errors import CompileError
from sast_compile.frontend.drive import spikes_of
from sast_compile.frontend.module_to_nir import contract_of, graph_of, trace
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.source import program_name
from sast_compile.frontend.torch_to_nir import write_nir
from sast_compile.ir.program import Program
from sast_compile.verification import Verification, verify


@dataclass(frozen=True)
class Exported:
    """A module as NIR: the graph, its contract, the float program, and what the check compared.

    ``artifact`` and ``verification`` are there if the path asked for a compiled program.
    """

    graph: nir.NIRGraph
    contract: Contract
    program: Program
    spikes: Mapping[str, int]  # of the module on the sample input, by population
    artifact: Artifact | None = None
    verification: Verification | None = None


def export(
    module: nn.Module,
    sample_input: Tensor,
    *,
    dt: float,
    path: str | None = None,
    encoding: Encoding | None = None,
    target: str = DEFAULT_TARGET,
    bits: int = 8,
) -> Exported:
    """``module`` as NIR with the same spikes; ``path`` says what is written.

    ``net.nir`` writes the graph. ``net.sast`` writes the graph beside it (``net.nir``), compiles it
    for ``target`` at ``bits`` bits, writes the program and verifies it on the sample input.

    ``sample_input`` (samples, steps, *shape) holds 0 and 1 and must make every population fire;
    ``dt`` is the length of a step in seconds, which frameworks that count in steps do not know;
    ``encoding`` says how events become such input. Neurons of snnTorch, Norse, SpikingJelly, sinabs
    and `sast_compile.nn` are known; `register_neuron` adds others. Raises Unsupported listing every
    layer that could not be mapped, and CompileError if any spike differs.
    """
    if sample_input.ndim < 3:
        raise CompileError(
            f"the sample input has shape {tuple(sample_input.shape)}",
            where="export",
            hint="(samples, steps, *shape) is expected",
        )
    suffix = _suffix(path)
    traced = trace(module)
    contract = contract_of(traced.rules, dt, encoding)
    spikes = spikes_of(module, traced.rules, sample_input)
    graph = graph_of(traced, spikes, tuple(sample_input.shape[2:]), contract)
    program = to_program(graph, contract, program_name(path) if path else "exported")
    _check(program, sample_input, spikes)
    counts = {name: int(s.sum()) for name, s in spikes.items()}
    exported = Exported(graph, contract, program, counts)
    if path is None:
        return exported
    nir_path = str(Path(path).with_suffix(".nir"))
    write_nir(graph, nir_path)
    if suffix == ".nir":
        return exported
    artifact = compile_model(nir_path, target, bits).artifact
    assert artifact is not None  # every pass ran
    save_artifact(artifact, path)
    verification = verify(artifact, events=sample_input.cpu().numpy(), model=nir_path)
    return Exported(graph, contract, program, counts, artifact, verification)


def _suffix(path: str | None) -> str | None:
    suffix = Path(path).suffix if path else None
    if suffix not in (None, ".nir", SUFFIX):
        raise CompileError(f"ends in {suffix!r}", where=str(path), hint=f".nir or {SUFFIX}")
    return suffix


def _check(program: Program, events: Tensor, spikes: Mapping[str, Tensor]) -> None:
    """Raises unless the float program gives the module's own spikes, at least one per layer."""
    trace_ = reference.run(program, events.cpu().numpy())
    for name, own in spikes.items():
        if not bool(own.any()):
            raise CompileError(
                "never fires on the sample input, so its export cannot be checked",
                where=name,
                hint="give stronger or longer sample input",
            )
        differing = int((trace_[name].spikes != own.cpu().numpy()).sum())
        if differing:
            raise CompileError(
                f"the exported graph differs from the module in {differing} of {own.numel()} "
                "spikes",
                where=name,
                hint="register_neuron a mapping that says what this neuron computes",
            )
