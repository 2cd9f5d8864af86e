"""Whatever is wrong with an input: one clear message, exit code 1, nothing written, no traceback.

Every case runs through the command line and from Python. A message says where, what with the
numbers, and the way out.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import small_nets
from command_line import Command, as_process, files, in_process
from safetensors import numpy as safetensors_numpy
from small_nets import EDGES, contract, graph, lif, write_graph, write_model

from sast_compile.artifact import artifact_bytes, load_artifact, save_artifact
from sast_compile.compile import compile_model
from sast_compile.contract import Discretised, Encoding
from sast_compile.errors import CompileError
from sast_compile.target import read_target_text

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


@pytest.fixture
def sast(capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(capsys)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_refused(sast: Command, arguments: list[object], words: list[str], code: int = 1) -> None:
    """The command line says all ``words`` in one message, and leaves every file as it was."""
    before = files(Path())
    ended = sast(*arguments)
    assert ended.code == code
    for word in words:
        assert word in ended.message
    assert files(Path()) == before


def assert_refused_in_python(model: Path, words: list[str], **options: Any) -> None:
    with pytest.raises(CompileError) as caught:
        compile_model(model, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


# files that are no models


def _zip(content: bytes = b"hello") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", content)
    return buffer.getvalue()


def _hdf5(**datasets: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, data in datasets.items():
            file[name] = data
    return buffer.getvalue()


FOREIGN = {
    "a picture": (PNG, "is not a torch checkpoint: a PNG picture", "is no HDF5 file"),
    "a zip": (_zip(), "model.pt: is damaged", "is no HDF5 file"),
    "HDF5 that is no NIR": (_hdf5(x=[1, 2]), "an HDF5 file, perhaps NIR", "cannot be read as NIR"),
    "text": (b"hello, world\n", "starts with the bytes 68 65", "is no HDF5 file"),
    "a bare pickle": (pickle.dumps({"a": 1}), "a bare pickle", "is no HDF5 file"),
    "zeros": (bytes(100), "starts with the bytes 00", "is no HDF5 file"),
    "nothing": (b"", "is empty", "is empty"),
}


@pytest.mark.parametrize("suffix", [".pt", ".nir"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files(sast: Command, here: Path, kind: str, suffix: str) -> None:
    if suffix == ".pt":
        pytest.importorskip("torch", reason="a .pt needs the torch extra")
    data, as_checkpoint, as_graph = FOREIGN[kind]
    path = here / f"model{suffix}"
    path.write_bytes(data)
    words = [f"model{suffix}: ", as_checkpoint if suffix == ".pt" else as_graph]
    assert_refused(sast, [path.name], words)
    assert_refused_in_python(path, words)


@pytest.mark.parametrize("name", ["none.pt", "none.nir", "folder/none.nir"])
def test_missing_files(sast: Command, here: Path, name: str) -> None:
    if name.endswith(".pt"):
        pytest.importorskip("torch", reason="a .pt needs the torch extra")
    assert_refused(sast, [name], [f"{name}: there is no such file"])
    assert_refused_in_python(Path(name), ["there is no such file"])


@pytest.mark.parametrize("name", ["folder.pt", "folder.nir"])
def test_a_folder_is_no_model(sast: Command, here: Path, name: str) -> None:
    if name.endswith(".pt"):
        pytest.importorskip("torch", reason="a .pt needs the torch extra")
    (here / name).mkdir()
    assert_refused(sast, [name], [f"{name}: cannot be read: Is a directory"])


def test_other_endings(sast: Command, here: Path) -> None:
    save_artifact(small_nets.artifact(here / "net.nir"), "net.sast")
    assert_refused(sast, ["net.sast"], ["compiled already: verify, run and inspect take it"])
    (here / "picture.png").write_bytes(PNG)
    assert_refused(sast, ["picture.png"], ["a model ends in .pt or .nir, not in '.png'"])
    assert_refused(sast, ["folder/model"], ["a model ends in .pt or .nir, not in ''"])


@pytest.mark.parametrize("verb", ["verify", "run", "inspect"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_as_artifacts(sast: Command, here: Path, kind: str, verb: str) -> None:
    (here / "x.sast").write_bytes(FOREIGN[kind][0])
    assert_refused(sast, [verb, "x.sast"], ["x.sast: is "])
    assert_refused(sast, [verb, "none.sast"], ["none.sast: there is no such file"])


def test_a_model_is_no_artifact(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    for verb in ("verify", "run"):
        assert_refused(sast, [verb, "net.nir"], ["compile a model first: sast-compile net.nir"])


@pytest.mark.parametrize("kind", ["cut", "flipped", "newer", "foreign"])
def test_damaged_artifacts(sast: Command, here: Path, kind: str) -> None:
    data = artifact_bytes(small_nets.artifact(here / "net.nir"))
    flipped = bytearray(data)
    flipped[-100] ^= 4
    damaged = {
        "cut": (data[:-1], "is damaged"),
        "flipped": (bytes(flipped), "its content is not what was written; hint: compile"),
        "newer": (data.replace(b"sast/1", b"sast/2"), "that this release reads; hint: update"),
        "foreign": (safetensors_numpy.save({"w": np.zeros(3)}), "but not a .sast file"),
    }
    content, words = damaged[kind]
    (here / "x.sast").write_bytes(content)
    for verb in ("verify", "run", "inspect"):
        assert_refused(sast, [verb, "x.sast"], ["x.sast: ", words])


# code in a checkpoint


class Payload:
    """Unpickled, it would make a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {os.getcwd()}/OWNED",)


