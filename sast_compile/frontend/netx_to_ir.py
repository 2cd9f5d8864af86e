"""A lava-dl network (`.net`, HDF5) as an integer program: its integers as they are.

What the keys mean is what lava-dl's netx makes of them (lava.lib.dl.netx.hdf5, NetDict): a layer is
a projection and a population with ``du = iDecay - 1``, ``dv = vDecay``, ``vth = vThMant`` and the
bias, in weight units, shifted left by 6. Convolution kernels are stored unflipped, (outputs,
inputs, rows, columns, 1), and a flatten runs channels, rows, columns.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import h5py
import numpy as np
import numpy.typing as npt

from sast_compile.contract import Contract
from sast_compile.errors import BadFile, CompileError, TypeMismatch, Unsupported
from sast_compile.files import HDF5, read_whole
from sast_compile.ir.loihi import ALIGNMENT, loihi_neuron
from sast_compile.ir.neuron import Param, Ref
from sast_compile.ir.ops import Add, Conv2d, Dense, Flatten, Input, Neuron, Op
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType, int_holding

Integers: TypeAlias = npt.NDArray[np.int64]
Table: TypeAlias = Mapping[str, Any]  # the data sets of a layer

SUPPORTED = ("input", "conv", "dense", "flatten")
NEURONS = ("LOIHI", "CUBA")
MOST = 2**31 - 1  # of a number in the file: what is larger was not meant as an integer


@dataclass(frozen=True)
class Net:
    """A file as it was read: its layers in order, and ``simulation/Ts`` as ``Ts``."""

    layers: list[Table]
    simulation: Table

    def program(self, name: str) -> Program:
        """The integer program; zero latency, as slayer computes it.

        What happens outside the chip is not in it: see `left_out`. Raises Unsupported naming the
        layer and its type, BadFile for layers that do not fit together.
        """
        return _Import(self.chip_layers).program(name)

    @property
    def contract(self) -> Contract:
        """Loihi's neuron, as every .net means it; dt is ``simulation/Ts`` in ms (else 1 ms).

        No integer of the network depends on dt.
        """
        step = _whole(self.simulation, "Ts", "simulation").flat[0].item()
        return Contract(
            dt=step * 1e-3, leak="euler", reset="zero", reset_when="after_fire", compare=">"
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the file says that the program does not hold, in words: the host's part."""
        said = [
            f"layer{index}: the host averages groups of outputs; decisions are of outputs"
            for index in range(len(self.chip_layers), len(self.layers))
        ]
        first = self.layers[0]
        if "neuron/type" in first and _text(first, "type", "layer0") == "input":
            coding = "its neurons turn values into spikes before the chip; give the spikes"
            said.insert(0, f"layer0: {coding}")
        return tuple(said)

    @property
    def chip_layers(self) -> list[Table]:
        """The layers without the averages at the end, which count spikes and have no neurons."""
        last = len(self.layers)
        while last > 1 and _text(self.layers[last - 1], "type", f"layer{last - 1}") == "average":
            last -= 1
        return self.layers[:last]


def read_net(path: str | os.PathLike[str], name: str) -> Program:
    """The integer program of the lava-dl network at ``path``; see `parse_net`."""
    return parse_net(read_whole(path), str(path)).program(name)


def parse_net(data: bytes, where: str) -> Net:
    """The network in ``data``, the bytes of an HDF5 file; BadFile if they are anything else."""
    if not data.startswith(HDF5):
        raise BadFile("is no HDF5 file, so no lava-dl network", where=where)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            stated = file.get("simulation/Ts")
            simulation = {"Ts": stated[()] if isinstance(stated, h5py.Dataset) else 1}
            return Net(_layers(file, where), simulation)
    except (OSError, KeyError, RuntimeError, UnicodeDecodeError) as error:
        raise BadFile(f"cannot be read as a lava-dl network: {error}", where=where) from None


def _layers(file: h5py.File, where: str) -> list[Table]:
    group = file.get("layer")
    if not isinstance(group, h5py.Group) or not len(group):
        raise BadFile("has no layers", where=where)
    names = [str(i) for i in range(len(group))]
    return [_table(group[name]) for name in names]


def _table(group: h5py.Group) -> Table:
    """The data sets of a layer by key, those of its neuron as ``neuron/KEY``."""
    table: dict[str, Any] = {}
    for key, item in group.items():
        if isinstance(item, h5py.Group):
            table |= {f"{key}/{inner}": value for inner, value in _table(item).items()}
        else:
            table[key] = item[()]
    return table


