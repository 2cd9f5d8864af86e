"""Events on their way into a program: checked against its inputs, for every back end alike.

The events of a program with one input are an array (samples, steps, *shape), or `SparseEvents`.
Those of several are a structured array (samples, steps) with one field, of an input's shape, for
each: so samples and steps can be counted and cut alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.errors import CompileError
from sast_compile.ir.program import Program
from sast_compile.ir.sparse import SparseEvents, check_sparse
from sast_compile.ir.types import Array, Float, Int

OfInput: TypeAlias = npt.ArrayLike | SparseEvents
Events: TypeAlias = OfInput | Mapping[str, OfInput]


def input_batch(program: Program, events: Events) -> dict[str, Array]:
    """The events by input name, int64 or float64 (samples, steps, *shape).

    Raises CompileError naming the input if shape, range or kind of number do not fit.
    """
    return {name: _wide(program, name, data) for name, data in checked(program, events).items()}


def _wide(program: Program, name: str, data: Array) -> Array:
    whole = not isinstance(program.types[name].element, Float)
    return data.astype(np.int64 if whole else np.float64)


def checked(program: Program, events: Events) -> dict[str, Array]:
    """The events by input name as arrays, if shape, range and kind of number fit."""
    return {name: as_array(name, data) for name, data in as_given(program, events).items()}


def as_given(program: Program, events: Events) -> dict[str, Array | SparseEvents]:
    """The events by input name as they were given, if shape, range and kind of number fit."""
    given = by_input(program, events)
    if set(given) != set(program.inputs):
        raise CompileError(f"events for {sorted(given)}, but the inputs are {program.inputs}")
    batch = {name: _fitting(program, name, data) for name, data in given.items()}
    sizes = {name: samples_and_steps(data) for name, data in batch.items()}
    if len(set(sizes.values())) > 1:
        raise CompileError(f"the inputs differ in samples or steps: {sizes}")
    return batch


def samples_and_steps(data: Array | SparseEvents) -> tuple[int, int]:
    """How many samples there are, and how many steps each has."""
    if isinstance(data, SparseEvents):
        return data.samples, data.steps
    return data.shape[0], data.shape[1]


def as_array(name: str, data: OfInput) -> Array:
    """The events of the input ``name`` (samples, steps, *shape); CompileError if damaged."""
    if isinstance(data, SparseEvents):
        return check_sparse(data, name).to_dense()
    return np.asarray(data)


def by_input(program: Program, events: Events) -> dict[str, OfInput]:
    """The events of each input; one array without fields, or sparse events, serve them all."""
    if isinstance(events, Mapping):
        return dict(events)
    if isinstance(events, SparseEvents):
        return dict.fromkeys(program.inputs, events)
    names = np.asarray(events).dtype.names
    if names is None:
        return dict.fromkeys(program.inputs, events)
    return {name: np.asarray(events)[name] for name in names}


def busiest(program: Program, events: Events) -> float:
    """The largest share of an input's elements that is other than 0 in one step of one sample."""
    return max(_busiest(data) for data in by_input(program, events).values())


def _busiest(data: OfInput) -> float:
    if isinstance(data, SparseEvents):
        return data.busiest()
    array = np.asarray(data)
    return float((array != 0).reshape(*array.shape[:2], -1).mean(axis=2).max())


def together(events: Mapping[str, Array]) -> Array:
    """The events of one input as they are, of several as one structured array.

    Raises CompileError if the inputs differ in samples or steps.
    """
    if len(events) == 1:
        return next(iter(events.values()))
    sizes = {name: data.shape[:2] for name, data in events.items()}
    if len(set(sizes.values())) != 1:
        raise CompileError(f"the inputs differ in samples or steps: {sizes}")
    fields = [(name, data.dtype, data.shape[2:]) for name, data in events.items()]
    joined = np.zeros(next(iter(sizes.values())), np.dtype(fields))
    for name, data in events.items():
        joined[name] = data
    return joined


def _fitting(program: Program, name: str, data: OfInput) -> Array | SparseEvents:
    if not isinstance(data, SparseEvents):
        return _checked(program, name, np.asarray(data))
    check_shape(program, name, (data.samples, data.steps, *data.shape))
    element = program.types[name].element
    if isinstance(element, Int) and element.high < 1 and len(data.index):
        raise CompileError(f"events 0..1 are not integers of {element}", where=name)
    return check_sparse(data, name)


def check_shape(program: Program, name: str, shape: tuple[int, ...]) -> None:
    """CompileError unless ``shape`` is (samples, steps, *shape of the input), with a sample."""
    type_ = program.types[name]
    if len(shape) < 2 or shape[2:] != type_.shape or shape[0] < 1:
        raise CompileError(
            f"events of shape {shape} do not fit {type_}",
            where=name,
            hint=f"(samples, steps, {', '.join(map(str, type_.shape))}) is expected",
        )


def _checked(program: Program, name: str, data: Array) -> Array:
    type_ = program.types[name]
    if data.dtype.kind not in "biuf":
        raise CompileError(f"events of {data.dtype} are no numbers", where=name)
    check_shape(program, name, data.shape)
    if not isinstance(type_.element, Float):
        low, high = type_.element.low, type_.element.high
        fractions = data.dtype.kind == "f" and (
            not np.isfinite(data).all() or bool((data != np.trunc(data)).any())
        )
        if data.size and (fractions or data.min() < low or data.max() > high):
            raise CompileError(
                f"events {data.min()}..{data.max()} are not integers of {type_.element}", where=name
            )
    return data
