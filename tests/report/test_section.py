"""A report's section in a document."""

from __future__ import annotations

from pathlib import Path

from sast_compile.report.section import write_section


def test_a_section_of_the_document_is_rewritten(tmp_path: Path) -> None:
    document = tmp_path / "results.md"
    write_section(document, "gap: a", "first \\1 text")
    write_section(document, "gap: b", "of b")
    document.write_text(document.read_text("utf-8") + "\nby hand\n", encoding="utf-8")
    write_section(document, "gap: a", "second")
    text = document.read_text(encoding="utf-8")
    assert text == (
        "# Results\n\n<!-- gap: a -->\nsecond\n<!-- end of gap: a -->\n\n"
        "<!-- gap: b -->\nof b\n<!-- end of gap: b -->\n\nby hand\n"
    )
