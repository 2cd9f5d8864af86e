"""The table of supported nodes is what the compiler does, and the page is what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import in_process

from sast_compile.catalog import target_names
from sast_compile.frontend.nir_kinds import SUPPORTED, kind_of
from sast_compile.report.support import CASES, ops_table, supported
from sast_compile.target import load_target

PAGE = Path(__file__).parents[2] / "docs" / "targets.md"


def test_every_kind_of_node_is_tried() -> None:
    kinds = {kind_of(node) for case in CASES for node in case.graph().nodes.values()}
    assert set(SUPPORTED) - kinds == {"CubaLI", "I"}  # as LI: see tests/frontend


def test_verdicts() -> None:
    found = {s.case: s for s in supported(load_target("loihi2"))}
    assert found["Conv2d"].verdict == "exact"
    assert found["LIF (subtract)"].verdict == "microcode"
    assert found["Threshold"].verdict == "approximate"
    refused = found["loop over two populations"]
    assert refused.verdict == "refused"
    assert refused.why.startswith("a loop (a, b) has more projections than steps of delay")
    assert {s.verdict for s in supported(load_target("loihi2-netx"))} >= {"exact", "refused"}


def test_the_page_is_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [load_target(name) for name in target_names()]
    assert ops_table(targets) in PAGE.read_text(encoding="utf-8")
    result = in_process(capsys)("targets", "--ops", "--into", str(tmp_path / "page.md"))
    assert result.code == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
