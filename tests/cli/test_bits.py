"""``--bits`` by layer and ``auto``, and ``--budget``, as a user writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Command

from sast_compile.artifact import load_artifact
from sast_compile.cli.bits_option import parse_bits

DIGITS = Path(__file__).parents[2] / "models/digits/model.pt"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("4", (4, {})),
        ("lif1=8,lif2=3", (8, {"lif1": 8, "lif2": 3})),
        ("4,lif1=8", (4, {"lif1": 8})),
        ("lif1=3,5", (5, {"lif1": 3})),
        ("a=b=3", (8, {"a=b": 3})),
    ],
)
def test_what_is_read(text: str, wanted: tuple[int, dict[str, int]]) -> None:
    assert parse_bits(text) == wanted


def test_bits_by_layer(sast: Command, here: Path) -> None:
    ended = sast("net.nir", "--bits", "6,lif2=3")
    assert ended.code == 0
    assert load_artifact("net.loihi2.3-6b.sast").provenance.bits_of == {"lif1": 6, "lif2": 3}
    drift = sast("drift", "net.loihi2.3-6b.sast", "--samples", 5)
    assert "3-6-bit weights" in drift.out
    as_json = json.loads(sast("drift", "net.loihi2.3-6b.sast", "--samples", 5, "--json").out)
    assert (as_json["bits"], as_json["bits_of"]) == (6, {"lif1": 6, "lif2": 3})
    plain = json.loads(sast("drift", "net.sast", "--samples", 5, "--json").out)
    assert (plain["bits"], plain["bits_of"]) == (8, None)


@pytest.mark.parametrize("text", ["", "x", "lif1=", "lif1=x", "4,5", "lif1=3,lif1=4", "4,", "AUTO"])
def test_a_wrong_command_line(sast: Command, here: Path, text: str) -> None:
    ended = sast("net.nir", "--bits", text)
    assert (ended.code, ended.out) == (2, "")
    assert "Invalid value for '--bits'" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bits", "lif9=4"], "net: has no layer 'lif9' to give 4 bits"),
        (["--bits", "=4"], "net: has no layer ''"),
        (["--bits", "lif1=9"], "9-bit weights are out of range"),
        (["--bits", "4", "--budget", "1KiB"], "--budget needs --bits auto"),
        (["--bits", "auto", "--budget", "much"], "--budget: 'much' is no size of memory"),
        (["--bits", "auto"], "--bits auto needs --budget, --max-drop, or both"),
        (["--bits", "auto", "--budget", "99"], "net.nir: --bits auto needs labelled data"),
        (["--bits", "auto", "--budget", "99", "--stop-after", "snap_decays"], "needs all passes"),
    ],
)
def test_refusals(sast: Command, here: Path, arguments: list[str], words: str) -> None:
    ended = sast("net.nir", *arguments)
    assert ended.code == 1
    assert words in ended.message


@pytest.mark.slow
def test_auto(sast: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    monkeypatch.chdir(tmp_path)
    arguments = [DIGITS, "--bits", "auto", "--budget", "12KiB", "--max-drop", 1]
    found = json.loads(sast(*arguments, "--json").out)
    chosen = found["mixed"]["chosen"]
    assert chosen["bytes"] == sum(layer["weight_bytes"] for layer in found["fit"]["layers"])
    assert chosen["bytes"] <= 12 * 1024
    assert chosen["after"] == found["drop"]["after"]
    bits = load_artifact(found["artifact"]).provenance.bits_of
    assert bits == chosen["bits_of"]
    table = sast(*arguments).out
    assert table.count("chosen") == 1
    assert "validation split" in table
    assert len(found["mixed"]["front"]) > 5