@pytest.mark.parametrize("shape", ["bare", "bare, protocol 0", "torch archive", "legacy torch"])
def test_a_pickle_with_code_never_runs(sast: Command, here: Path, shape: str) -> None:
    torch = pytest.importorskip("torch", reason="a .pt needs the torch extra")
    path = here / "evil.pt"
    if shape.startswith("bare"):
        path.write_bytes(pickle.dumps(Payload(), protocol=0 if "0" in shape else None))
    else:
        archive = shape == "torch archive"
        torch.save({"format": Payload()}, path, _use_new_zipfile_serialization=archive)
    assert_refused(sast, [path.name], ["evil.pt: "])
    assert_refused_in_python(path, ["evil.pt: "])
    assert_refused(sast, ["inspect", path.name], ["evil.pt: "])
    assert not (here / "OWNED").exists()
    if shape == "torch archive":
        assert_refused(sast, [path.name], ["refused: its pickle wants to run", "state_dict"])
    pickle.loads(pickle.dumps(Payload()))  # the payload is real: only we did not run it
    assert (here / "OWNED").exists()


# numbers and shapes in a checkpoint


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_weights_that_are_no_numbers_in_a_checkpoint(sast: Command, here: Path, value: str) -> None:
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    path = write_model(here / "net.pt", spoil=value)
    words = ["net.pt: fc1.weight has 1 NaN or Inf of 30 weights"]
    assert_refused(sast, [path.name], words)
    assert_refused_in_python(path, words)


