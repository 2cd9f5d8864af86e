"""A compiled network as one hierarchical Lava Process made of stock ones."""

from __future__ import annotations

import os
from typing import Any, TypeAlias, Union

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from sast_compile.artifact import Artifact, load_artifact
from sast_compile.backends.lava.graph import Graph, Projection, Source, lower
from sast_compile.backends.lava.stock import ONCE, connection_process, lif_process
from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.program import Program
from sast_compile.ir.text import parse_program, print_program
from sast_compile.lava.net_ports import FanInPort, NetInPort, PortShape

Net: TypeAlias = Union[str, "os.PathLike[str]", Artifact, Program]


class CompiledNet(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """A compiled network, bit for bit, with one input and one output port.

    ``net`` is the path of a ``.sast`` file, an `Artifact`, or a `Program` (a hand-written one, from
    `parse_program`).

    ``inp`` takes the events of a step in the shape of the program's input, for event data
    (polarity, row, column). Elements are in C order, which is numpy's: ``events.ravel()`` is the
    order in which the first layer reads them. At an input of one bit any value but 0 is a spike;
    an input of several bits takes graded values as they are. Several connections to ``inp`` add up,
    so a spike input reads their OR. ``out`` sends the spikes of the output layer, 0 or 1, in its
    shape.

    What is sent to ``inp`` in step t leaves ``out`` in step ``t + latency``: one step for every
    projection on the way. ``first_step`` is the step (Lava counts from 1) in which column 0 of the
    first sample is sent; it leaves in ``out_step``, which is the ``first_step`` of a net behind.

    ``reset_interval`` is the length of a sample in steps, with no gap between samples: every layer
    starts each sample from rest, in the very step in which its column 0 reaches it. With None the
    states run on; a net with biases still starts at rest once, with column 0 of the first sample.

    ``layers`` and ``projections`` hold the processes inside by node name, in execution order:
    ``monitor.probe(net.layers["lif1"].v, steps)``. All are Intel's, but for a population whose
    reset Intel's LIF lacks. ``program`` is what was loaded.

    Run it with a configuration that picks the bit-accurate models:
    ``Loihi2SimCfg(select_tag="fixed_pt")``. Lava's ``lava.utils.serialization`` saves and loads
    apps with these nets.

    Raises CompileError for a file that is no .sast, for a program that stock Lava cannot hold
    (naming the node), for a port of another shape that is connected, and when an app is compiled
    with a configuration that picks floating-point models.
    """

    def __init__(
        self,
        net: Net,
        *,
        reset_interval: int | None = None,
        first_step: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        _check_steps(reset_interval, first_step)
        self.program = _loaded(net)
        graph = lower(self.program)
        source, output = _only_ports(graph)
        _check_gap(graph, reset_interval)
        starts = {population.name: population.start for population in graph.populations}
        self.latency: int = starts[output]
        self.first_step, self.out_step = first_step, first_step + self.latency
        interval = ONCE if reset_interval is None and _has_bias(graph) else reset_interval
        self.layers = {
            population.name: lif_process(population, interval, first_step)
            for population in graph.populations
        }
        self.projections = {
            label: connection_process(one, interval, first_step + starts[one.target])
            for label, one in zip(graph.labels, graph.projections, strict=True)
        }
        self._add_ports(source, self.layers[output].s_out)
        for label, one in zip(graph.labels, graph.projections, strict=True):
            self._connect(label, one, from_port=one.source == source.name)

    def _add_ports(self, source: Source, last: Any) -> None:
        """``inp`` in the shape of ``source``, and ``out`` behind the port ``last``."""
        self.inp = NetInPort(shape=PortShape(source.shape, f"{self.name}.inp"))
        self.out = OutPort(shape=PortShape(last.shape, f"{self.name}.out"))
        last.connect(self.out)

    def _connect(self, label: str, projection: Projection, *, from_port: bool) -> None:
        """Source, ``projection`` and target, one behind the other."""
        dense, target = self.projections[label], self.layers[projection.target]
        source = self.inp if from_port else self.layers[projection.source].s_out
        if from_port:
            dense.s_in = FanInPort(shape=dense.s_in.shape)
            dense._post_init()  # registers the new port, as Lava's own Read does
        source.flatten().connect(dense.s_in)
        dense.a_out.reshape(target.a_in.shape).connect(target.a_in)

    def __getstate__(self) -> dict[str, Any]:
        """For `pickle`, by which Lava saves apps: the program as its text and constants."""
        arrays = {name: const.data for name, const in self.program.consts.items()}
        return {**self.__dict__, "program": (print_program(self.program), arrays)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, program=parse_program(*state["program"]))

    def check_models(self) -> None:
        """Raises CompileError if the run configuration chose floating-point models."""
        for name, process in {**self.projections, **self.layers}.items():
            model = process.model_class
            if model is not None and "floating_pt" in model.tags:
                raise CompileError(
                    f"the run configuration chose {model.__name__}, which computes in floats",
                    where=f"{self.name}.{name}",
                    hint='Loihi2SimCfg(select_tag="fixed_pt")',
                )


def _check_steps(reset_interval: int | None, first_step: int) -> None:
    for what, value in {"reset_interval": reset_interval, "first_step": first_step}.items():
        if value is not None and value < 1:
            raise CompileError(f"{what} is {value}", where="CompiledNet", hint="count steps from 1")


def _loaded(net: Net) -> Program:
    if isinstance(net, Program):
        return net
    return (net if isinstance(net, Artifact) else load_artifact(net)).program


def _has_bias(graph: Graph) -> bool:
    """Whether anything happens before column 0: without a bias, a silent input leaves all at 0."""
    return any(np.any(population.bias_mant) for population in graph.populations)


def _only_ports(graph: Graph) -> tuple[Source, str]:
    """The one input and the one output; Unsupported if there are several."""
    if len(graph.sources) != 1 or len(graph.outputs) != 1:
        raise Unsupported(
            f"{len(graph.sources)} inputs and {len(graph.outputs)} outputs; a CompiledNet has one"
            " of each",
            where=graph.name,
            hint="return one population; the others can be reached through `layers`",
        )
    (output,) = graph.outputs
    if not all(one.fires for one in graph.populations if one.name == output):
        raise Unsupported(
            "it returns its voltage; the port of a CompiledNet sends spikes",
            where=output,
            hint="return a population that fires; this one's v can be reached through `layers`",
        )
    return graph.sources[0], output


def _check_gap(graph: Graph, reset_interval: int | None) -> None:
    if graph.gap and reset_interval is not None:
        raise Unsupported(
            f"a population reads {graph.gap} columns ahead of its own, so samples without a gap"
            " would see one another",
            where=graph.name,
            hint="compile for loihi2, whose latency pass lets no population read ahead; or leave"
            " reset_interval out",
        )


@implements(proc=CompiledNet, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class CompiledNetModel(AbstractSubProcessModel):  # type: ignore[misc]
    """Names the processes inside: Lava finds them as attributes of this model."""

    def __init__(self, proc: CompiledNet) -> None:
        inner = [*proc.projections.values(), *proc.layers.values()]
        for index, process in enumerate(inner):
            setattr(self, f"inner{index}", process)
