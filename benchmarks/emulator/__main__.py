"""The emulator beside its peers and beside this machine's limits, as Markdown tables.

    OMP_NUM_THREADS=1 python -m benchmarks.emulator [--workloads abc] [--rounds 5] [--quick]
                                                    [--write docs/performance.md]

`make peers` makes the environments of the float simulators, `sast-compile setup-lava` Lava's; what
is absent is skipped, and stderr says so. Before anything is timed, the emulator's spikes are held
against the interpreter's. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.emulator import emulated, fresh, in_lava, plain, scaling, tables
from benchmarks.emulator.limits import Limits, load
from benchmarks.emulator.peers import PEERS, Agreement, Peer, contest
from benchmarks.emulator.picture import picture
from benchmarks.emulator.rounds import Contestant, Rates, interleaved, skipped
from benchmarks.emulator.workloads import Workload, workloads
from sast_compile.backends import reference
from sast_compile.errors import BackendUnavailable
from sast_compile.files import write_whole
from sast_compile.report.section import write_section

THREADS = (1, 2)


@dataclass(frozen=True)
class Effort:
    """How much is done: rounds, seconds of one measurement, samples at most, fresh processes."""

    rounds: int
    seconds: float
    samples: int | None
    processes: int
    thinned: bool


def main() -> None:
    """Prints every section as it is ready."""
    options, began = arguments(), time.monotonic()
    effort = Effort(options.rounds, 0.25, None, options.rounds, thinned=False)
    if options.quick:
        effort = Effort(2, 0.01, 4, 1, thinned=True)
    report = Report()
    report.add(machine(effort))
    limits, contests, first = Limits(), [], {}
    with tempfile.TemporaryDirectory() as folder:
        for work in workloads(options.workloads, effort.samples):
            contests.append(compete(work, limits, effort, Path(folder)))
            report.add(tables.contest(contests[-1]))
            written = Path(folder) / f"{work.letter}.fresh.npz"
            fresh.write_workload(written, work.program, work.events)
            first[work.letter] = fresh.measured(written, effort.processes)
    report.add(tables.limits(contests, limits.vector_bits, limits.caches))
    report.add(tables.fresh(first))
    points = scaling.measured(min(effort.rounds, 3), effort.seconds / 2, effort.thinned)
    report.add(tables.curves(points))
    if options.write is not None:
        report.write(options.write, picture(contests, points))
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="the emulator beside its peers")
    parser.add_argument("--workloads", default="abc", help="some of a, b and c")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="seconds, and no figures to quote")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="rewrite its section")
    options = parser.parse_args()
    if not options.workloads or set(options.workloads) - set("abc"):
        parser.error(f"--workloads {options.workloads!r}: some of a, b and c")
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: 1 or more")
    return options


def compete(work: Workload, limits: Limits, effort: Effort, folder: Path) -> tables.Contest:
    """One workload: everybody who is here, in interleaved rounds, with the machine's limits."""
    run = emulated.checked(work)
    agreements: dict[str, Agreement] = {}
    of_rounds: list[dict[str, float]] = []

    def machine_limits() -> Rates:
        of_rounds.append(limits.measure())
        return {}

    with ExitStack() as stack:
        contestants: list[Contestant] = [machine_limits]
        contestants += emulated.contestants(work, effort.seconds)
        contestants.append(in_lava.contestant(work, run.trace))
        twin = plain.twin(work.program)
        network = folder / f"{work.letter}.npz"
        plain.write_plain(network, twin, work.events)
        twins = reference.run(twin, work.events[: work.compared])
        for framework in PEERS:
            try:
                peer = stack.enter_context(Peer(framework, network))
                agreements[peer.versions] = peer.agreement(work.compared, run.trace, twins)
                contestants += [contest(peer, work, n, effort.seconds) for n in THREADS]
            except BackendUnavailable as reason:
                skipped(str(reason))
        rates = interleaved(contestants, effort.rounds)
    bound = load(work.program, run.operations, len(work.events), work.steps)
    return tables.Contest(work, run, bound, rates, of_rounds, agreements)


def machine(effort: Effort) -> str:
    """Where and with what was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "llvmlite"))
    return (
        f"{processor()}, {cores} cores; Python {platform.python_version()}, {packages}; "
        f"{effort.rounds} interleaved rounds, medians."
    )


def processor() -> str:
    """The processor's own name, where Linux knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


class Report:
    """The sections, printed one by one."""

    def __init__(self) -> None:
        self.sections: list[str] = []

    def add(self, section: str) -> None:
        print(f"{section}\n", flush=True)
        self.sections.append(section)

    def write(self, document: Path, drawn: bytes | None) -> None:
        """Between the markers of ``document``; the picture in ``pictures`` beside it."""
        sections = list(self.sections)
        if drawn is None:
            skipped("the picture: matplotlib is not installed (pip install sast-compile[train])")
        else:
            (document.parent / "pictures").mkdir(parents=True, exist_ok=True)
            write_whole(document.parent / "pictures" / "performance.png", drawn)
            sections.append("![rates and scaling](pictures/performance.png)")
        write_section(document, "measured", "\n\n".join(sections))


if __name__ == "__main__":
    main()
