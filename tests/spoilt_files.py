"""Two good .nir files, and seeded ways to spoil them in their true on-disk form."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import nir
import numpy as np
from small_nets import DT, TAU, contract, write_graph

from sast_compile.contract import METADATA_KEY, Encoding

Mutation: TypeAlias = Callable[[np.random.Generator, h5py.File], None]

PICTURES = Encoding(steps=20, axes="PYX", values="binary", bin="1 ms")


def conv_graph() -> nir.NIRGraph:
    """input (2, 6, 6) -> conv -> IF -> pool -> flatten -> fc -> CubaLIF -> back, output."""
    rng = np.random.default_rng(3)
    nodes: dict[str, Any] = {
        "input": nir.Input(np.array([2, 6, 6])),
        "conv": nir.Conv2d(
            (6, 6), rng.uniform(-0.2, 0.6, (3, 2, 3, 3)), 1, (0, 0), (1, 1), 1, np.zeros(3)
        ),
        "if1": nir.IF(np.full((3, 4, 4), 1 / DT), np.ones((3, 4, 4))),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten(np.array([3, 2, 2]), 0, -1),
        "fc": nir.Linear(rng.uniform(-0.3, 0.9, (4, 12))),
        "cuba": nir.CubaLIF(
            *(np.full(4, x) for x in (0.005, TAU, TAU / DT, 0.0, 0.5)),
            v_reset=np.zeros(4), w_in=np.ones(4),
        ),
        "output": nir.Output(np.array([4])),
    }  # fmt: skip
    names = list(nodes)
    edges = list(pairwise(names))
    metadata = {METADATA_KEY: contract(encoding=PICTURES).to_json()}
    return nir.NIRGraph(nodes, edges, metadata, type_check=False)


def good_files(folder: Path) -> dict[str, bytes]:
    """The bytes of a dense and of a convolutional net."""
    dense, conv = folder / "dense.nir", folder / "conv.nir"
    return {
        "dense": write_graph(dense).read_bytes(),
        "conv": write_graph(conv, conv_graph()).read_bytes(),
    }


def edited(data: bytes, edit: Callable[[h5py.File], None]) -> bytes:
    """The file ``data`` after ``edit``."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        edit(file)
    return buffer.getvalue()


def put(file: h5py.File, path: str, value: Any, **options: Any) -> None:
    """Stores ``value`` at ``path``, in the place of what is there."""
    if path in file:
        del file[path]
    file.create_dataset(path, data=value, **options)


def paths(file: h5py.File) -> list[str]:
    """Every data set of the graph."""
    found: list[str] = []
    file["node"].visititems(lambda name, item: found.append(f"node/{name}")
                            if isinstance(item, h5py.Dataset) else None)  # fmt: skip
    return found


def pick(rng: np.random.Generator, options: list[Any]) -> Any:
    return options[int(rng.integers(len(options)))]


def delete(rng: np.random.Generator, file: h5py.File) -> None:
    del file[pick(rng, paths(file))]


def delete_node(rng: np.random.Generator, file: h5py.File) -> None:
    del file[f"node/nodes/{pick(rng, list(file['node/nodes']))}"]


def retype(rng: np.random.Generator, file: h5py.File) -> None:
    """The same numbers in another type or with one axis more."""
    path = pick(rng, [p for p in paths(file) if file[p].dtype.kind in "iuf"])
    value = file[path][()]
    changes = [
        lambda v: np.asarray(v, np.float32),
        lambda v: np.asarray(v, np.float64),
        lambda v: np.asarray(v, np.int64) if np.all(v == np.floor(v)) else v,
        lambda v: np.asarray(v)[None],
        lambda v: np.asarray(v).ravel(),
        lambda v: np.asarray(v).ravel()[0],
        lambda v: np.asarray(v).ravel()[:1],
        lambda v: np.asarray(v).astype("S8"),
        lambda v: np.asarray(v, complex),
    ]
    put(file, path, pick(rng, changes)(value))


def replace(rng: np.random.Generator, file: h5py.File) -> None:
    """Anything else in the place of a data set."""
    path = pick(rng, paths(file))
    values = [
        np.nan, np.inf, -1, 0, 1e300, 1e-300, 2.5, True, b"same", "text", np.zeros(0), np.zeros(7),
        np.ones((2, 3)), np.arange(5) - 2, np.full(5, np.nan), np.int64(2**62), "\ud800",
        np.array([b"a", b"b"]), h5py.Empty("f"), np.array([3, 2**40]), "IF", "NIRGraph", "Teapot",
    ]  # fmt: skip
    try:
        put(file, path, pick(rng, values))
    except UnicodeEncodeError:
        if path in file:
            del file[path]
        file[path] = np.bytes_(b"\xff\xfe")


def relink(rng: np.random.Generator, file: h5py.File) -> None:
    """A link of another kind, a group in place of data, or a shape that only is declared."""
    path = pick(rng, paths(file))
    kind = int(rng.integers(5))
    del file[path]
    if kind == 0:
        file[path] = h5py.ExternalLink("/etc/passwd", "/x")
    elif kind == 1:
        file[path] = h5py.SoftLink("/node")
    elif kind == 2:
        file[path] = file["node"]
    elif kind == 3:
        file.create_group(path)
    else:
        file.create_dataset(path, shape=(2**20, 2**20), chunks=(16, 16), dtype="f8")


def rewire(rng: np.random.Generator, file: h5py.File) -> None:
    """Edges doubled, dropped, turned, renamed, or of another shape."""
    edges = file["node/edges"][()]
    at, kind = int(rng.integers(len(edges))), int(rng.integers(7))
    changed: Any = edges.copy()
    if kind == 0:
        changed = np.concatenate([edges, edges[at : at + 1]])
    elif kind == 1:
        changed = np.delete(edges, at, axis=0)
    elif kind == 2:
        changed[at] = edges[at][::-1]
    elif kind == 3:
        changed[at, int(rng.integers(2))] = b"ghost"
    elif kind == 4:
        names = np.unique(edges)
        changed = np.concatenate([edges, [[pick(rng, names.tolist()), pick(rng, names.tolist())]]])
    elif kind == 5:
        changed = edges.ravel()
    else:
        changed = np.arange(2 * len(edges)).reshape(-1, 2)
    put(file, "node/edges", changed, dtype=h5py.string_dtype() if kind < 6 else None)


MUTATIONS: dict[str, Mutation] = {
    "delete": delete,
    "delete_node": delete_node,
    "retype": retype,
    "replace": replace,
    "relink": relink,
    "rewire": rewire,
}
SAME = ("delete", "retype")  # after these a file means what it meant, or nothing certain


def spoilt(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """The name of a mutation and the file after it: of its content, or of its very bytes."""
    kind = pick(rng, [*MUTATIONS, "flip", "cut"])
    if kind == "cut":
        return kind, data[: int(rng.integers(8, len(data)))]
    if kind == "flip":
        flipped = np.frombuffer(data, np.uint8).copy()
        at = rng.integers(8, len(data), int(rng.integers(1, 9)))
        flipped[at] ^= rng.integers(1, 256, len(at), dtype=np.uint8)
        return kind, flipped.tobytes()
    return kind, edited(data, lambda file: MUTATIONS[kind](rng, file))
