"""The .sast file comes back equal, is the same bytes everywhere, and shows any damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_nets
from command_line import ROOT, environment, files
from safetensors import numpy as safetensors_numpy

from sast_compile.artifact import (
    FORMAT,
    METADATA_KEY,
    Artifact,
    Golden,
    artifact_bytes,
    load_artifact,
    save_artifact,
)
from sast_compile.compile import compile_model
from sast_compile.errors import BadFile
from sast_compile.verification import Verdict, verify


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return small_nets.artifact(tmp_path_factory.mktemp("source") / "net.nir")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.sast"


def document(data: bytes) -> dict[str, Any]:
    """The JSON in the header, read as any language would."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, Any] = json.loads(header["__metadata__"][METADATA_KEY])
    return found


def with_document(data: bytes, **changes: Any) -> bytes:
    """The file with other JSON, but the same tensors."""
    text = json.dumps({**document(data), **changes})
    return safetensors_numpy.save(safetensors_numpy.load(data), metadata={METADATA_KEY: text})


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(BadFile) as caught:
        load_artifact(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_it_comes_back_equal(artifact: Artifact, path: Path) -> None:
    save_artifact(artifact, path)
    back = load_artifact(path)
    assert back == artifact
    assert list(back.golden.spikes) == list(artifact.program.neurons)
    assert artifact_bytes(back) == path.read_bytes()


def test_equality_looks_at_the_golden_vectors(artifact: Artifact) -> None:
    golden = artifact.golden
    assert replace(artifact, golden=Golden(golden.events, golden.spikes, {})) != artifact
    events = golden.events.copy()
    events[0, 0, 0] ^= 1
    assert replace(artifact, golden=replace(golden, events=events)) != artifact
    assert golden != "golden"


def test_default_name_is_model_target_bits(tmp_path: Path) -> None:
    made = small_nets.artifact(tmp_path / "my net.nir", bits=4)
    assert made.default_name() == "my_net.loihi2.4b.sast"
    folder = tmp_path / "digits"
    folder.mkdir()
    assert small_nets.artifact(folder / "model.nir").default_name() == "digits.loihi2.8b.sast"


COMPILE = "import sys; from sast_compile import *; save_artifact(compile_model(sys.argv[1]).artifact, sys.argv[2])"  # noqa: E501


def test_another_process_in_another_folder_writes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "models").mkdir(parents=True)
    small_nets.write_graph(here / "models" / "net.nir")
    (there / "models" / "net.nir").write_bytes((here / "models" / "net.nir").read_bytes())
    call = [sys.executable, "-c", COMPILE, "models/net.nir", "net.sast"]
    hashed = environment(PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    subprocess.run(call, cwd=there, env=hashed, check=True)
    monkeypatch.chdir(here)
    ways = ("models/net.nir", "./models/../models//net.nir", os.fspath(here / "models" / "net.nir"))
    for named in ways:
        compiled = compile_model(named).artifact
        assert compiled is not None
        assert artifact_bytes(compiled) == (there / "net.sast").read_bytes()
    assert str(tmp_path).encode() not in (there / "net.sast").read_bytes()


def test_a_source_outside_the_working_folder_is_called_as_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_nets.write_graph(tmp_path / "net.nir")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    compiled = compile_model("../net.nir").artifact
    assert compiled is not None
    assert compiled.provenance.source == "../net.nir"


def test_it_loads_with_numpy_and_safetensors_alone(artifact: Artifact, path: Path) -> None:
    save_artifact(artifact, path)
    heavy = ("torch", "lava", "nir", "h5py", "typer", "rich", "sklearn")
    code = f"""
import sys
for name in {heavy}: sys.modules[name] = None
from sast_compile.artifact import load_artifact
artifact = load_artifact({str(path)!r})
from sast_compile.backends import reference
trace = reference.run(artifact.program, artifact.golden.events)
assert all((trace[n].spikes == s).all() for n, s in artifact.golden.spikes.items())
assert not [name for name in {heavy} if sys.modules[name] is not None]
"""
    subprocess.run([sys.executable, "-c", code], env=environment(), cwd=ROOT, check=True)


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.open"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    artifact: Artifact, path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path.write_bytes(b"the old one")
    before = files(path.parent)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(broken, fail)
        with pytest.raises(BadFile, match="cannot be written: No space left on device"):
            save_artifact(artifact, path)
    assert files(path.parent) == before


def test_an_interrupt_during_the_write_leaves_the_old_file_and_nothing_else(
    artifact: Artifact, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"the old one")
    before = files(path.parent)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_artifact(artifact, path)
    assert files(path.parent) == before


def test_a_name_of_full_length_can_be_written(artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 250}.sast"
    save_artifact(artifact, path)
    assert load_artifact(path) == artifact


def test_every_truncation_is_refused(artifact: Artifact, path: Path) -> None:
    data = artifact_bytes(artifact)
    header = 8 + int.from_bytes(data[:8], "little")
    cuts = {*range(17), *range(17, len(data), 97), header - 1, header, header + 1, len(data) - 1}
    for cut in sorted(cuts):
        message = refusal(path, data[:cut])
        assert "is empty" in message if cut == 0 else "cut off" in message or "damaged" in message


def test_every_flipped_bit_is_refused_or_changes_nothing(artifact: Artifact, path: Path) -> None:
    data = artifact_bytes(artifact)
    header = 8 + int.from_bytes(data[:8], "little")
    refused = 0
    for at in [*range(0, header, 41), *range(header, len(data), 61)]:
        spoilt = bytearray(data)
        spoilt[at] ^= 1 << (at % 8)
        path.write_bytes(spoilt)
        try:
            assert load_artifact(path) == artifact
        except BadFile:
            refused += 1
        else:
            assert at < header  # padding, or an escape written in another way: never a number
    assert refused > 100


@pytest.mark.parametrize(
    ("old", "new"),
    [("threshold=", "threshold=1"), ("decay=", "decay=1"), ("start=1", "start=2")],
)
def test_a_register_changed_in_the_text_is_refused(
    artifact: Artifact, path: Path, old: str, new: str
) -> None:
    data = artifact_bytes(artifact)
    text = document(data)["program"]
    assert old in text
    spoilt = with_document(data, program=text.replace(old, new, 1))
    assert "its content is not what was written" in refusal(path, spoilt)


def test_a_newer_format_says_what_to_do(artifact: Artifact, path: Path) -> None:
    message = refusal(path, with_document(artifact_bytes(artifact), format="sast/2"))
    assert f"'sast/2' is not the {FORMAT!r} that this release reads" in message
    assert "update sast-compile" in message


@pytest.mark.parametrize("missing", ["program", "target", "contract", "provenance", "sha256"])
def test_a_missing_part_is_refused(artifact: Artifact, path: Path, missing: str) -> None:
    data = artifact_bytes(artifact)
    kept = {k: v for k, v in document(data).items() if k != missing}
    text = json.dumps(kept)
    tensors = safetensors_numpy.load(data)
    refusal(path, safetensors_numpy.save(tensors, metadata={METADATA_KEY: text}))


def test_foreign_safetensors_are_refused(path: Path) -> None:
    tensors = {"weight": np.zeros((2, 2), np.float32)}
    plain = refusal(path, safetensors_numpy.save(tensors))
    assert "is a safetensors file, but not a .sast file" in plain
    for text in ("[]", "7", '{"format": "gguf"}', "{", "[" * 100_000):
        refusal(path, safetensors_numpy.save(tensors, metadata={METADATA_KEY: text}))


def golden_changed(artifact: Artifact, **changes: Any) -> Artifact:
    return replace(artifact, golden=replace(artifact.golden, **changes))


def test_changed_golden_vectors_are_refused_or_found_by_verify(
    artifact: Artifact, path: Path
) -> None:
    spikes = {name: record.copy() for name, record in artifact.golden.spikes.items()}
    spikes["lif2"][3, 7, 1] ^= 1
    forged = golden_changed(artifact, spikes=spikes)
    data = artifact_bytes(artifact)
    tensors = safetensors_numpy.load(data)
    tensors["golden.spikes.lif2"] = spikes["lif2"]
    stale = safetensors_numpy.save(tensors, metadata={METADATA_KEY: json.dumps(document(data))})
    assert "its content is not what was written" in refusal(path, stale)

    save_artifact(forged, path)  # with a hash of its own: only a run can tell
    result = verify(load_artifact(path), samples=2, backends=[])
    assert result.verdict is Verdict.DIFFERENT
    difference = result.checked[0].layers[1].difference
    assert difference is not None
    assert (difference.layer, difference.sample) == ("lif2", 3)
    assert (difference.step, difference.neuron) == (7, (1,))
    sound = verify(artifact, samples=2, backends=[])
    assert sound.checked[0].identical
    assert sound.verdict is Verdict.UNPROVEN  # no oracle ran


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"events": np.zeros((8, 20, 7), np.uint8)},
            "golden events (8, 20, 7) for an input of shape (6,)",
        ),
        ({"events": np.zeros((8, 19, 6), np.uint8)}, "not (8, 19, 5)"),
        ({"spikes": {"lif1": np.zeros((8, 20, 5), np.uint8)}}, "of other layers"),
        ({"float_spikes": {}}, "of other layers"),
    ],
)
def test_golden_vectors_that_do_not_fit_the_program_are_refused(
    artifact: Artifact, path: Path, changes: dict[str, Any], words: str
) -> None:
    assert words in refusal(path, artifact_bytes(golden_changed(artifact, **changes)))
