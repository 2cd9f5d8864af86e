"""``sast-compile bounds``."""

from __future__ import annotations

import json

from command_line import ROOT, Command

DIGITS = str(ROOT / "models" / "digits" / "model.pt")


def test_the_tables(sast: Command) -> None:
    ended = sast("bounds", DIGITS)
    assert ended.code == 0
    for text in ("contraction", "for ever, inputs in [0, 1]", "over 16 steps", "lif2", "network:"):
        assert text in ended.out


def test_json(sast: Command) -> None:
    document = json.loads(sast("bounds", DIGITS, "--json", "--highest-input", "2").out)
    assert document["highest_input"] == 2
    assert [layer["layer"] for layer in document["layers"]] == ["lif1", "lif2"]
    ever, sample = document["network"]
    assert (ever["steps"], ever["sums"]) == (None, None)
    assert 0 < sample["spikes"] < ever["spikes"]


def test_what_has_no_surrogate(sast: Command) -> None:
    ended = sast("bounds", DIGITS.replace(".pt", ".nir"))
    assert ended.code == 1
    assert "name its .pt checkpoint" in ended.message


def test_a_missing_file(sast: Command) -> None:
    ended = sast("bounds", "nowhere.pt")
    assert ended.code == 1
    assert ended.message == "nowhere.pt: there is no such file"
