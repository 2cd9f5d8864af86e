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
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import small_nets
from command_line import (
    Command,
    as_process,
    assert_refused,
    assert_refused_in_python,
    files,
    in_process,
)
from safetensors import numpy as safetensors_numpy
from small_nets import write_graph, write_model

from sast_compile.artifact import artifact_bytes, save_artifact
from sast_compile.compile import compile_model
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
    assert_refused(sast, ["picture.png"], ["a model ends in .pt, .nir or .net, not in '.png'"])
    assert_refused(sast, ["folder/model"], ["a model ends in .pt, .nir or .net, not in ''"])


@pytest.mark.parametrize("verb", ["verify", "run", "inspect"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_as_artifacts(sast: Command, here: Path, kind: str, verb: str) -> None:
    (here / "x.sast").write_bytes(FOREIGN[kind][0])
    assert_refused(sast, [verb, "x.sast"], ["x.sast: is "])
    assert_refused(sast, [verb, "none.sast"], ["none.sast: there is no such file"])


def test_a_model_is_no_artifact(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    assert_refused(sast, ["verify", "net.nir"], ["compile a model first: sast-compile net.nir"])


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
        ("kind=lif", "alif", ["lif1: ", "'alif'", "kinds: flatten, linear, conv2d, lif, if"]),
        ('{"alpha":0.9', '"alpha":0.8', ["the contract says neurons", "the network has"]),
        ('{"version":2', '"version":3', ["contract version 3 is none of the 1 to 2", "update"]),
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
    assert_refused(sast, [path.name], ["lif1: v_threshold = 0 is not positive"])


def test_a_contract_named_for_a_checkpoint(sast: Command, here: Path) -> None:
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    write_model(here / "net.pt")
    words = ["states its own contract; --contract is for .nir"]
    assert_refused(sast, ["net.pt", "--contract", "nir-euler", "--dt", 1], words)


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


def test_a_target_whose_passes_leave_floats_writes_nothing(tmp_path: Path) -> None:
    text = read_target_text("loihi2")
    begin, end = text.index("passes = ["), text.index("oracles")
    chip = tmp_path / "half.toml"
    chip.write_text(text[:begin] + 'passes = ["fold_scales"]\n' + text[end:], encoding="utf-8")
    with pytest.raises(CompileError, match="still a float neuron after loihi2's passes"):
        compile_model(write_graph(tmp_path / "net.nir"), str(chip))
