"""The measurements as Markdown, and as one picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.emulator import scaling
from benchmarks.emulator.emulated import OURS, Run
from benchmarks.emulator.fresh import Fresh
from benchmarks.emulator.limits import NAMES, Load
from benchmarks.emulator.peers import PEERS, Agreement
from benchmarks.emulator.rounds import Setting, Spread, ratio
from benchmarks.emulator.workloads import Workload

SAME = 0.99  # of the twin's spikes, in every layer


@dataclass(frozen=True, eq=False)
class Contest:
    """One workload with the rates of every round, its bound, and how the peers' spikes agree."""

    work: Workload
    run: Run
    load: Load
    rates: Mapping[Setting, Sequence[float]]  # samples a second
    limits: Sequence[Mapping[str, float]]  # of each round
    agreements: Mapping[str, Agreement]  # by the peer's name with its versions

    def of(self, threads: int) -> Sequence[float]:
        """Our rates, of all samples in one call."""
        return self.rates[Setting(OURS, len(self.work.events), threads)]


def contest(one: Contest) -> str:
    """What a workload is, who ran it how fast, and whether a peer computes the same."""
    work, run = one.work, one.run
    rates = ", ".join(f"{n} {100 * run.trace[n].spikes.mean():.1f} %" for n in work.program.neurons)
    lines = [
        f"### ({work.letter}) {work.title}",
        "",
        f"{len(work.events)} samples, {100 * work.events.mean():.1f} % of the inputs active in a "
        f"step; {run.per_sample / 1e6:.2f} M synaptic operations a sample; firing: {rates}.",
        "",
        "| | at a time | threads | samples/s | least, most | G operations/s | emulator / it |",
        "|---|---|---|---|---|---|---|",
    ]
    for setting, values in one.rates.items():
        found, times = Spread.of(values), ratio(one.of(setting.threads), values)
        lines.append(
            f"| {setting.who} | {setting.batch} | {setting.threads} | {number(found.median)} "
            f"| {number(found.least)}, {number(found.most)} "
            f"| {found.median * run.per_sample / 1e9:.3g} | {number(times.median)} |"
        )
    return "\n".join([*lines, "", *_in_short(one), *_agreements(one.agreements)])


def _in_short(one: Contest) -> list[str]:
    """Two threads beside one, and the fastest of the peers on each."""
    more = ratio(one.of(2), one.of(1))
    lines = [f"Two threads are {more.median:.2f} times one ({more.least:.2f}, {more.most:.2f})."]
    for threads in (1, 2):
        peers = {
            setting: values
            for setting, values in one.rates.items()
            if setting.who in PEERS.values() and setting.threads == threads
        }
        if peers:
            best = max(peers, key=lambda setting: statistics.median(peers[setting]))
            times = ratio(one.of(threads), peers[best])
            lines.append(
                f"The fastest float peer on {threads}: {best.who}, {best.batch} at a time; the "
                f"emulator is {number(times.median)} times as fast "
                f"({number(times.least)}, {number(times.most)})."
            )
    return lines


def _agreements(agreements: Mapping[str, Agreement]) -> list[str]:
    if not agreements:
        return []
    lines = [
        "",
        "| peer | same function | spikes by layer: equal to the float twin's, to ours |",
        "|---|---|---|",
    ]
    for name, found in agreements.items():
        same = min(found.with_twin.values()) >= SAME
        layers = "; ".join(
            f"{layer} {spikes}: {100 * found.with_twin[layer]:.1f} %, "
            f"{100 * found.with_ours[layer]:.1f} %"
            for layer, spikes in found.spikes.items()
        )
        lines.append(f"| {name} | {'yes, in floats' if same else 'only the shape'} | {layers} |")
    return lines


def limits(contests: Sequence[Contest], vector_bits: int, caches: Mapping[str, int]) -> str:
    """The machine's limits, and what share of the bounds the emulator reaches on one thread."""
    rounds = [limits for one in contests for limits in one.limits]
    sizes = ", ".join(f"{name} {size >> 10} KiB" for name, size in caches.items())
    lines = [
        f"Limits of one core, vectors of {vector_bits} bits, {sizes}:",
        "",
        "| | G/s | least, most |",
        "|---|---|---|",
    ]
    for name, what in NAMES.items():
        found = Spread.of([limits[name] / 1e9 for limits in rounds])
        lines.append(f"| {what} | {found.median:.1f} | {found.least:.1f}, {found.most:.1f} |")
    lines += ["", "| | bound, samples/s | share reached | with dense rows from L2 | share |",
              "|---|---|---|---|---|"]  # fmt: skip
    for one in contests:
        cells = []
        for rows in ("rows", "L2"):
            bounds = [1 / one.load.seconds(limits, rows) for limits in one.limits]
            share = ratio(one.of(1), bounds)
            cells += [
                number(statistics.median(bounds)),
                f"{100 * share.median:.0f} % ({100 * share.least:.0f}, {100 * share.most:.0f})",
            ]
        lines.append(f"| ({one.work.letter}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def fresh(found: Mapping[str, Mapping[str, Sequence[Fresh]]]) -> str:
    """First results and memory, by workload."""
    lines = [
        "| | first result, compiled | cached | memory at its peak, compiled | cached | torch |",
        "|---|---|---|---|---|---|",
    ]
    for letter, by_cache in found.items():
        runs = [one for many in by_cache.values() for one in many]
        seconds = [seconds_of(many) for many in by_cache.values()]
        memory = [memory_of(many) for many in by_cache.values()]
        torch = "IMPORTED" if any(one.torch for one in runs) else "not imported"
        lines.append(f"| ({letter}) | {' | '.join([*seconds, *memory])} | {torch} |")
    return "\n".join(lines)


def seconds_of(runs: Sequence[Fresh]) -> str:
    found = Spread.of([one.first for one in runs])
    return f"{found.median:.2f} s ({found.least:.2f}, {found.most:.2f})"


def memory_of(runs: Sequence[Fresh]) -> str:
    known = [one.memory for one in runs if one.memory is not None]
    return f"{statistics.median(known) / 1e6:.0f} MB" if known else "not known here"


def curves(points: Sequence[scaling.Point]) -> str:
    """Every point: microseconds a step, operations a second."""
    lines = [
        "| | | µs a step | least, most | G operations/s | AVX2 only: µs a step | G operations/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for curve, (label, _) in scaling.CURVES.items():
        narrow = {p.x: p for p in scaling.of_curve(points, curve, scaling.NARROW)}
        for point in scaling.of_curve(points, curve, scaling.HOST):
            time, other = point.microseconds, narrow.get(point.x)
            beside = [f"{other.microseconds.median:.2f}", f"{other.operations.median:.1f}"] \
                if other else ["", ""]  # fmt: skip
            lines.append(
                f"| {label} | {point.x:g} | {time.median:.2f} | {time.least:.2f}, {time.most:.2f} "
                f"| {point.operations.median:.1f} | {' | '.join(beside)} |"
            )
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits at least: 17,000, 410, 3.52, 0.0123."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
