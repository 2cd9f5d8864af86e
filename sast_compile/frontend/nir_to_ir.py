"""A NIR graph as a program in float64, under a discretisation contract.

``tau dv/dt = (v_leak - v) + r I`` becomes ``v <- alpha v + gain I`` with ``alpha = 1 - dt/tau``,
``gain = r dt/tau`` (Euler) or ``alpha = exp(-dt/tau)``, ``gain = r (1 - alpha)`` (exact); NIR's IF,
``dv/dt = r I``, has ``alpha = 1``, ``gain = r dt``. Where the contract itself gives alpha and gain,
these are taken and only compared with tau and r.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import nir
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from sast_compile.contract import METADATA_KEY, Contract, contract_from_json
from sast_compile.errors import BadFile, CompileError, ContractMissing, Unsupported
from sast_compile.ir.neuron import Factor, Fire, Param, Ref, Reset, State
from sast_compile.ir.ops import Add, Dense, Flatten, Input, Neuron, Op
from sast_compile.ir.program import NAME, Edge, Node, Program, check
from sast_compile.ir.types import Const, Float, TensorType

Floats: TypeAlias = npt.NDArray[np.float64]

SUPPORTED = ("Input", "Output", "Flatten", "Linear", "Affine", "IF", "LIF")
COUNT_BITS = 8  # of an input that the contract calls "counts"
TAU_TOLERANCE = 1e-4  # float32 keeps 7 digits of tau; 1 - dt/tau loses up to 3 of them


def read_nir(path: str | os.PathLike[str]) -> nir.NIRGraph:
    """The graph in an HDF5 file; BadFile if it is missing, damaged, or no NIR."""
    where = str(path)
    if not Path(path).is_file():
        raise BadFile("no such file", where=where)
    if not h5py.is_hdf5(path):
        raise BadFile("is no HDF5 file, so no NIR graph", where=where)
    try:
        graph = nir.read(path)
    except Exception as error:  # nir raises whatever its constructors meet
        raise BadFile(f"cannot be read as NIR: {error}", where=where) from None
    if not isinstance(graph, nir.NIRGraph):
        raise BadFile(f"holds a single {type(graph).__name__}, not a graph", where=where)
    return graph


def stated_contract(graph: nir.NIRGraph, where: str) -> Contract | None:
    """The contract in the graph's metadata, or None."""
    text = graph.metadata.get(METADATA_KEY)
    if text is None:
        return None
    if not isinstance(text, (str, bytes)):
        raise BadFile(f"metadata {METADATA_KEY} is {type(text).__name__}, not text", where=where)
    return contract_from_json(text, where)


def missing_contract(where: str) -> ContractMissing:
    """The refusal of a graph that does not say how its time is cut."""
    return ContractMissing(
        "NIR does not say dt, leak rule, reset kind and order, or the comparison at threshold, "
        "and this file carries no contract",
        where=where,
        hint="name one: --contract sast|nir-euler|FILE.json (and --dt SECONDS)",
    )


def to_program(graph: nir.NIRGraph, contract: Contract, name: str) -> Program:
    """The program of ``graph`` in float64; Unsupported or CompileError naming the node."""
    return _Import(graph, contract).program(name)


