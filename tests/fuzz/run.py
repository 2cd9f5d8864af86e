"""``python -m fuzz.run``: draws and compares programs until there are enough; see docs/fuzzing.md.

One line of the log is one chunk of seeds, so a run that was cut goes on where it was; a line that
other code wrote, of the compiler or of the tests, does not count.
"""

from __future__ import annotations

import argparse
import hashlib
import time
import traceback
from collections import Counter
from functools import cache
from pathlib import Path

import msgspec

from fuzz.cases import Case, Refused
from fuzz.compare import Failure, Seen, compared
from fuzz.draw import drawn

CHUNK = 100  # seeds that share a start of Lava


def main() -> int:
    """0 if nothing differs, 1 if something does."""
    given = arguments()
    seen, first = Seen(), given.seed
    while seen.counts["programs"] < given.programs:
        began = time.monotonic()
        chunk = logged(given.log, first)
        if chunk is None:
            chunk = chunk_of(range(first, first + CHUNK))
            write(given.log, first, chunk)
        seen += chunk
        first += CHUNK
        taken = f"{time.monotonic() - began:.0f} s"
        print(f"seeds up to {first}: {seen.counts['programs']} programs, "
              f"{len(seen.failures)} failures, {taken}", flush=True)  # fmt: skip
        for failure in chunk.failures:
            print(f"FAILED seed {failure.seed} ({failure.kind}) on {failure.backend}:\n"
                  f"  {failure.text}", flush=True)  # fmt: skip
    print(summary(seen))
    if seen.failures:
        from fuzz.found import shrunk_files

        for line in shrunk_files(seen.failures):
            print(line, flush=True)
    return int(bool(seen.failures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--programs", type=int, default=2000, help="how many must be compared")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--log", type=Path, help="a file that keeps what was done")
    return parser.parse_args()


def chunk_of(seeds: range) -> Seen:
    """Everything of these seeds, drawn and compared."""
    refused, cases = Seen(), list[Case]()
    for seed in seeds:
        try:
            case = drawn(seed)
        except Exception:
            refused.failures.append(Failure(seed, "?", "drawing", traceback.format_exc()))
            continue
        if isinstance(case, Refused):
            refused.refusals[case.reason] += 1
        else:
            cases.append(case)
    refused.counts["seeds"] += len(seeds)
    return refused + compared(cases)


def logged(log: Path | None, first: int) -> Seen | None:
    """The chunk that begins with seed ``first``, if ``log`` has it."""
    if log is None or not log.exists():
        return None
    for line in log.read_bytes().splitlines():
        code, at, counts, features, refusals, failures = msgspec.json.decode(line)
        if (code, at) == (version(), first):
            its = msgspec.convert(failures, list[Failure])
            return Seen(Counter(counts), Counter(features), Counter(refusals), its)
    return None


def write(log: Path | None, first: int, chunk: Seen) -> None:
    if log is not None:
        record = [version(), first, chunk.counts, chunk.features, chunk.refusals, chunk.failures]
        with log.open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")


@cache
def version() -> str:
    """A hash of the code that draws and compares."""
    tests = Path(__file__).parents[1]
    sources = [*sorted(tests.glob("*.py")), *sorted(tests.glob("fuzz/*.py")),
               *sorted((tests.parent / "sast_compile").rglob("*.py"))]  # fmt: skip
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def summary(seen: Seen) -> str:
    """All counts, one a line, the largest first."""
    lines = []
    for title, counter in [
        ("counted", seen.counts),
        ("programs with", seen.features),
        ("refused", seen.refusals),
    ]:
        lines.append(f"{title}:")
        lines += [f"{count:>12,}  {what}" for what, count in counter.most_common()]
    lines.append(f"failures: {len(seen.failures)}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