def _respelt(torch: Any, path: Path, old: str, new: str) -> None:
    """The checkpoint at ``path`` with one piece of its plain description or contract changed."""
    content = torch.load(path, weights_only=True)
    for layer in content["network"]:
        for key, value in layer.items():
            if f"{key}={value}" == old:
                layer[key] = type(value)(new)
    if old.startswith("{"):
        content["contract"] = content["contract"].replace(old[1:], new)
    torch.save(content, path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("threshold=1.0", "-1.0", ["lif1: ", "threshold -1.0"]),
        ("alpha=0.9", "1.25", ["lif1: ", "alpha = 1.25", "[0, 1]"]),
        ("alpha=0.9", "-0.1", ["lif1: ", "alpha = -0.1", "tau >= dt > 0"]),
        ("alpha=0.9", "nan", ["lif1: ", "alpha = nan"]),
        ("in_features=5", "7", ["fc2: takes 7 inputs but is given shape (5,)"]),
        ("out_features=3", "4", ["fc2.weight has shape (3, 5), the network needs (4, 5)"]),
        ("kind=lif", "alif", ["lif1: ", "'alif'", "kinds: flatten, linear, lif, if"]),
        ('{"alpha":0.9', '"alpha":0.8', ["the contract says neurons", "the network has"]),
        ('{"version":1', '"version":2', ["contract version 2 is not the 1", "update"]),
        ('{"dt":0.001', '"dt":-1', ["dt = -1.0 s is not positive"]),
    ],
)
def test_numbers_that_make_no_network_in_a_checkpoint(
    sast: Command, here: Path, old: str, new: str, words: list[str]
) -> None:
    torch = pytest.importorskip("torch", reason="a .pt needs the torch extra")
    path = write_model(here / "net.pt")
    _respelt(torch, path, old, new)
    assert_refused(sast, [path.name], ["net.pt", *words])
    assert_refused_in_python(path, words)


def test_a_threshold_of_zero_in_a_checkpoint(sast: Command, here: Path) -> None:
    torch = pytest.importorskip("torch", reason="a .pt needs the torch extra")
    path = write_model(here / "net.pt")
    _respelt(torch, path, "threshold=1.0", "0.0")
    assert_refused(sast, [path.name], ["lif1: threshold 0 is not positive"])


def test_a_contract_named_for_a_checkpoint(sast: Command, here: Path) -> None:
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    write_model(here / "net.pt")
    words = ["states its own contract; --contract is for .nir"]
    assert_refused(sast, ["net.pt", "--contract", "nir-euler", "--dt", 1], words)


# NIR graphs


@dataclass(frozen=True)
class Graph:
    """A spoilt graph and what the message says of it."""

    words: list[str]
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=lambda: EDGES)
    stated: Any = field(default_factory=contract)


