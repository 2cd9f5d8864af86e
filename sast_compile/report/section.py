"""Reports in a document that is otherwise written by hand, each between its own markers."""

from __future__ import annotations

import re
from pathlib import Path

from sast_compile.files import read_whole, write_whole


def write_section(document: Path, name: str, text: str) -> None:
    """``text`` stands between the markers of ``name`` in ``document``; all other words stay.

    Where there are no such markers, the section is added at the end.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = read_whole(document).decode("utf-8") if document.exists() else "# Results\n"
    section = f"{begin}\n{text.strip()}\n{end}"
    there = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if there.search(old):
        new = there.sub(lambda _: section, old, count=1)
    else:
        new = f"{old.rstrip()}\n\n{section}\n"
    write_whole(document, new.encode("utf-8"))
