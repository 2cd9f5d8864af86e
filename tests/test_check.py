"""`check` lists every problem of a model at once, each at its node; what is certain is repaired."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from command_line import Command, document, in_process
from small_nets import EDGES, artifact, contract, graph, lif, write_graph, write_model
from spoilt_files import SAME, edited, good_files, put, spoilt

from sast_compile.artifact import save_artifact
from sast_compile.backends import reference
from sast_compile.errors import CompileError
from sast_compile.frontend.nir_file import load_nir
from sast_compile.frontend.source import Source, read_source
from sast_compile.report.check import check_model

Edit = Callable[[h5py.File], Any]


@pytest.fixture
def sast(capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(capsys)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spikes(source: Source) -> dict[str, np.ndarray[Any, Any]]:
    """What every population fires on the same random events."""
    program = source.program
    shape = program.types[program.inputs[0]].shape
    events = (np.random.default_rng(0).random((2, 20, *shape)) < 0.3).astype(np.int64)
    trace = reference.run(program, events)
    return {name: trace[name].spikes for name in program.neurons}


def assert_same_spikes(path: Path, other: Path) -> None:
    ours, theirs = spikes(read_source(path)), spikes(read_source(other))
    assert all(spiked.any() for spiked in ours.values())
    assert {n: s.tolist() for n, s in ours.items()} == {n: s.tolist() for n, s in theirs.items()}


def problems(path: Path, **options: Any) -> list[tuple[str | None, str]]:
    return [(p.where, p.what) for p in check_model(str(path), **options).problems]


# ---- everything at once


def six(file: h5py.File) -> None:
    node = file["node/nodes"]
    del node["fc1/weight"]
    put(file, "node/nodes/lif1/tau", np.full(5, np.nan))
    put(file, "node/nodes/lif1/r", np.ones(4))
    put(file, "node/nodes/fc2/weight", np.ones((3, 9)))
    del node["lif2/v_threshold"]
    put(file, "node/nodes/side/type", "Teapot")
    edges = [*EDGES, ("lif1", "ghost"), ("lif1", "fc2")]
    put(file, "node/edges", np.array(edges, dtype=h5py.string_dtype()))


def test_all_problems_of_a_file(sast: Command, here: Path) -> None:
    path = here / "net.nir"
    path.write_bytes(edited(good_files(here)["dense"], six))
    found = document(sast("check", path.name, "--json"), 1)
    wheres = {(p["where"], p["what"]) for p in found["problems"]}
    assert wheres >= {
        ("fc1", "lacks its weight"),
        ("lif1", "tau holds 5 NaN or Inf of 5"),
        ("lif2", "lacks its v_threshold"),
        ("side", "NIR node Teapot is not supported"),
        ("lif1", "the edge ('lif1', 'ghost') has an end that is no node"),
        ("fc2", "the edge lif1 -> fc2 is there twice"),
        ("side", "nothing feeds this node"),
        ("side", "this node feeds nothing"),
    }
    assert all(set(p) == {"where", "what", "hint", "target"} for p in found["problems"])
    assert found["fits"] == dict.fromkeys(("loihi2", "loihi2-netx", "paper-sim"), False)
    ended = sast("check", path.name)
    assert (ended.code, ended.err) == (1, "")
    assert f"{len(found['problems'])} problems" in ended.out
    with pytest.raises(CompileError, match=r"check net.nir` lists \d more"):
        read_source("net.nir")


def test_shapes_and_parameters_of_several_nodes(here: Path) -> None:
    nodes = {
        "fc1": nir.Linear(np.ones((5, 7))),
        "lif1": lif(5, v_threshold=-np.ones(5)),
        "fc2": nir.Linear(np.ones((4, 5))),
        "lif2": lif(3, tau=np.full(3, 1e-5)),
        "output": nir.Output(np.array([8])),
    }
    path = write_graph(here / "net.nir", graph(contract(), **nodes))
    assert problems(path) == [
        ("output", "states the shape (8,), but lif2 has the shape (3,)"),
        ("fc1", "weight (5, 7) does not fit an input of shape (6,)"),
        ("lif2", "a current of shape (4,) does not fit the population of shape (3,)"),
        ("lif1", "v_threshold = -1 is not positive"),
        ("lif2", "dt = 0.001 s exceeds tau = 1e-05 s: an Euler step would overshoot"),
    ]


def test_a_missing_contract_hides_nothing(here: Path) -> None:
    path = write_graph(here / "net.nir", graph(fc1=nir.Linear(np.ones((5, 7)))))
    first, second = problems(path)
    assert first[0] == str(path)
    assert first[1].startswith("NIR does not say dt")
    assert second[0] == "fc1"
    assert problems(path, contract=contract()) == [second]


def test_what_several_populations_need_of_a_chip(sast: Command, here: Path) -> None:
    large = {name: lif(n, v_threshold=np.full(n, 1e5)) for name, n in (("lif1", 5), ("lif2", 3))}
    write_graph(here / "net.nir", graph(contract(), **large))
    found = document(sast("check", "net.nir", "--json", "--target", "loihi2"), 1)
    assert [(p["where"], p["target"]) for p in found["problems"]] == [
        ("lif1", "loihi2"),
        ("lif2", "loihi2"),
    ]
    assert all(p["what"].startswith("threshold ") and p["hint"] for p in found["problems"])
    assert found["fits"] == {"loihi2": False}


def test_a_good_file_of_each_kind(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    save_artifact(artifact(here / "other.nir"), here / "net.sast")
    fine = {"problems": [], "repairs": [], "unsaid": []}
    fits = {"loihi2": True, "loihi2-netx": True, "paper-sim": True}
    assert document(sast("check", "net.nir", "--json")) == {**fine, "fits": fits}
    assert document(sast("check", "net.sast", "--json")) == {**fine, "fits": {"loihi2": True}}
    found = document(sast("check", "net.sast", "--json", "--target", "paper-sim"), 1)
    assert found["fits"] == {"loihi2": True, "paper-sim": False}
    ended = sast("check", "net.nir", "--target", "loihi2")
    assert (ended.code, ended.out.split()) == (0, ["loihi2:", "fits", "no", "problems"])


def test_a_checkpoint(sast: Command, here: Path) -> None:
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    write_model(here / "net.pt")
    assert sast("check", "net.pt").code == 0
    write_model(here / "nan.pt", spoil="nan")
    (problem,) = document(sast("check", "nan.pt", "--json"), 1)["problems"]
    assert "1 NaN or Inf of 30 weights" in problem["what"]


@pytest.mark.parametrize("name", ["none.nir", "none.pt", "none.net", "none.sast", "x.txt"])
def test_no_model(sast: Command, here: Path, name: str) -> None:
    (problem,) = document(sast("check", name, "--json"), 1)["problems"]
    assert problem["where"] == name


def test_options_that_do_not_exist_are_no_problem_of_the_file(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    assert "unknown target" in sast("check", "net.nir", "--target", "loihi9").message
    assert "9-bit weights" in sast("check", "net.nir", "--bits", "9").message


# ---- repairs


def gone(*paths: str) -> Edit:
    return lambda file: [file.__delitem__(f"node/nodes/{path}") for path in paths]


def both(first: Edit, second: Edit) -> Edit:
    return lambda file: (first(file), second(file))


def now(path: str, value: Any) -> Edit:
    return lambda file: put(file, f"node/nodes/{path}", value)


def moved(old: str, new: str) -> Edit:
    return lambda file: file.move(f"node/nodes/{old}", f"node/nodes/{new}")


def without_end(name: str) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[f"node/nodes/{name}"]
        edges = [edge for edge in file["node/edges"][()].tolist() if name.encode() not in edge]
        put(file, "node/edges", np.array(edges, dtype=h5py.string_dtype()))

    return edit


REPAIRS: dict[str, tuple[str, Edit, str]] = {
    "v_reset, of nir < 1.0.6": ("dense", gone("lif1/v_reset"), "lif1: v_reset is missing: 0"),
    "w_in": ("conv", gone("cuba/w_in"), "cuba: w_in is missing: 1"),
    "end_dim": ("conv", gone("flat/end_dim"), "flat: end_dim is missing: -1"),
    "v_th, of nir 0.0": ("dense", moved("lif1/v_threshold", "lif1/v_th"), "lif1: v_th is"),
    "weights": ("dense", moved("fc1/weight", "fc1/weights"), "fc1: weights is the weight"),
    "a Linear with a bias": ("dense", now("fc1/bias", np.zeros(5)), "fc1: a Linear with a bias"),
    "a scalar": ("dense", now("lif1/tau", 0.01), "lif1: tau: a single number"),
    "one of (1,)": ("dense", now("lif1/tau", np.full(1, 0.01)), "lif1: tau: a single number"),
    "a stride as float": ("conv", now("conv/stride", 1.0), "conv: stride is stored as float64"),
    "a shape as float": ("dense", now("input/shape", np.array([6.0])), "input: shape is stored"),
    "a shape as scalar": ("dense", now("input/shape", 6), "input: shape is a single number"),
    "no shape of the Input": ("dense", gone("input/shape"), "input: its shape is (6,)"),
    "the shape by another name": (
        "dense", moved("input/shape", "input/input_type"), "input: its input_type is its shape",
    ),
    "an Input with a batch": (
        "dense", now("input/shape", np.array([1, 6])), "input: its shape (1, 6) is (6,)",
    ),
    "no shape of the Output": ("dense", gone("output/shape"), "output: states no shape"),
    "an Output with batch and time": (
        "dense", now("output/shape", np.array([1, 1, 3])), "output: its shape (1, 1, 3) is (3,)",
    ),
    "no Input": ("dense", without_end("input"), "input_fc1: the graph has no Input: added"),
    "no Output": ("dense", without_end("output"), "output_lif2: the graph has no Output: added"),
}  # fmt: skip


@pytest.mark.parametrize("case", REPAIRS)
def test_what_is_certain_is_repaired_and_said(sast: Command, here: Path, case: str) -> None:
    net, edit, said = REPAIRS[case]
    good = good_files(here)[net]
    (here / "old.nir").write_bytes(edited(good, edit))
    assert_same_spikes(here / "old.nir", here / f"{net}.nir")
    found = document(sast("check", "old.nir", "--json", "--target", "loihi2"))
    assert found["problems"] == []
    assert any(repair.startswith(said) for repair in found["repairs"]), found["repairs"]
    ended = sast("old.nir", "-o", "old.sast")
    assert (ended.code, f"repaired: {said}" in ended.out) == (0, True)
    assert f"repaired: {said}" in sast("run", "old.nir").err


@pytest.mark.parametrize("edit", [gone("conv/input_shape"), gone("flat/input_type"),
                                  now("conv/padding", np.bytes_(b"valid"))])  # fmt: skip
def test_what_nir_may_leave_out_or_spell_otherwise(here: Path, edit: Edit) -> None:
    good = good_files(here)["conv"]
    (here / "old.nir").write_bytes(edited(good, edit))
    assert_same_spikes(here / "old.nir", here / "conv.nir")
    assert read_source(here / "old.nir").repairs == ()


def test_populations_of_single_numbers(here: Path) -> None:
    keys = ("tau", "r", "v_leak", "v_threshold", "v_reset")
    values = (0.01, 10.0, 0.0, 1.0, 0.0)

    def edit(file: h5py.File) -> None:
        for key, value in zip(keys, values, strict=True):
            put(file, f"node/nodes/lif1/{key}", value)

    (here / "old.nir").write_bytes(edited(good_files(here)["dense"], edit))
    assert_same_spikes(here / "old.nir", here / "dense.nir")
    said = "lif1: its parameters are single numbers, taken for a population of (5,)"
    assert read_source(here / "old.nir").repairs == (said,)


# ---- what is not certain

REFUSED: dict[str, tuple[str, Edit, str, str]] = {
    "no stride": ("conv", gone("conv/stride"), "conv", "lacks its stride"),
    "no bias": ("conv", gone("conv/bias"), "conv", "lacks its bias"),
    "no tau": ("dense", gone("lif1/tau"), "lif1", "lacks its tau"),
    "a stride of 1.5": ("conv", now("conv/stride", 1.5), "conv", "stride = 1.5 is no whole number"),
    "groups of 0": ("conv", now("conv/groups", 0), "conv", "groups = 0 is no positive number"),
    "other groups": ("conv", now("conv/groups", 2), "conv", "channels to 3 in 2 groups"),
    "another input shape": (
        "conv", now("conv/input_shape", np.array([7, 7])), "conv", "states an input of shape (7,",
    ),
    "another flatten": (
        "conv", now("flat/input_type", np.array([2, 2, 3])), "flat", "states an input of shape",
    ),
    "a shape with no size": ("dense", now("input/shape", np.array([-1])), "input", "is no shape"),
    "a huge shape": ("dense", now("input/shape", np.array([2**40])), "input", "no whole number"),
    "two shapes": ("dense", now("lif1/tau", np.full(4, 0.01)), "lif1", "the shapes (4,), (5,)"),
    "an unknown attribute": ("dense", now("lif1/tref", 1.0), "lif1", "has a `tref`, which no LIF"),
    "an empty array": ("dense", now("lif1/tau", np.zeros(0)), "lif1", "tau holds no number"),
    "text": ("dense", now("fc1/weight", "many"), "fc1", "weight is no array of real numbers"),
    "a vector of weights": ("dense", now("fc1/weight", np.ones(6)), "fc1", "is no Linear of NIR"),
    "no type": ("dense", gone("fc1/type"), "fc1", "does not say its type"),
    "no node": ("dense", both(gone("fc1"), now("fc1", 3.0)), "fc1", "is no group of attributes"),
    "an external link": (
        "dense", both(gone("fc1/weight"), lambda f: f.__setitem__(
            "node/nodes/fc1/weight", h5py.ExternalLink("dense.nir", "/node/nodes/fc1/weight"))),
        "fc1", "weight is a link, not data",
    ),
    "a shape that is only declared": (
        "dense", both(gone("fc1/weight"), lambda f: f.create_dataset(
            "node/nodes/fc1/weight", (2**25, 2**25), "f8", chunks=(64, 64))),
        "fc1", "weight declares a shape (33554432, 33554432) that its 0 bytes cannot hold",
    ),
    "no edges": ("dense", lambda f: f.__delitem__("node/edges"), "old.nir", "edges are missing"),
    "edges of numbers": (
        "dense", lambda f: put(f, "node/edges", np.arange(4).reshape(2, 2)), "old.nir",
        "edge 0 -> 1 is no pair of names",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_certain_is_a_problem_of_its_node(here: Path, case: str) -> None:
    net, edit, where, what = REFUSED[case]
    Path("old.nir").write_bytes(edited(good_files(here)[net], edit))
    found = [(p.where, p.what) for p in check_model("old.nir").problems]
    assert any(w == where and what in said for w, said in found), found
    with pytest.raises(CompileError) as caught:
        read_source("old.nir")
    assert (caught.value.where, caught.value.what) in found


def test_a_loop_of_projections_and_one_apart_from_all(here: Path) -> None:
    loop = {name: nir.Linear(np.eye(5)) for name in ("a", "b", "c", "d")}
    edges = [*EDGES, ("lif1", "a"), ("a", "b"), ("b", "a"), ("b", "lif1"), ("c", "d"), ("d", "c")]
    found = problems(write_graph(here / "net.nir", graph(contract(), edges, **loop)))
    loops = {what for _, what in found if what.startswith("a loop without a population")}
    assert {len(what.split(" -> ")) for what in loops} == {3}
    assert len(loops) == 2


# ---- HDF5 that is no tree


def deep(file: h5py.File) -> None:
    group = file["node"].create_group("deep")
    for _ in range(200):
        group = group.create_group("x")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (deep, "nests deeper than 32"),
        (lambda f: f.__setitem__("node/nodes/again", f["node"]), "holds a group twice"),
        (lambda f: f.__delitem__("node"), "cannot be read as NIR"),
        (both(lambda f: f.__delitem__("node"), lambda f: f.__setitem__("node", 1)), "is no group"),
        (lambda f: f.__delitem__("node/nodes"), "its graph has no nodes"),
        (lambda f: put(f, "node/type", "LIF"), "holds a single LIF, not a graph"),
    ],
)
def test_files_that_are_no_graph(here: Path, edit: Edit, words: str) -> None:
    data = edited(good_files(here)["dense"], edit)
    with pytest.raises(CompileError, match=words):
        load_nir(data, "x.nir")
    (here / "x.nir").write_bytes(data)
    ((where, what),) = problems(Path("x.nir"))
    assert (where, words in what) == ("x.nir", True)


def test_a_heap_of_texts_that_libhdf5_would_never_leave(here: Path) -> None:
    data = bytearray(good_files(here)["conv"])
    data[data.index(b"GCOL") + 9] = 66
    with pytest.raises(CompileError, match="the heap of its texts is damaged"):
        load_nir(bytes(data), "x.nir")


# ---- anything


@pytest.mark.slow
def test_two_hundred_mutations(here: Path) -> None:
    """Never a traceback or a hang; where a file still compiles, it fires as before."""
    good, path = good_files(here), here / "spoilt.nir"
    before = {net: spikes(read_source(here / f"{net}.nir")) for net in good}
    kinds = set()
    for seed in range(200):
        net, began = ("dense", "conv")[seed % 2], time.monotonic()
        kind, data = spoilt(good[net], np.random.default_rng(seed))
        path.write_bytes(data)
        found = check_model(str(path), ["loihi2"])
        if any(problem.target is None for problem in found.problems):
            with pytest.raises(CompileError):
                read_source(path)
            kinds.add((kind, "refused"))
            continue
        after = spikes(read_source(path))  # it imports, for check found nothing against it
        kinds.add((kind, "read"))
        if kind in SAME:
            assert {n: s.tolist() for n, s in after.items()} == {
                n: s.tolist() for n, s in before[net].items()
            }, (seed, kind)
        assert time.monotonic() - began < 20, (seed, kind)
    assert {("delete", "read"), ("retype", "read"), ("flip", "read")} <= kinds
    assert len({kind for kind, _ in kinds}) == 8
