"""Nodes of a file as nodes of nir: repaired where what is meant is certain, else refused.

A repair never chooses between two functions: it takes NIR's own default, one number for many, a
whole number stored as a float, or an attribute by the name that an older nir gave it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import nir
import numpy as np

from sast_compile.errors import Unsupported
from sast_compile.frontend.nir_findings import BadNode, Findings
from sast_compile.frontend.nir_hdf5 import Unreadable
from sast_compile.frontend.nir_kinds import NEURONS, SUPPORTED
from sast_compile.frontend.nir_schema import (
    OLD_NAMES,
    SAID_ELSEWHERE,
    SCHEMAS,
    SHAPES,
    SINGLE,
    Schema,
)
from sast_compile.frontend.numbers import finite

MOST_ELEMENTS = 2**26  # of a shape: far more neurons than a chip has


def stored_kind(name: str, fields: Mapping[str, Any], found: Findings) -> str:
    """The kind of a stored node; "" and a problem where it does not say any that we know."""
    kind = fields.get("type")
    if not isinstance(kind, str):
        found.bad(name, "does not say its type", "a NIR node stores its kind as `type`")
        return ""
    if kind not in SUPPORTED:
        supported = f"supported: {', '.join(SUPPORTED)}"
        found.add(Unsupported(f"NIR node {kind} is not supported", where=name, hint=supported))
    return kind


def node_of(name: str, kind: str, fields: Mapping[str, Any], found: Findings) -> Any:
    """The nir node that ``fields`` describe; a `BadNode` where there are problems."""
    before = len(found.problems)
    if kind not in SCHEMAS:
        return BadNode(kind)
    given = _renamed(name, fields, found)
    if kind == "Linear" and given.get("bias") is not None:
        kind = "Affine"
        found.repaired(name, "a Linear with a bias, as nir 0.0.x wrote it: an Affine")
    schema = SCHEMAS[kind]
    values = _present(name, kind, schema, given, found)
    values = {key: _checked(name, key, value, schema, found) for key, value in values.items()}
    if len(found.problems) > before:
        return BadNode(kind)
    if kind in NEURONS:
        values = _alike(name, values, [key for key in values if key in given], found)
    node = _made(name, kind, values, found)
    return BadNode(kind) if len(found.problems) > before else node


def _renamed(name: str, fields: Mapping[str, Any], found: Findings) -> dict[str, Any]:
    given = dict(fields)
    for old, new in OLD_NAMES.items():
        if old in given and new not in given:
            given[new] = given.pop(old)
            found.repaired(name, f"{old} is the {new} of nir 0.0.x")
    for own in ("input_type", "output_type"):  # of an end: what later versions call its shape
        if given.get("type") in ("Input", "Output") and given.get("shape") is None and own in given:
            given["shape"] = given.pop(own)
            found.repaired(name, f"its {own} is its shape")
    for key, value in given.items():
        if isinstance(value, dict) and key in (*SHAPES, "output_type") and len(value) == 1:
            given[key] = next(iter(value.values()))
    return given


def _present(
    name: str, kind: str, schema: Schema, given: Mapping[str, Any], found: Findings
) -> dict[str, Any]:
    """The attributes of the schema that are there, or have a default."""
    values: dict[str, Any] = {}
    for key in schema.names:
        value = given.get(key)
        if value is not None:
            values[key] = value
        elif key not in schema.defaults:
            found.bad(name, f"lacks its {key}", f"a {kind} has {', '.join(schema.names)}")
        elif (default := schema.defaults[key]) is not None:
            values[key] = np.asarray(default)
            found.repaired(name, f"{key} is missing: {default:g}, as NIR says")
        elif kind == "Output":
            found.repaired(name, "states no shape: it is that of its population")
    for key in given:
        if key not in schema.names and key not in SAID_ELSEWHERE:
            what = f"has a `{key}`, which no {kind} of NIR has"
            found.bad(name, what, "remove it, if it means nothing")
    return values


def _checked(name: str, key: str, value: Any, schema: Schema, found: Findings) -> Any:
    """The value as an array of its kind; None and a problem if it is none."""
    if isinstance(value, (Unreadable, dict)):
        found.bad(name, f"{key} {value.why if isinstance(value, Unreadable) else 'is a group'}")
        return None
    if key in schema.whole:
        return _whole(name, key, value, found)
    if np.size(value) == 0:
        found.bad(name, f"{key} holds no number")
        return None
    with found.keeping():
        finite(name, key, value)
    if np.asarray(value).dtype.kind == "b":
        found.repaired(name, f"{key} is stored as truth values: 0 and 1")
        return np.asarray(value).astype(np.float64)
    return np.asarray(value)


def _whole(name: str, key: str, value: Any, found: Findings) -> Any:
    if key == "padding" and isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.ndim > 1 or not array.size:
        found.bad(name, f"{key} = {_short(value)} is no whole number")
        return None
    if not np.isfinite(array).all() or (array != np.floor(array)).any() or abs(array).max() > 1e9:
        found.bad(name, f"{key} = {_short(value)} is no whole number")
        return None
    if array.dtype.kind == "f":
        found.repaired(name, f"{key} is stored as {array.dtype}: whole numbers")
    array = array.astype(np.int64)
    if key in SHAPES:
        return _shape(name, key, array, found)
    if key in SINGLE:
        return _single(name, key, array, found)
    return array


def _shape(name: str, key: str, array: Any, found: Findings) -> Any:
    if (array < 1).any() or math.prod(array.ravel().tolist()) > MOST_ELEMENTS:
        what = f"{key} = {_short(array)} is no shape of 1 to {MOST_ELEMENTS} elements"
        found.bad(name, what, "the shape of one step, without a batch or a time")
        return None
    if not array.ndim and key != "input_shape":
        found.repaired(name, f"{key} is a single number: one axis")
    return array if key == "input_shape" else np.atleast_1d(array)


def _single(name: str, key: str, array: Any, found: Findings) -> int | None:
    if array.size != 1 or (key == "groups" and array.min() < 1):
        found.bad(name, f"{key} = {_short(array)} is no {'positive ' * (key == 'groups')}number")
        return None
    return int(array.item())


def _short(value: Any) -> str:
    return " ".join(str(value).split())[:60]


def _alike(
    name: str, values: Mapping[str, Any], stated: Collection[str], found: Findings
) -> dict[str, Any]:
    """Parameters of a population in one shape: a single number holds for every neuron."""
    shapes = {array.shape for array in values.values()}
    many = {shape for shape in shapes if math.prod(shape) > 1}
    if len(many) > 1:
        found.bad(name, f"its parameters have the shapes {', '.join(map(str, sorted(many)))}")
        return dict(values)
    shape = next(iter(many), max(shapes, key=len))
    lone = ", ".join(k for k in stated if values[k].shape != shape)
    if lone:
        found.repaired(name, f"{lone}: a single number, taken for a population of {shape}")
    return {key: np.broadcast_to(array.reshape(()), shape).copy() if array.shape != shape else array
            for key, array in values.items()}  # fmt: skip


def _made(name: str, kind: str, values: dict[str, Any], found: Findings) -> Any:
    """The node by nir's constructor; it is told no input shape, for it fails at odd ones."""
    stated = {key: values.pop(key) for key in ("input_shape", "input_type") if key in values}
    if kind in ("Input", "Output"):
        return getattr(nir, kind)(values.get("shape"))
    for key in ("scale", "delay"):
        if key in values and not values[key].shape:
            found.repaired(name, f"{key} is a single number: every element's")
    if kind in ("Conv1d", "Conv2d"):
        values["input_shape"] = None
    if kind == "Flatten":
        values["input_type"] = None
    try:
        node = getattr(nir, kind)(**values)
    except Exception as error:  # nir raises whatever its constructors meet
        found.bad(name, f"is no {kind} of NIR: {' '.join(str(error).split())[:200]}")
        return None
    if "input_shape" in stated:
        node.input_shape = stated["input_shape"]
    if "input_type" in stated:
        node.input_type = {"input": stated["input_type"]}
    return node