CUBA = nir.CubaLIF(*(np.full(5, x) for x in (0.01, 0.02, 1.0, 0.0, 1.0)), v_reset=np.zeros(5))
CONV = nir.Conv2d((4, 4), np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1))
GONE: dict[str, None] = dict.fromkeys(("fc1", "lif1", "fc2", "lif2"))
SUPPORTED = "supported: Input, Output, Flatten, Linear, Affine, IF, LIF"
GRAPHS = {
    "NaN weight": Graph(
        ["fc1: weight holds 30 NaN or Inf of 30"], {"fc1": nir.Linear(np.full((5, 6), np.nan))}
    ),
    "Inf bias": Graph(
        ["fc1: bias holds 5 NaN or Inf of 5"],
        {"fc1": nir.Affine(np.ones((5, 6)), np.full(5, np.inf))},
    ),
    "NaN threshold": Graph(
        ["lif1: v_threshold holds 5 NaN"], {"lif1": lif(5, v_threshold=np.full(5, np.nan))}
    ),
    "complex weight": Graph(
        ["fc1: weight is no array of real numbers but of complex128"],
        {"fc1": nir.Linear(np.ones((5, 6), complex))},
    ),
    "weight does not fit its source": Graph(
        ["type mismatch", "input.output: [[6]] -> fc1.input: [[7]]"],
        {"fc1": nir.Linear(np.ones((5, 7)))},
    ),
    "weight does not fit its neurons": Graph(
        ["type mismatch", "fc1.output: [[4]] -> lif1.input: [[5]]"],
        {"fc1": nir.Linear(np.ones((4, 6)))},
    ),
    "bias does not fit": Graph(
        ["lif1: v bias: f64[4] for a population of (5,)"],
        {"fc1": nir.Affine(np.ones((5, 6)), np.ones(4))},
    ),
    "negative threshold": Graph(
        ["lif1: threshold -1 is not positive", "hint"],
        {"lif1": lif(5, v_threshold=np.array([1, 1, -1.0, 1, 1]))},
    ),
    "zero threshold": Graph(
        ["lif1: threshold 0 is not positive"], {"lif1": lif(5, v_threshold=np.zeros(5))}
    ),
    "negative tau": Graph(
        ["lif1: time constant tau = -0.01 s is not positive", "seconds"],
        {"lif1": lif(5, tau=np.full(5, -0.01))},
    ),
    "zero tau": Graph(["lif1: time constant tau = 0 s"], {"lif1": lif(5, tau=np.zeros(5))}),
    "dt > tau": Graph(
        ["lif1: dt = 0.001 s exceeds tau = 0.0005 s", "smaller dt, or the exact leak"],
        {"lif1": lif(5, tau=np.full(5, 5e-4))},
    ),
    "v_reset": Graph(["lif1: v_reset = 0.5", "hint"], {"lif1": lif(5, v_reset=np.full(5, 0.5))}),
    "v_leak": Graph(
        ["lif2: v_leak = -0.2", "hint"], {"lif2": lif(3, v_leak=np.array([0, -0.2, 0]))}
    ),
    "CubaLIF": Graph(
        ["lif1: NIR node CubaLIF is not supported yet", SUPPORTED], {"lif1": CUBA}
    ),
    "several unsupported": Graph(
        ["fc1: NIR node Conv2d is not supported yet; nor are lif1 (CubaLIF)", SUPPORTED],
        {"fc1": CONV, "lif1": CUBA},
    ),
    "a graph in a graph": Graph(
        ["fc1: NIR node NIRGraph is not supported yet", SUPPORTED],
        {
            "fc1": nir.NIRGraph(
                {
                    "input": nir.Input(np.array([6])),
                    "fc": nir.Linear(np.ones((5, 6))),
                    "output": nir.Output(np.array([5])),
                },
                [("input", "fc"), ("fc", "output")],
            )
        },
    ),
    "recurrence": Graph(
        ["recurrence is not supported yet", " -> back", "lif1 -> "],
        {"back": nir.Linear(np.ones((5, 5)))},
        [*EDGES, ("lif1", "back"), ("back", "lif1")],
    ),
    "an edge to nowhere": Graph(["('lif2', 'ghost')"], {}, [*EDGES, ("lif2", "ghost")]),
    "an edge from nowhere": Graph(["('ghost', 'lif2')"], {}, [*EDGES, ("ghost", "lif2")]),
    "an edge twice": Graph(["Duplicate edge", "'fc1'"], {}, [*EDGES, EDGES[0]]),
    "a projection that feeds nothing": Graph(
        ["side: feeds output_side (Output)", "only an IF or LIF can follow it", "hint"],
        {"side": nir.Linear(np.ones((2, 5)))},
        [*EDGES, ("lif1", "side")],
    ),
    "two weights in a row": Graph(
        ["fc1: feeds more (Linear)", "multiply two weights into one"],
        {"more": nir.Linear(np.ones((5, 5)))},
        [("input", "fc1"), ("fc1", "more"), ("more", "lif1"), *EDGES[2:]],
    ),
    "two inputs": Graph(
        ["2 Input nodes (input, other)"],
        {"other": nir.Input(np.array([6])), "fc3": nir.Linear(np.ones((5, 6)))},
        [*EDGES, ("other", "fc3"), ("fc3", "lif1")],
    ),
    "two outputs": Graph(
        ["2 Output nodes (other, output)"],
        {"other": nir.Output(np.array([5]))},
        [*EDGES, ("lif1", "other")],
    ),
    "an output of the input": Graph(
        ["output: must read one IF or LIF, not input (Input)"],
        {"output": nir.Output(np.array([6])), **GONE},
        [("input", "output")],
    ),
    "neurons on the input": Graph(
        ["lif1: is driven by input, which is no projection", "put a Linear between them"],
        {"fc1": None, "lif1": lif(6), "fc2": nir.Linear(np.ones((3, 6)))},
        [("input", "lif1"), *EDGES[2:]],
    ),
    "a name with a space": Graph(
        ["'my layer'", "letters, digits and _ . -", "rename"],
        {"fc1": None, "my layer": nir.Linear(np.ones((5, 6)))},
        [("input", "my layer"), ("my layer", "lif1"), *EDGES[2:]],
    ),
    "a name with a newline": Graph(
        [r"'a\nb'", "rename"],
        {"fc1": None, "a\nb": nir.Linear(np.ones((5, 6)))},
        [("input", "a\nb"), ("a\nb", "lif1"), *EDGES[2:]],
    ),
    "a name of the text form": Graph(
        ["return: a node cannot have this name"],
        {"fc1": None, "return": nir.Linear(np.ones((5, 6)))},
        [("input", "return"), ("return", "lif1"), *EDGES[2:]],
    ),
    "no contract": Graph(
        ["NIR does not say dt", "carries no contract", "--contract sast|nir-euler|", "--dt"],
        stated=None,
    ),
    "contract is no JSON": Graph(["net.nir: the discretisation contract is malformed"], stated="{"),
    "contract lacks a key": Graph(
        ["net.nir", "missing required field `leak`"], stated='{"version":1,"dt":0.001}'
    ),
    "contract is newer": Graph(
        ["net.nir: contract version 9 is not the 1 that this release reads", "update"],
        stated='{"version":9}',
    ),
    "contract with leak > 1": Graph(
        ["net.nir, contract, lif1: leak factor alpha = 1.5 lies outside [0, 1]"],
        stated=contract().to_json().replace('"neurons":{}', '"neurons":{"lif1":{"alpha":1.5}}'),
    ),
    "contract against tau": Graph(
        ["lif1: the contract says alpha = 0.5", "dt = 0.001 s give 0.9"],
        stated=contract(neurons={"lif1": Discretised(0.5)}),
    ),
    "contract against r": Graph(
        ["lif2: the contract says gain = 1.0", "give 2"],
        {"lif2": lif(3, r=np.full(3, 20.0))},
        stated=contract(neurons={"lif2": Discretised(0.9)}),
    ),
    "contract of other neurons": Graph(
        ["contract: states neuron 'lif9', which the graph lacks"],
        stated=contract(neurons={"lif9": Discretised(0.9)}),
    ),
    "contract of other axes": Graph(
        ["input: the contract's axes 'PYX' do not fit the shape (6,)"],
        stated=contract(encoding=Encoding(steps=20, axes="PYX", values="binary", bin="1 ms")),
    ),
    "subtract reset": Graph(
        ["lif1: reset 'subtract' (after_fire) does not exist on loihi2", "zero", "retrain"],
        stated=contract(reset="subtract", reset_when="after_fire"),
    ),
    "subtract reset of snnTorch": Graph(
        ["lif1: reset 'subtract' (after_decay) does not exist on loihi2", "zero", "retrain"],
        stated=contract(reset="subtract", reset_when="after_decay"),
    ),
    "one leak per neuron": Graph(
        ["lif1: one leak per neuron is not supported yet"],
        {"lif1": lif(5, tau=np.linspace(0.01, 0.02, 5))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GRAPHS)
def test_graphs(sast: Command, here: Path, case: str) -> None:
    spoilt = GRAPHS[case]
    path = write_graph(here / "net.nir", graph(spoilt.stated, spoilt.edges, **spoilt.nodes))
    assert_refused(sast, [path.name], spoilt.words)
    assert_refused_in_python(path, spoilt.words)


def test_a_graph_without_an_output_node() -> None:
    from sast_compile.frontend.nir_to_ir import to_program

    bare = graph(contract(), EDGES[:-1])
    del bare.nodes["output"]  # nir.read would add one
    with pytest.raises(CompileError, match="lif2: this node feeds nothing"):
        to_program(bare, contract(), "bare")
    looped = graph(contract(), EDGES)
    for end, kind in (("input", "Input"), ("output", "Output")):
        nodes = {n: node for n, node in looped.nodes.items() if n != end}
        edges = [e for e in EDGES if end not in e]
        fed = [*edges, ("lif2", "fc1")] if end == "input" else [*edges, ("lif2", "fc2")]
        broken = nir.NIRGraph(nodes, fed, type_check=False)
        with pytest.raises(CompileError, match=rf"recurrence|no {kind} node"):
            to_program(broken, contract(), "broken")


def test_a_node_that_is_no_nir(sast: Command, here: Path) -> None:
    path = write_graph(here / "net.nir")
    with h5py.File(path, "r+") as file:
        del file["node/nodes/fc1/weight"]
    assert_refused(sast, [path.name], ["net.nir: cannot be read as NIR: ", "weight"])
    with h5py.File(path, "r+") as file:
        del file["node/nodes/fc1/type"]
        file["node/nodes/fc1/type"] = "Teapot"
    assert_refused(sast, [path.name], ["fc1: NIR node Teapot is not supported yet", SUPPORTED])


def test_every_truncation_of_a_graph(here: Path) -> None:
    data = write_graph(here / "net.nir").read_bytes()
    for cut in range(1, len(data), 1499):
        (here / "cut.nir").write_bytes(data[:cut])
        assert_refused_in_python(here / "cut.nir", ["cut.nir: "])


def test_a_contract_that_is_named_compiles_the_same_program(sast: Command, here: Path) -> None:
    write_graph(here / "bare.nir", graph())
    (here / "mine.json").write_text(contract(encoding=None).to_json(), encoding="utf-8")
    write_graph(here / "stated.nir", graph(contract(encoding=None)))
    assert sast("bare.nir", "--contract", "sast", "--dt", "1e-3", "-o", "a.sast").code == 0
    assert sast("bare.nir", "--contract", "mine.json", "-o", "b.sast").code == 0
    assert sast("stated.nir", "-o", "c.sast").code == 0
    named, file, stated = (load_artifact(f"{x}.sast").program for x in "abc")
    assert named == file
    assert (named.nodes, dict(named.consts)) == (stated.nodes, dict(stated.consts))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--contract", "snn"], ["unknown contract 'snn'", "sast, nir-euler"]),
        (["--contract", "sast"], ["needs a time step", "--dt SECONDS"]),
        (["--contract", "sast", "--dt", "0"], ["dt = 0.0 s is not positive"]),
        (["--contract", "sast", "--dt", "-1"], ["dt = -1.0 s is not positive"]),
        (["--contract", "sast", "--dt", "nan"], ["dt = nan s is not positive"]),
        (["--contract", "sast", "--dt", "inf"], ["dt = inf s is not positive"]),
        (["--contract", "sast", "--dt", "1"], ["lif1: dt = 1 s exceeds tau = 0.01 s"]),
        (["--contract", "none.json"], ["none.json: there is no such file"]),
        (["--dt", "1e-3"], ["--dt needs --contract"]),
    ],
)
def test_contracts_that_are_named_wrongly(
    sast: Command, here: Path, options: list[str], words: list[str]
) -> None:
    write_graph(here / "bare.nir", graph())
    assert_refused(sast, ["bare.nir", *options], words)


