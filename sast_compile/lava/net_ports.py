"""The ports of a CompiledNet: Lava's own, with refusals that say what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from lava.magma.core.process.ports.ports import AbstractVirtualPort, InPort, create_port_id

from sast_compile.errors import TypeMismatch

LAVAS_CHECK = "_validate_ports"  # lava-nc 0.10: AbstractPort._validate_ports compares by !=


class NetInPort(InPort):  # type: ignore[misc]  # Lava has no types
    """The input port; it looks at the chosen models when Lava makes the channels.

    A hierarchical Process learns nothing of the run configuration, and without a tag Lava takes the
    floating-point LIF in silence. Lava asks this port for its destinations after it has chosen the
    models and before any of them starts.
    """

    def get_dst_ports(self, _include_self: bool = False) -> Any:
        self.process.check_models()
        return super().get_dst_ports(_include_self)


class FanInPort(InPort):  # type: ignore[misc]
    """The ``s_in`` behind a `NetInPort`: what several sources send is transformed for each of them.

    lava-nc 0.10, AbstractPort.get_incoming_virtual_ports, keeps one source where connections meet
    in the port of a hierarchical Process: the others would arrive in their own shape, and the
    Dense would fail.
    """

    def get_incoming_transform_funcs(self) -> dict[str, list[Any]]:
        paths = {
            source: [port.get_transform_func_fwd() for port in between]
            for source, between in _paths(self)
        }
        return {source: transforms for source, transforms in paths.items() if transforms}


def _paths(port: Any) -> Iterator[tuple[str, list[Any]]]:
    """Each source port that leads to ``port``, and the virtual ports between, source first."""
    if not port.in_connections:
        yield create_port_id(port.process.id, port.name), []
    own = [port] if isinstance(port, AbstractVirtualPort) else []
    for before in port.in_connections:
        for source, between in _paths(before):
            yield source, between + own


class PortShape(tuple[int, ...]):
    """The sizes of ``port``, in C order.

    An ordinary tuple, but where Lava compares it with the shape of a port to be connected: there
    TypeMismatch names both, before Lava's ``AssertionError: Shapes ... are incompatible``. Python
    asks the subclass of tuple first, so this holds for ``connect`` and ``connect_from``, from
    either side.
    """

    port: str

    def __new__(cls, sizes: Sequence[int], port: str) -> PortShape:
        shape = super().__new__(cls, sizes)
        shape.port = port
        return shape

    def __getnewargs__(self) -> tuple[tuple[int, ...], str]:
        """What `pickle` hands to ``__new__``: Lava saves apps by pickling them."""
        return tuple(self), self.port

    def __ne__(self, other: object) -> bool:
        different = tuple.__ne__(self, other)
        if different is True and sys._getframe(1).f_code.co_name == LAVAS_CHECK:
            raise _mismatch(self, other)
        return different

    __eq__ = tuple.__eq__
    __hash__ = tuple.__hash__


def _mismatch(shape: PortShape, other: object) -> TypeMismatch:
    sizes = tuple(other) if isinstance(other, tuple) else other
    return TypeMismatch(
        f"its shape is {tuple(shape)}, that of the port connected to it {sizes}",
        where=shape.port,
        hint="reshape(new_shape) a port that has the same elements in C order, transpose(axes) one"
        " that has other axes first, or put a Dense between them",
    )
