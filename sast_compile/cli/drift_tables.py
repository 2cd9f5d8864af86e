"""A drift as tables on the terminal."""

from __future__ import annotations

import math

from rich.table import Table

from sast_compile.cli.console import output, shown, table
from sast_compile.report.drift.layers import NEAR, LayerDrift, Moments
from sast_compile.report.drift.measure import HARD, INTEGERS, SURROGATE, Decided, Drift
from sast_compile.report.proportions import Change, Share, least_told

MODELS = {
    SURROGATE: "smooth spikes (L0)",
    HARD: "nothing (L1)",
    "weights": "weights only",
    "leaks": "leaks only",
    "thresholds": "thresholds, biases only",
    "states": "width of states only",
    INTEGERS: "everything (L2 = L3)",
}


def print_drift(found: Drift) -> None:
    """Layers first, then the whole network."""
    samples = found.samples
    output.print(f"{samples.count} samples x {samples.steps} steps ({shown(samples.origin)})")
    _print_membranes(found)
    _print_spikes(found)
    _print_neurons(found)
    _print_costs(found)
    _print_fine(found)
    for why in found.unmeasured:
        output.print(f"[yellow]not measured:[/] {shown(why)}", soft_wrap=True)
    _print_operations(found)
    _print_verdict(found)


def _print_membranes(found: Drift) -> None:
    title = "v of the integers beside the float v, in thresholds: mean ± standard deviation"
    rows = table(
        title, "layer", ">weights, SQNR", ">all", ">until a first flip",
        f">of these within {NEAR:.0%} of it",
    )  # fmt: skip
    for layer in found.layers:
        v, sqnr = layer.membrane, found.sqnr[layer.layer]
        exact = "exact" if math.isinf(sqnr) else f"{sqnr:.1f} dB"
        unit = " (model units)" if layer.flips is None else ""
        cells = (_moments(one) for one in (v.all, v.agreed, v.near))
        rows.add_row(shown(layer.layer) + unit, exact, *cells)
    output.print(rows)


def _moments(of: Moments) -> str:
    return f"{of.mean:+.4f} ± {of.deviation:.4f}" if of.n else "none"


def _print_spikes(found: Drift) -> None:
    rows = table(
        "spikes", "layer", ">matched / union", ">share", ">lost", ">added", ">rate L1", ">rate L3",
        "first flip", ">samples with flips",
    )  # fmt: skip
    for layer in found.layers:
        if layer.flips is None:
            rows.add_row(shown(layer.layer), "never fires")
            continue
        flips = layer.flips
        first = f"step {flips.first.step}, sample {flips.first.sample}" if flips.first else "none"
        rows.add_row(
            shown(layer.layer), f"{flips.kept.matched:,} / {flips.kept.union:,}",
            f"{flips.kept.share:.2%}", f"{flips.lost:,}", f"{flips.added:,}",
            f"{layer.rate(flips.before):.4f}", f"{layer.rate(flips.after):.4f}", first,
            f"{flips.samples:,}",
        )  # fmt: skip
    output.print(rows)


def _print_neurons(found: Drift) -> None:
    rows = table(
        "neurons", "layer", ">neurons", ">silent L1", ">silent L3", ">saturated L1", ">saturated L3"
    )
    for layer in found.layers:
        if layer.flips is not None:
            rows.add_row(shown(layer.layer), f"{layer.flips.before.size:,}", *_neurons(layer))
    output.print(rows)


def _neurons(layer: LayerDrift) -> list[str]:
    assert layer.flips is not None
    counts = (layer.flips.before, layer.flips.after)
    found = [layer.silent(c) for c in counts] + [layer.saturated(c) for c in counts]
    return [f"{int(neurons.sum()):,}" for neurons in found]


def _columns(title: str, first: str) -> Table:
    return table(
        title, first, ">accuracy [95 %]", ">points [95 %]", ">McNemar p",
        ">changed", ">spikes kept",
    )  # fmt: skip


def _row(found: Drift, name: str, model: Decided) -> list[str]:
    share, change = found.share(model), found.change(model)
    base = model is found.models[HARD]
    kept = model.spikes
    return [
        name,
        "no labels" if share is None else accuracy(share),
        "" if change is None or base else points(change),
        "" if change is None or base else f"{change.p:.3g}",
        "" if base else f"{found.flipped(model):,}",
        "" if kept is None else f"{kept.share:.2%}",
    ]


def accuracy(share: Share) -> str:
    """A share of right decisions with its interval."""
    return f"{share.value:.2%} [{100 * share.low:.2f}, {100 * share.high:.2f}]"


def points(change: Change) -> str:
    """A change of the share in points, with its interval."""
    return f"{100 * change.value:+.2f} [{100 * change.low:+.2f}, {100 * change.high:+.2f}]"


def _print_costs(found: Drift) -> None:
    rows = _columns(f"what costs what, against L1 (n = {found.samples.count})", "quantised")
    for name, title in MODELS.items():
        if name in found.models:
            rows.add_row(*_row(found, title, found.models[name]))
    output.print(rows)


def _print_fine(found: Drift) -> None:
    rows = _columns("everything, but fine parameters in one layer", "fine in")
    for name, model in found.fine_in.items():
        rows.add_row(*_row(found, shown(name), model))
    output.print(rows)


def _print_operations(found: Drift) -> None:
    rows = table("synaptic operations a sample", "", ">by input events", ">by hidden spikes")
    n = found.samples.count
    for name, made in (("L1", found.before), ("L3", found.after)):
        rows.add_row(name, f"{made.input / n:,.1f}", f"{made.hidden / n:,.1f}")
    output.print(rows)


def _print_verdict(found: Drift) -> None:
    """What the decisions of all samples show, and what they cannot."""
    change = found.change(found.models[INTEGERS])
    if change is None:
        output.print("no labels: accuracies are not measured")
        return
    output.print(
        f"L1 -> L3: {change.lost} samples lost, {change.gained} gained of {change.n}: "
        f"{points(change)} points, McNemar's p = {change.p:.3g}"
    )
    output.print(f"[dim]{too_few(change.n)}[/]")


def too_few(n: int) -> str:
    """What ``n`` samples cannot tell."""
    return f"n = {n} tells no loss below {100 * least_told(n):.2g} points from chance"
