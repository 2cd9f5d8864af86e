"""CompiledNet in Lava apps computes what the reference interpreter does; apps/ holds the apps."""

from __future__ import annotations

from pathlib import Path

import pytest
from lava_app import run_app

pytestmark = pytest.mark.lava


def assert_equal(counts: dict[str, int], values: int | None = None) -> None:
    """No value differs, and not all of them are 0; ``values`` were compared."""
    assert counts["differing"] == 0
    assert counts["active"] > 0
    assert values is None or counts["values"] == values


def test_digits_with_and_without_resets(
    python_with_lava: Path, digits_file: Path, tmp_path: Path
) -> None:
    found = run_app(python_with_lava, "digits", digits_file, tmp_path)
    both = found["side by side"]
    assert_equal(both["lif1"], 100 * 16 * 128)
    assert_equal(both["out"], 100 * 16 * 10)
    assert both["spoilt"]["differing"] > 0  # one weight of 26,880: the comparison sees it
    assert_equal(both["spoilt, by its own program"])
    long = found["one long sample"]
    assert_equal(long["out"], 160 * 10)
    assert_equal(long["lif1.u"], 160 * 128)
    assert_equal(long["lif1.v"], 160 * 128)


def test_small_programs(python_with_lava: Path, tmp_path: Path) -> None:
    """Recurrent, graded, biased, late, convolved, saved and loaded, in a row, and in a loop."""
    found = run_app(python_with_lava, "small", tmp_path / "app.pickle")
    for control in ("loop, by the open one", "recurrent, without its resets"):
        assert found.pop(control)["differing"] > 0
    assert len(found) == 11
    for counts in found.values():
        assert_equal(counts)


INP = "TypeMismatch: net.inp: its shape is (4,), that of the port connected to it "
OUT = "TypeMismatch: net.out: its shape is (3,), that of the port connected to it "
SHAPES = {
    "source to inp": INP + "(2, 2); hint: reshape",
    "inp from source": INP + "(5,); hint: reshape",
    "out to sink": OUT + "(4,); hint: reshape",
    "sink from out": OUT + "(1,); hint: reshape",
    "out to inp": OUT + "(4,); hint: reshape",
}
OTHERS = {
    "no tag": "CompileError: net.a1: the run configuration chose PyDenseModelFloat, which computes"
    ' in floats; hint: Loihi2SimCfg(select_tag="fixed_pt")',
    "no file": "BadFile: no_such_file.sast: ",
    "no interval": "CompileError: CompiledNet: reset_interval is 0",
    "no step": "CompileError: CompiledNet: first_step is 0",
}
ACCEPTED = ("fitting", "transposed", "tag", "compared")


def test_refusals_say_what_is_wrong_before_lava_does(python_with_lava: Path) -> None:
    found = run_app(python_with_lava, "refusals")
    expected = {**SHAPES, **OTHERS, **dict.fromkeys(ACCEPTED, "accepted")}
    assert found.keys() == expected.keys()
    for case, beginning in expected.items():
        assert found[case].startswith(beginning), case