@dataclass
class _Import:
    """The layers on their way to nodes; the last node and its shape lead on."""

    layers: list[Table]
    nodes: list[Node] = field(default_factory=list)
    consts: dict[str, Const] = field(default_factory=dict)
    shape: tuple[int, ...] = ()

    def program(self, name: str) -> Program:
        for index, layer in enumerate(self.layers):
            kind = _text(layer, "type", f"layer{index}")
            if kind not in SUPPORTED:
                raise Unsupported(
                    f"a lava-dl layer of type {kind!r} is not supported",
                    where=f"layer{index}",
                    hint=f"supported: {', '.join(SUPPORTED)}",
                )
            if index == 0 and kind != "input":
                self._spikes(_input_shape(layer))
            if index and kind == "input":
                raise BadFile("an input layer behind others", where=f"layer{index}")
            getattr(self, f"_{kind}")(f"layer{index}", layer)
        if not any(isinstance(node.op, Neuron) for node in self.nodes):
            raise BadFile("has no layer with neurons", where=name)
        return check(Program(name, tuple(self.nodes), (self.nodes[-1].name,), self.consts))

    def _spikes(self, shape: tuple[int, ...]) -> None:
        self._append("input", Input(shape=shape))
        self.shape = shape

    def _input(self, name: str, layer: Table) -> None:
        """The events; neurons of the input layer code values outside the chip (`Net.left_out`)."""
        self._spikes(_sizes(layer, "shape", name))

    def _flatten(self, name: str, layer: Table) -> None:
        self._append(name, Flatten())
        self.shape = (int(np.prod(self.shape)),)

    def _conv(self, name: str, layer: Table) -> None:
        weight = _whole(layer, "weight", name)
        if weight.ndim != 5 or weight.shape[4] != 1:
            raise BadFile(f"weight of shape {weight.shape} is no 2-D kernel", where=name)
        pads = _pair(layer, "padding", name, least=0)
        ref, exponent = self._weight(name, weight[..., 0])
        op = Conv2d(
            weight=ref,
            exponent=exponent,
            stride=_pair(layer, "stride", name),
            padding=((pads[0], pads[0]), (pads[1], pads[1])),
            dilation=_pair(layer, "dilation", name),
            groups=_pair({"groups": layer.get("groups", 1)}, "groups", name)[0],
        )
        self._project(name, op, layer)

    def _dense(self, name: str, layer: Table) -> None:
        if len(self.shape) != 1:
            self._flatten(f"{name}.flat", layer)
        weight = _whole(layer, "weight", name)
        if weight.ndim < 2:
            raise BadFile(f"weight of shape {weight.shape} is no matrix", where=name)
        matrix = weight.reshape(len(weight), -1)
        ref, exponent = self._weight(name, matrix)
        op, delays = Dense(weight=ref, exponent=exponent), _delays(name, layer, matrix.shape)
        if delays.any():
            self._delayed(name, op, delays, layer)
        else:
            self._project(name, op, layer)

    def _delayed(self, name: str, op: Dense, delays: Integers, layer: Table) -> None:
        """One projection a delay, each with the synapses that have it; their currents add up."""
        source, whole = self.nodes[-1].name, self.consts.pop(op.weight.name)
        currents: list[Edge] = []
        for delay in np.unique(delays):
            part, ref = f"{name}.current.d{delay}", Ref(f"{name}.weight.d{delay}")
            self.consts[ref.name] = Const(whole.type, np.where(delays == delay, whole.data, 0))
            same = Dense(weight=ref, exponent=op.exponent)
            self.nodes.append(Node(part, same, (Edge(source, int(delay)),)))
            currents.append(Edge(part))
        self.nodes.append(Node(f"{name}.current", Add(), tuple(currents)))
        self.shape = (len(delays),)
        self._append(name, _neuron(name, layer, self.shape, self.consts))

    def _weight(self, name: str, weight: Integers) -> tuple[Ref, int]:
        """The weights without the powers of two that all share, and the exponent that has them."""
        shared = int(np.bitwise_or.reduce(np.abs(weight), axis=None))
        exponent = (shared & -shared).bit_length() - 1 if shared else 0
        weight = weight >> exponent
        low, high = int(weight.min()), int(weight.max())
        # above 127 a grid of 8 bits is left only if nothing is negative
        element = int_holding(low if high > 127 else min(low, -1), high)
        self.consts[f"{name}.weight"] = Const(TensorType(weight.shape, element), weight)
        return Ref(f"{name}.weight"), exponent

    def _project(self, name: str, op: Dense | Conv2d, layer: Table) -> None:
        if isinstance(op, Conv2d) and _delays(name, layer, (1, 1)).any():
            raise Unsupported("a delay on a convolution is not supported", where=name)
        try:
            shape = op.result(self.consts, TensorType(self.shape, Int(1, signed=False))).shape
        except TypeMismatch as error:
            raise BadFile(error.what, where=name) from None
        self._append(f"{name}.current", op)
        self._append(name, _neuron(name, layer, shape, self.consts))
        self.shape = shape

    def _append(self, name: str, op: Op) -> None:
        inputs = (Edge(self.nodes[-1].name),) if self.nodes else ()
        self.nodes.append(Node(name, op, inputs))


