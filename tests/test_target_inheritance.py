"""A target that inherits is another target with a few keys changed, and is written out whole."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import small_nets

from sast_compile.artifact import artifact_bytes, load_artifact
from sast_compile.compile import compile_model
from sast_compile.errors import BadFile, CompileError
from sast_compile.target import load_target, parse_target, read_target_text

CHILD = 'inherits = "loihi2"\nname = "mine"\n'


def chip(folder: Path, text: str, name: str = "mine.toml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_netx_is_loihi2_without_exponents() -> None:
    netx, loihi2 = load_target("loihi2-netx"), load_target("loihi2")
    assert (netx.weights.exponent_low, netx.weights.exponent_high) == (0, 0)
    assert (netx.bias.exponent_low, netx.bias.exponent_high) == (6, 6)
    assert netx.weights.grids == loihi2.weights.grids
    for same in ("passes", "time", "neurons", "resources", "oracles"):
        assert getattr(netx, same) == getattr(loihi2, same)
    own = msgspec.structs.replace(loihi2.threshold, parts=1, source=netx.threshold.source)
    assert netx.threshold == own
    assert (netx.reset.native, netx.reset.microcode) == (loihi2.reset.native, ())


def test_tables_are_merged_key_by_key_and_nothing_else_is(tmp_path: Path) -> None:
    text = CHILD + 'title = "a \\" \\\\ \\u007f ü"\npasses = ["check_registers"]\n'
    text += "[neurons.synapse.clamp]\nlow = -7\n"
    mine, ours = load_target(chip(tmp_path, text)), load_target("loihi2")
    assert mine.title == 'a " \\ \x7f ü'
    assert mine.passes == ("check_registers",)
    assert mine.neurons.synapse is not None
    assert ours.neurons.synapse is not None
    clamp = msgspec.structs.replace(ours.neurons.synapse.clamp, low=-7)
    assert mine.neurons.synapse == msgspec.structs.replace(ours.neurons.synapse, clamp=clamp)
    assert mine.weights == ours.weights


def test_a_parent_may_be_a_file_beside_and_inherit_itself(tmp_path: Path) -> None:
    chip(tmp_path, CHILD + "[resources]\ncores = 7\n")
    path = chip(tmp_path, 'inherits = "./mine.toml"\ntitle = "t"\n', "other.toml")
    other = load_target(path)
    assert (other.name, other.title, other.resources.cores) == ("mine", "t", 7)


def test_the_artifact_carries_the_whole_text(tmp_path: Path) -> None:
    small_nets.write_graph(tmp_path / "net.nir")
    artifact = compile_model(tmp_path / "net.nir", target=chip(tmp_path, CHILD)).artifact
    assert artifact is not None
    (tmp_path / "mine.toml").unlink()
    (tmp_path / "net.sast").write_bytes(artifact_bytes(artifact))
    again = load_artifact(tmp_path / "net.sast")
    assert again.target.name == "mine"
    assert "inherits" not in again.target_text


def test_a_file_that_inherits_nothing_is_kept_byte_for_byte(tmp_path: Path) -> None:
    text = read_target_text("loihi2") + "# mine\n"
    assert read_target_text(chip(tmp_path, text)) == text
    assert parse_target(read_target_text("loihi2-netx"), "x") == load_target("loihi2-netx")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('inherits = "loihi"', "`inherits`: unknown target 'loihi'; hint: did you mean `loihi2`"),
        ("inherits = 3", "`inherits` is int, not the name or path"),
        ('inherits = "mine.toml"', "inherits from itself: mine.toml -> mine.toml"),
        (CHILD + "[weights]\nbitz = 3", "unknown key `bitz`"),
        (CHILD + "[bias]\nexponent_low = 9", "exponent_low = 9 exceeds exponent_high = 7"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = chip(tmp_path, text)
    with pytest.raises(BadFile) as caught:
        load_target(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(path)


def test_a_cycle_of_two_and_a_missing_parent_are_named(tmp_path: Path) -> None:
    path = chip(tmp_path, 'inherits = "other.toml"')
    with pytest.raises(CompileError, match="there is no such file"):
        load_target(path)
    chip(tmp_path, 'inherits = "mine.toml"', "other.toml")
    with pytest.raises(BadFile, match=r"mine\.toml -> other\.toml -> mine\.toml"):
        load_target(path)
    chip(tmp_path, "no toml", "other.toml")
    with pytest.raises(BadFile, match="which is no TOML"):
        load_target(path)