@dataclass(frozen=True)
class _Import:
    graph: nir.NIRGraph
    contract: Contract

    def program(self, name: str) -> Program:
        sources = self._sources()
        nodes: list[Node] = []
        consts: dict[str, Const] = {}
        for node_name in self._order(sources):
            kind = type(self.graph.nodes[node_name]).__name__
            if kind not in SUPPORTED:
                raise Unsupported(
                    f"NIR node {kind} is not supported yet",
                    where=node_name,
                    hint=f"supported: {', '.join(SUPPORTED)}",
                )
            if kind != "Output":
                nodes += self._nodes(node_name, sources[node_name], consts)
        outputs = tuple(s for n in self._outputs() for s in sources[n])
        return self._without_biases(Program(name, tuple(nodes), outputs, consts))

    def _sources(self) -> dict[str, list[str]]:
        """The sources of each node, in the order of the graph's edges."""
        for node_name in self.graph.nodes:
            if not NAME.fullmatch(node_name):
                raise Unsupported(
                    "a node's name may hold letters, digits and _ . - only",
                    where=repr(node_name),
                    hint="rename the node in the NIR graph",
                )
        sources: dict[str, list[str]] = {n: [] for n in self.graph.nodes}
        for source, target in self.graph.edges:
            if source not in sources or target not in sources:
                raise BadFile(f"edge {source} -> {target} has an end that is no node", where="NIR")
            sources[target].append(source)
        for node_name, its in sources.items():
            if not its and type(self.graph.nodes[node_name]).__name__ != "Input":
                raise BadFile("nothing feeds this node", where=node_name)
        return sources

    def _order(self, sources: Mapping[str, list[str]]) -> list[str]:
        try:
            return list(TopologicalSorter(sources).static_order())
        except CycleError as error:
            loop = " -> ".join(error.args[1])
            raise Unsupported(f"recurrence is not supported yet: {loop}", where="NIR") from None

    def _outputs(self) -> list[str]:
        names = [n for n, node in self.graph.nodes.items() if type(node).__name__ == "Output"]
        if not names:
            raise BadFile("the graph has no Output node", where="NIR")
        return sorted(names)

    def _nodes(self, name: str, sources: list[str], consts: dict[str, Const]) -> list[Node]:
        """The node, behind an `Add` where several edges meet."""
        edges = tuple(map(Edge, sources))
        before: list[Node] = []
        if len(edges) > 1:
            before = [Node(f"{name}.sum", Add(), edges)]
            edges = (Edge(f"{name}.sum"),)
        return [*before, Node(name, self._op(name, self.graph.nodes[name], consts), edges)]

    def _op(self, name: str, node: Any, consts: dict[str, Const]) -> Op:
        match type(node).__name__:
            case "Input":
                return self._input(name, node)
            case "Flatten":
                if int(node.start_dim) != 0 or int(node.end_dim) != -1:
                    raise Unsupported("only a Flatten of all axes is supported yet", where=name)
                return Flatten()
            case "Linear" | "Affine":
                return self._dense(name, node, consts)
            case _:
                return self._neuron(name, node, consts)

    def _input(self, name: str, node: Any) -> Input:
        shape = tuple(int(n) for n in np.atleast_1d(node.input_type["input"]))
        encoding = self.contract.encoding
        counts = encoding is not None and encoding.values == "counts"
        return Input(shape=shape, bits=COUNT_BITS if counts else 1)

    def _dense(self, name: str, node: Any, consts: dict[str, Const]) -> Dense:
        weight = _finite(name, "weight", node.weight)
        if weight.ndim != 2:
            raise Unsupported(f"a weight of shape {weight.shape} is not supported yet", where=name)
        consts[f"{name}.weight"] = Const(TensorType(weight.shape, Float()), weight)
        if hasattr(node, "bias"):
            bias = _finite(name, "bias", node.bias)
            consts[f"{name}.bias"] = Const(TensorType(bias.shape, Float()), bias)
        return Dense(weight=Ref(f"{name}.weight"))

    def _neuron(self, name: str, node: Any, consts: dict[str, Const]) -> Neuron:
        threshold = _finite(name, "v_threshold", node.v_threshold)
        shape = threshold.shape
        if not shape:
            raise BadFile("has scalar parameters, so its size is unknown", where=name)
        for key in ("v_reset", "v_leak"):
            if np.any(_finite(name, key, getattr(node, key, 0.0)) != 0):
                raise Unsupported(f"{key} other than 0 is not supported yet", where=name)
        if (threshold <= 0).any():
            raise CompileError(f"threshold {threshold.min()} is not positive", where=name)
        alpha, gain = self._discretised(name, node)
        at = _param(f"{name}.threshold", threshold, shape, consts)
        return Neuron(
            shape=shape,
            voltage=State(
                decay=Factor(alpha=_param(f"{name}.alpha", alpha, shape, consts)),
                gain=_param(f"{name}.gain", gain, shape, consts),
            ),
            fire=Fire(compare=self.contract.compare, threshold=at),
            reset=Reset(
                kind=self.contract.reset,
                when=self.contract.reset_when,
                amount=at if self.contract.reset == "subtract" else 0,
            ),
        )

    def _discretised(self, name: str, node: Any) -> tuple[Floats, Floats]:
        """alpha and gain: the contract's where it states them, else from tau, r and dt."""
        derived = self._from_tau(name, node)
        stated = self.contract.neurons.get(name)
        if stated is None:
            return derived
        for what, ours, theirs in zip(
            ("alpha", "gain"), (stated.alpha, stated.gain), derived, strict=True
        ):
            if np.abs(ours - theirs).max() > TAU_TOLERANCE * max(1.0, abs(ours)):
                raise BadFile(
                    f"the contract says {what} = {ours}, but tau, r and dt = {self.contract.dt} s "
                    f"give {theirs.flat[0]}",
                    where=name,
                )
        return np.asarray(stated.alpha), np.asarray(stated.gain)

    def _from_tau(self, name: str, node: Any) -> tuple[Floats, Floats]:
        dt, r = self.contract.dt, _finite(name, "r", node.r)
        if type(node).__name__ == "IF":
            return np.ones_like(r), r * dt
        tau = _finite(name, "tau", node.tau)
        if (tau <= 0).any():
            raise CompileError(f"time constant tau = {tau.min()} s is not positive", where=name)
        alpha = 1 - dt / tau if self.contract.leak == "euler" else np.exp(-dt / tau)
        if (alpha < 0).any():
            raise CompileError(
                f"dt = {dt} s exceeds tau = {tau.min()} s: an Euler step would overshoot",
                where=name,
                hint="choose a smaller dt, or the exact leak",
            )
        return alpha, r * (1 - alpha)

    def _without_biases(self, program: Program) -> Program:
        """The biases of Affine nodes, moved into the neurons that they drive."""
        ops: dict[str, Op] = {}
        consts = dict(program.consts)
        for node in program.nodes:
            key = f"{node.name}.bias"
            if key not in consts:
                continue
            target = self._only_neuron(program, node)
            op = ops.get(target, program.neurons[target])
            assert isinstance(op, Neuron)
            gain = op.voltage.gain
            factor = consts[gain.name].data if isinstance(gain, Ref) else gain
            bias = consts.pop(key).data * factor
            if op.voltage.bias != 0:
                bias = bias + consts[f"{target}.bias"].data
            if bias.any():
                consts[f"{target}.bias"] = Const(TensorType(bias.shape, Float()), bias)
                voltage = replace(op.voltage, bias=Ref(f"{target}.bias"))
                ops[target] = replace(op, voltage=voltage)
        return check(Program(program.name, program.nodes, program.outputs, consts).with_ops(ops))

    def _only_neuron(self, program: Program, node: Node) -> str:
        readers = program.consumers(node.name)
        if len(readers) == 1 and isinstance(readers[0].op, Add):
            readers = program.consumers(readers[0].name)
        if len(readers) != 1 or not isinstance(readers[0].op, Neuron):
            raise Unsupported(
                "the bias of an Affine needs exactly one neuron behind it", where=node.name
            )
        return readers[0].name


def _finite(name: str, key: str, value: Any) -> Floats:
    try:
        data = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadFile(f"{key} is no array of numbers", where=name) from None
    bad = int((~np.isfinite(data)).sum())
    if bad:
        raise CompileError(f"{key} holds {bad} NaN or Inf of {data.size}", where=name)
    return data


def _param(key: str, data: Floats, shape: tuple[int, ...], consts: dict[str, Const]) -> Param:
    """One number where all neurons agree, else a constant with one number each."""
    if (data == data.flat[0]).all():
        return float(data.flat[0])
    consts[key] = Const(TensorType(shape, Float()), np.broadcast_to(data, shape))
    return Ref(key)