def _delays(name: str, layer: Table, shape: tuple[int, ...]) -> Integers:
    """The delay of every synapse (outputs, inputs) in steps, as netx's create_dense spreads them.

    One number is for all synapses, one per output for all synapses of an output, one per input for
    all of an input; where both numbers agree, netx takes them for outputs.
    """
    if "delay" not in layer:
        return np.zeros(shape, np.int64)
    delay = _whole(layer, "delay", name).ravel()
    if (delay < 0).any():
        raise BadFile(f"a delay of {delay.min()} steps", where=name)
    if delay.size == 1 or not delay.any():
        return np.full(shape, delay[0])
    if delay.size == shape[0]:
        return np.broadcast_to(delay[:, None], shape)
    if delay.size == shape[1]:
        return np.broadcast_to(delay[None, :], shape)
    raise BadFile(f"{delay.size} delays for weights {shape}", where=name)


def _neuron(name: str, layer: Table, shape: tuple[int, ...], consts: dict[str, Const]) -> Neuron:
    kind = _text(layer, "neuron/type", name)
    if kind not in NEURONS:
        raise Unsupported(
            f"a {kind!r} neuron is not supported", where=name, hint=f"{', '.join(NEURONS)} are"
        )
    for key, plain in (("wgtExp", 0), ("refDelay", 1), ("gradedSpike", 0)):
        if int(np.asarray(layer.get(f"neuron/{key}", plain)).flat[0]) != plain:
            raise Unsupported(f"neuron/{key} other than {plain} is not supported", where=name)
    return loihi_neuron(
        shape,
        du=_number(layer, "neuron/iDecay", name) - 1,
        dv=_number(layer, "neuron/vDecay", name),
        threshold=_number(layer, "neuron/vThMant", name),
        bias=_bias(name, layer, shape, consts),
        bias_exponent=ALIGNMENT,
    )


def _bias(name: str, layer: Table, shape: tuple[int, ...], consts: dict[str, Const]) -> Param:
    """One bias per neuron; a convolution's is one per channel."""
    if "bias" not in layer:
        return 0
    bias = _whole(layer, "bias", name).ravel()
    if bias.size not in (1, shape[0], int(np.prod(shape))):
        raise BadFile(f"{bias.size} biases for neurons of shape {shape}", where=name)
    if bias.size == shape[0]:
        bias = bias.reshape(-1, *(1,) * (len(shape) - 1))
    spread = np.broadcast_to(bias if bias.size != np.prod(shape) else bias.reshape(shape), shape)
    if not spread.any():
        return 0
    element = int_holding(min(int(spread.min()), -1), int(spread.max()))
    consts[f"{name}.bias"] = Const(TensorType(shape, element), spread)
    return Ref(f"{name}.bias")


def _input_shape(layer: Table) -> tuple[int, ...]:
    """The shape of the events, where the file has no input layer."""
    if "inFeatures" in layer:
        return (int(layer["inFeatures"]),)
    weight = np.asarray(layer.get("weight", ()))
    if weight.ndim == 2:
        return (int(weight.shape[1]),)
    raise BadFile("has no input layer, so the shape of the events is unknown", where="layer0")


def _text(layer: Table, key: str, where: str) -> str:
    value = np.asarray(layer.get(key, b"")).ravel()
    if not value.size or not isinstance(value[0], (bytes, str)) or not value[0]:
        raise BadFile(f"has no text {key}", where=where)
    first = value[0]
    return first.decode("ascii", "replace") if isinstance(first, bytes) else str(first)


def _whole(layer: Table, key: str, where: str) -> Integers:
    """The data set as integers; lava-dl stores them as floats."""
    if key not in layer:
        raise BadFile(f"has no {key}", where=where)
    try:
        data = np.asarray(layer[key], dtype=np.float64)
    except (TypeError, ValueError):
        raise BadFile(f"{key} is no array of numbers", where=where) from None
    if not data.size:
        raise BadFile(f"{key} is empty", where=where)
    if not np.isfinite(data).all() or (data != np.rint(data)).any() or np.abs(data).max() > MOST:
        raise CompileError(
            f"{key} is not all integers",
            where=where,
            hint="export the network with lava-dl's quantisation (pre_hook_fx)",
        )
    return data.astype(np.int64)


def _number(layer: Table, key: str, where: str) -> int:
    data = _whole(layer, key, where).ravel()
    if (data != data[0]).any():
        raise Unsupported(f"{key} differs between neurons, not supported yet", where=where)
    return int(data[0])


def _sizes(layer: Table, key: str, where: str) -> tuple[int, ...]:
    return tuple(int(n) for n in _whole(layer, key, where).ravel())


def _pair(layer: Table, key: str, where: str, least: int = 1) -> tuple[int, int]:
    values = _sizes(layer, key, where)
    if min(values) < least:
        raise BadFile(f"{key} {values} is below {least}", where=where)
    return (values[0], values[-1])
