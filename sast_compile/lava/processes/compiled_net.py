"""A compiled network as one hierarchical Lava Process made of stock ones."""

import os
from collections.abc import Sequence
from typing import Any, Union

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from sast_compile.artifact import Artifact, load_artifact
from sast_compile.backends.lava.graph import Graph, Source, lower
from sast_compile.backends.lava.stock import dense_process, lif_process
from sast_compile.errors import TypeMismatch, Unsupported


class CompiledNet(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """The network of a ``.sast`` file, bit for bit, with one input and one output port.

    Ports: ``inp`` takes the events of a step in the shape of the program's input, for event data
    (polarity, row, column); ``out`` sends the output layer's spikes. The elements are in C order:
    flattening a (P, Y, X) array by numpy gives the order in which the first layer reads it.
    Spikes are 0 or 1; an input of several bits takes graded values, as Lava's Dense does.

    Latency: what is sent to ``inp`` in step t leaves ``out`` in step ``t + latency``, one step for
    every projection on the longest path.

    ``reset_interval``: the length of a sample in steps; every layer then starts each sample from
    rest, in the very step in which the sample's first column reaches it. ``first_step`` is the
    step (Lava counts from 1) in which the source sends column 0. None: the states run on.

    ``layers`` holds the stock LIF processes by node name: ``net.layers["lif1"].v`` can be watched
    by a Monitor. Run with ``Loihi2SimCfg(select_tag="fixed_pt")``. Raises CompileError for a file
    that is no .sast or a program that stock Lava cannot hold.
    """

    def __init__(
        self,
        path: Union[str, "os.PathLike[str]"],
        *,
        reset_interval: int | None = None,
        first_step: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.artifact: Artifact = load_artifact(path)
        self.graph: Graph = lower(self.artifact.program)
        source, output = _only_ports(self.graph)
        self.latency = self.graph.latency
        self.layers = {
            population.name: lif_process(population, reset_interval, first_step)
            for population in self.graph.populations
        }
        self.projections = {}
        self.inp = InPort(shape=Shape(source.shape, "inp"))
        for projection in self.graph.projections:
            start = next(p.start for p in self.graph.populations if p.name == projection.target)
            dense = dense_process(projection, reset_interval, first_step + start)
            self.projections[projection.name] = dense
            if projection.source == source.name:
                self.inp.flatten().connect(dense.s_in)
            else:
                self.layers[projection.source].s_out.flatten().connect(dense.s_in)
            shape = self.layers[projection.target].a_in.shape
            dense.a_out.reshape(shape).connect(self.layers[projection.target].a_in)
        self.out = OutPort(shape=Shape(self.layers[output].s_out.shape, "out"))
        self.layers[output].s_out.connect(self.out)


class Shape(tuple):  # type: ignore[type-arg]
    """A port's shape that says which port it is when Lava compares it with another."""

    def __new__(cls, sizes: Sequence[int], port: str) -> "Shape":
        shape = super().__new__(cls, sizes)
        shape.port = port  # type: ignore[attr-defined]
        return shape

    def __ne__(self, other: object) -> bool:
        if tuple(self) != other:
            raise TypeMismatch(
                f"port {self.port} has shape {tuple(self)}, the port connected to it {other}",  # type: ignore[attr-defined]
                where="CompiledNet",
                hint="reshape the other port: port.reshape(net.inp.shape)",
            )
        return False

    __eq__ = tuple.__eq__
    __hash__ = tuple.__hash__


def _only_ports(graph: Graph) -> tuple[Source, str]:
    """The one input and the one output; Unsupported if there are several."""
    if len(graph.sources) != 1 or len(graph.outputs) != 1:
        raise Unsupported(
            f"{len(graph.sources)} inputs and {len(graph.outputs)} outputs; a CompiledNet has one",
            where=graph.name,
        )
    return graph.sources[0], graph.outputs[0]


@implements(proc=CompiledNet, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class CompiledNetModel(AbstractSubProcessModel):  # type: ignore[misc]
    """Names the processes inside: Lava finds them as attributes of this model."""

    def __init__(self, proc: CompiledNet) -> None:
        inner = [*proc.projections.values(), *proc.layers.values()]
        for index, process in enumerate(inner):
            setattr(self, f"inner{index}", process)
