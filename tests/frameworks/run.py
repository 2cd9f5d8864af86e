"""Every net in every framework whose environment is there; stores what was found, and the table.

``python -m frameworks.run [FRAMEWORK ..]`` with tests on the path; `make frameworks` makes the
environments first. Frameworks that are not run keep what is stored of them.
"""

from __future__ import annotations

import sys
import time

from frameworks.ask import FRAMEWORKS, ROOT, environment
from frameworks.both_ways import read_all, read_row, written_rows, wrong_rows
from frameworks.cases import CASES
from frameworks.results import STORE, Results, store, stored
from frameworks.table import SECTION, table
from sast_compile.report.section import write_section

PAGE = ROOT / "docs/frameworks.md"


def main(names: list[str]) -> None:
    known = stored() if STORE.exists() else Results(versions={}, rows=[], wrong=[])
    for framework in names or FRAMEWORKS:
        if environment(framework) is None:
            print(f"{framework} DID NOT RUN: it has no environment", file=sys.stderr)
            continue
        begin = time.perf_counter()
        known = _with(known, framework)
        store(known)
        print(f"{framework}: {time.perf_counter() - begin:.0f} s")
    write_section(PAGE, SECTION, table(known))


def _with(known: Results, framework: str) -> Results:
    """What is known, with ``framework`` run anew."""
    asked = read_all(framework, [case for case in CASES if case.framework == framework])
    rows = [*map(read_row, asked), *written_rows(framework)]
    wrong = wrong_rows(framework, asked)
    versions = {framework: asked[0][1][0][1].versions}
    return Results(
        versions={**known.versions, **versions},
        rows=[row for row in known.rows if row.framework != framework] + rows,
        wrong=[row for row in known.wrong if row.framework != framework] + wrong,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
