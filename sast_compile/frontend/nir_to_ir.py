"""A NIR graph as a program in float64, under a discretisation contract.

``tau dv/dt = (v_leak - v) + r I`` becomes ``v <- alpha v + gain I`` with ``alpha = 1 - dt/tau``,
``gain = r dt/tau`` (Euler) or ``alpha = exp(-dt/tau)``, ``gain = r (1 - alpha)`` (exact); NIR's IF,
``dv/dt = r I``, has ``alpha = 1``, ``gain = r dt``. Where the contract itself gives alpha and gain,
these are taken and only compared with tau and r.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

import h5py
import nir
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from sast_compile.contract import METADATA_KEY, Contract, contract_from_json
from sast_compile.errors import BadFile, CompileError, ContractMissing, Unsupported
from sast_compile.files import HDF5, read_whole
from sast_compile.frontend.nir_conv import conv2d
from sast_compile.ir.neuron import Factor, Fire, Param, Ref, Reset, State
from sast_compile.ir.ops import Add, Dense, Flatten, Input, Neuron, Op
from sast_compile.ir.program import NAME, Edge, Node, Program, check
from sast_compile.ir.types import Const, Float, TensorType

Floats: TypeAlias = npt.NDArray[np.float64]

PROJECTIONS, NEURONS = ("Linear", "Affine", "Conv2d"), ("IF", "LIF")
SUPPORTED = ("Input", "Output", "Flatten", *PROJECTIONS, *NEURONS)
COUNT_BITS = 8  # of an input that the contract calls "counts"
SMALLEST, LARGEST = 1e-30, 1e30  # of every parameter: squares and ratios stay far from overflow
TAU_TOLERANCE = 1e-4  # float32 keeps 7 digits of tau; 1 - dt/tau loses up to 3 of them


def read_nir(path: str | os.PathLike[str]) -> nir.NIRGraph:
    """The graph in the file at ``path``; BadFile if it is missing, damaged, or no NIR."""
    return parse_nir(read_whole(path), os.fspath(path))


def parse_nir(data: bytes, where: str) -> nir.NIRGraph:
    """The graph in the bytes of an HDF5 file; BadFile if they are damaged or no NIR."""
    if not data.startswith(HDF5):
        raise BadFile("is no HDF5 file, so no NIR graph", where=where)
    try:
        _check_kinds(_stored_kinds(data))  # first, for nir does not name a node that it misses
        graph = nir.read(io.BytesIO(data))
    except Unsupported:
        raise
    except Exception as error:  # nir raises whatever its constructors meet
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        what = " ".join(f"{kind}{error}".split())[:300]
        raise BadFile(f"cannot be read as NIR: {what}", where=where) from None
    if not isinstance(graph, nir.NIRGraph):
        raise BadFile(f"holds a single {type(graph).__name__}, not a graph", where=where)
    return graph


def _stored_kinds(data: bytes) -> dict[str, str]:
    """The kind of every node by name, as the file states it."""
    with h5py.File(io.BytesIO(data), "r") as file:
        nodes = file["node"].get("nodes", {})
        return {name: node["type"].asstr()[()] for name, node in nodes.items()}


def _check_kinds(kinds: Mapping[str, str]) -> None:
    """Raises Unsupported naming every node of a kind that has no op."""
    foreign = [(name, kind) for name, kind in kinds.items() if kind not in SUPPORTED]
    if foreign:
        (name, kind), *others = foreign
        more = f"; nor are {', '.join(f'{n} ({k})' for n, k in others)}" if others else ""
        raise Unsupported(
            f"NIR node {kind} is not supported yet{more}",
            where=name,
            hint=f"supported: {', '.join(SUPPORTED)}",
        )


def _kind(node: object) -> str:
    return type(node).__name__


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
        _check_kinds({name: _kind(node) for name, node in self.graph.nodes.items()})
        sources = self._sources()
        order = self._order(sources)
        output = self._output(sources)
        nodes: list[Node] = []
        consts: dict[str, Const] = {}
        for node_name in order:
            if self._kind(node_name) != "Output":
                nodes += self._nodes(node_name, sources[node_name], consts)
        self._check_contract()
        return self._without_biases(Program(name, tuple(nodes), (output,), consts))

    def _kind(self, name: str) -> str:
        return _kind(self.graph.nodes[name])

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
            self._check_edge(source, target)
            sources[target].append(source)
        fed = {source for its in sources.values() for source in its}
        for node_name, its in sources.items():
            if not its and self._kind(node_name) != "Input":
                raise BadFile("nothing feeds this node", where=node_name)
            if node_name not in fed and self._kind(node_name) != "Output":
                raise BadFile("this node feeds nothing", where=node_name)
        return sources

    def _check_edge(self, source: str, target: str) -> None:
        if self._kind(source) == "Output" or self._kind(target) == "Input":
            raise BadFile(
                f"edge {source} -> {target} leaves an Output or enters an Input", where="NIR"
            )
        if self._kind(source) in PROJECTIONS and self._kind(target) not in NEURONS:
            raise Unsupported(
                f"feeds {target} ({self._kind(target)}), and only an {' or '.join(NEURONS)} can "
                "follow it yet",
                where=source,
                hint="put a neuron between them, or multiply two weights into one",
            )

    def _order(self, sources: Mapping[str, list[str]]) -> list[str]:
        try:
            return list(TopologicalSorter(sources).static_order())
        except CycleError as error:
            loop = " -> ".join(error.args[1])
            raise Unsupported(f"recurrence is not supported yet: {loop}", where="NIR") from None

    def _output(self, sources: Mapping[str, list[str]]) -> str:
        """The one population whose spikes leave the graph, which also has one input."""
        for kind in ("Input", "Output"):
            names = [n for n in self.graph.nodes if self._kind(n) == kind]
            if not names:
                raise BadFile(f"the graph has no {kind} node", where="NIR")
            if len(names) > 1:
                raise Unsupported(
                    f"{len(names)} {kind} nodes ({', '.join(sorted(names))}) are not supported yet",
                    where="NIR",
                    hint="one of each; nir adds one to a node without an edge",
                )
        (output,) = names
        its = sources[output]
        if len(its) != 1 or self._kind(its[0]) not in NEURONS:
            read = ", ".join(f"{s} ({self._kind(s)})" for s in its)
            raise Unsupported(f"must read one {' or '.join(NEURONS)}, not {read}", where=output)
        return its[0]

    def _check_contract(self) -> None:
        """Raises BadFile if the contract speaks of neurons or axes that the graph does not have."""
        for name in self.contract.neurons:
            if name not in self.graph.nodes or self._kind(name) not in NEURONS:
                raise BadFile(f"states neuron {name!r}, which the graph lacks", where="contract")

    def _nodes(self, name: str, sources: list[str], consts: dict[str, Const]) -> list[Node]:
        """The node, behind an `Add` where several edges meet."""
        edges = tuple(map(Edge, sources))
        before: list[Node] = []
        if len(edges) > 1:
            before = [Node(f"{name}.sum", Add(), edges)]
            edges = (Edge(f"{name}.sum"),)
        return [*before, Node(name, self._op(name, self.graph.nodes[name], consts), edges)]

    def _op(self, name: str, node: Any, consts: dict[str, Const]) -> Op:
        match _kind(node):
            case "Input":
                return self._input(name, node)
            case "Flatten":
                if int(node.start_dim) != 0 or int(node.end_dim) != -1:
                    raise Unsupported("only a Flatten of all axes is supported yet", where=name)
                return Flatten()
            case "Linear" | "Affine":
                return self._dense(name, node, consts)
            case "Conv2d":
                weight = _finite(name, "weight", node.weight)
                if _finite(name, "bias", node.bias).any():
                    raise Unsupported("the bias of a Conv2d is not supported yet", where=name)
                consts[f"{name}.weight"] = Const(TensorType(weight.shape, Float()), weight)
                return conv2d(name, node, weight.shape)
            case _:
                return self._neuron(name, node, consts)

    def _input(self, name: str, node: Any) -> Input:
        shape = tuple(int(n) for n in np.atleast_1d(node.input_type["input"]))
        encoding = self.contract.encoding
        if encoding is not None and len(encoding.axes) != len(shape):
            raise BadFile(
                f"the contract's axes {encoding.axes!r} do not fit the shape {shape}", where=name
            )
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
            value = _finite(name, key, getattr(node, key, 0.0))
            if value.any():
                raise Unsupported(
                    f"{key} = {value[value != 0].flat[0]:g}; other than 0 is not supported yet",
                    where=name,
                    hint="where v_leak = v_reset, subtract it from both and from v_threshold",
                )
        if (threshold <= 0).any():
            raise CompileError(
                f"threshold {threshold.min():g} is not positive",
                where=name,
                hint="a neuron that fires at rest would fire in every step",
            )
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
                    f"give {theirs.flat[0]:.9g}",
                    where=name,
                )
        return np.asarray(stated.alpha), np.asarray(stated.gain)

    def _from_tau(self, name: str, node: Any) -> tuple[Floats, Floats]:
        dt, r = self.contract.dt, _finite(name, "r", node.r)
        if _kind(node) == "IF":
            return np.ones_like(r), r * dt
        tau = _finite(name, "tau", node.tau)
        if (tau <= 0).any():
            raise CompileError(
                f"time constant tau = {tau.min():g} s is not positive",
                where=name,
                hint="NIR's tau is in seconds; a neuron without leak is an IF",
            )
        alpha = 1 - dt / tau if self.contract.leak == "euler" else np.exp(-dt / tau)
        if (alpha < 0).any():
            raise CompileError(
                f"dt = {dt:g} s exceeds tau = {tau.min():g} s: an Euler step would overshoot",
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
            if not isinstance(node.op, Dense) or key not in consts:  # a neuron has its bias already
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
    given = np.asarray(value)
    if given.dtype.kind not in "biuf":
        raise BadFile(f"{key} is no array of real numbers but of {given.dtype}", where=name)
    data = given.astype(np.float64)
    bad = int((~np.isfinite(data)).sum())
    if bad:
        raise CompileError(f"{key} holds {bad} NaN or Inf of {data.size}", where=name)
    largest = np.abs(data).max(initial=0.0)
    if largest and not SMALLEST <= largest <= LARGEST:
        raise CompileError(
            f"{key} of magnitude {largest:g} lies outside {SMALLEST:g}..{LARGEST:g}",
            where=name,
            hint="choose other units, so that no product of two numbers can leave float64",
        )
    return data


def _param(key: str, data: Floats, shape: tuple[int, ...], consts: dict[str, Const]) -> Param:
    """One number where all neurons agree, else a constant with one number each."""
    if (data == data.flat[0]).all():
        return float(data.flat[0])
    consts[key] = Const(TensorType(shape, Float()), np.broadcast_to(data, shape))
    return Ref(key)