def test_a_contract_against_the_one_in_the_file(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    words = ["net.nir: the file states its own contract"]
    assert_refused(sast, ["net.nir", "--contract", "nir-euler", "--dt", "1e-3"], words)


# targets and bits


def test_unknown_targets(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    for target, words in {
        "loihi": ["unknown target 'loihi'", "did you mean `loihi2`?", ".toml"],
        f"{'x' * 300}.toml": ["there is no such file"],
        "xyz": ["unknown target 'xyz'", "known: ", "loihi2"],
        "": ["unknown target ''"],
        "none.toml": ["none.toml: there is no such file", "shipped, by name: ", "loihi2"],
        "./loihi2": ["./loihi2: there is no such file"],
        "/": ["/: cannot be read: Is a directory"],
    }.items():
        assert_refused(sast, ["net.nir", "--target", target], words)
        assert_refused_in_python(here / "net.nir", words, target=target)


@pytest.mark.parametrize("bits", [0, 1, 9, -3, 10**30])
def test_bits_out_of_range(sast: Command, here: Path, bits: int) -> None:
    write_graph(here / "net.nir")
    words = [f"{bits}-bit weights are out of range; hint: 2 to 8 bits"]
    assert_refused(sast, ["net.nir", f"--bits={bits}"], words)
    assert_refused_in_python(here / "net.nir", words, bits=bits)


def test_bits_that_are_no_number(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    ended = sast("net.nir", "--bits", "x")
    assert (ended.code, ended.out) == (2, "")
    assert "Invalid value for '--bits'" in ended.err
    assert_refused_in_python(here / "net.nir", ["x-bit weights are out of range"], bits="x")


LOIHI2 = read_target_text("loihi2")
TOMLS: dict[str, tuple[Callable[[str], str], list[str]]] = {
    "unknown key": (lambda t: t.replace("unit = 64", "unitt = 64"), ["unknown key `unitt`"]),
    "missing key": (lambda t: t.replace("cores = 128\n", ""), ["missing key `cores`"]),
    "wrong type": (lambda t: t.replace("cores = 128", 'cores = "128"'), ["`resources.cores`"]),
    "no TOML": (lambda t: t.replace("[time]", "[time"), ["is no TOML", "line"]),
    "empty": (lambda t: "", ["is empty"]),
    "newer": (lambda t: t.replace("sast-target/1", "sast-target/2"), ["schema 'sast-target/2'"]),
    "an unknown pass": (
        lambda t: t.replace('"snap_decays"', '"snap_decay"'),
        ["pass 'snap_decay' does not exist", "did you mean `snap_decays`?"],
    ),
    "no passes": (
        lambda t: re.sub(r"passes = \[.*?\]", "passes = []", t, flags=re.S),
        ["`passes`"],
    ),
    "no 8 bits": (
        lambda t: t.replace("[1, 2, 3, 4, 5, 6, 7, 8]", "[2, 4]"),
        ["8-bit weights do not exist on loihi2"],
    ),
}


@pytest.mark.parametrize("case", TOMLS)
def test_targets_of_the_user(sast: Command, here: Path, case: str) -> None:
    spoil, words = TOMLS[case]
    write_graph(here / "net.nir")
    (here / "mine.toml").write_text(spoil(LOIHI2), encoding="utf-8")
    assert_refused(sast, ["net.nir", "--target", "mine.toml"], words)
    assert_refused_in_python(here / "net.nir", words, target="mine.toml")


# outputs


def test_outputs_that_cannot_be_written(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    (here / "folder").mkdir()
    (here / "folder" / "kept").touch()
    for out, words in {
        "folder": ["folder: cannot be written: is a folder"],
        ".": [".: cannot be written: is a folder"],
        "none/x.sast": ["none/x.sast: cannot be written", "there is no folder none"],
        "net.nir/x.sast": ["net.nir/x.sast: cannot be written: Not a directory"],
        "/proc/x.sast": ["/proc/x.sast: cannot be written"],
        "x" * 300: ["cannot be written: File name too long"],
    }.items():
        assert_refused(sast, ["net.nir", "-o", out], words)
    assert_refused(sast, ["net.nir", "--dump-ir", "net.nir"], ["net.nir: cannot be made"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    (here / "locked").mkdir(mode=0o500)
    words = ["locked/x.sast: cannot be written: Permission denied"]
    assert_refused(sast, ["net.nir", "-o", "locked/x.sast"], words)


# as a user sees it


def test_the_command_itself_prints_one_line(here: Path) -> None:
    (here / "model.nir").write_bytes(PNG)
    before = files(here)
    ended = as_process("model.nir", cwd=here)
    assert (ended.code, ended.message) == (1, "model.nir: is no HDF5 file, so no NIR graph")
    assert files(here) == before
