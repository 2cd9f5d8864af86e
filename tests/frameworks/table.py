"""The stored results as the tables of docs/frameworks.md."""

from __future__ import annotations

from msgspec.structs import replace

from frameworks.ask import FRAMEWORKS
from frameworks.results import Results, Row, Wrong

SECTION = "frameworks"
DIRECTIONS = {"read": "Its files, read by us", "written": "Our files, read by it"}


def table(results: Results) -> str:
    parts = []
    for framework in FRAMEWORKS:
        if framework not in results.versions:
            continue
        versions = ", ".join(f"{k} {v}" for k, v in results.versions[framework].items())
        parts.append(f"### {framework}\n\nWith {versions}.")
        for direction, title in DIRECTIONS.items():
            rows = [r for r in results.of(framework) if r.direction == direction]
            parts.append(f"**{title}**\n\n{_rows(rows)}")
        wrong = [w for w in results.wrong if w.framework == framework]
        parts.append(f"**Another contract on the files that are exact**\n\n{_wrong(wrong)}")
    return "\n\n".join(parts)


def _rows(rows: list[Row]) -> str:
    lines = ["| node | made of | net | reset and options | result | ties |",
             "|---|---|---|---|---|---:|"]  # fmt: skip
    for row, layers in _gathered(rows).items():
        made = row.made_of if row.direction == "read" else "NIR"
        cells = (row.node, made, layers, row.option, _result(row), f"{row.ties:,}")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _gathered(rows: list[Row]) -> dict[Row, str]:
    """Rows with their nets; what is refused of several nets for one reason is one row."""
    layers: dict[Row, list[str]] = {}
    for row in rows:
        gathered = replace(row, layers="", spikes=0, ties=0) if row.outcome == "refused" else row
        layers.setdefault(gathered, []).append(row.layers)
    return {row: ", ".join(names) for row, names in layers.items()}


def _result(row: Row) -> str:
    spikes = f"{row.spikes:,} spikes"
    needs = "; the file needs nir's `infer_types` before it can be written" if row.inferred else ""
    match row.outcome:
        case "exact":
            return f"**exact** ({spikes}){needs}"
        case "told":
            return f"lost by exporter: {row.lost}; **exact** ({spikes}) with `{row.told}`{needs}"
        case "lost" if row.direction == "read":
            off = f"{row.differing:,} of {spikes} differ"
            return f"lost by exporter: {row.lost}; no contract says it: {off}{needs}"
        case "lost":
            return f"differs: {row.differing:,} of {spikes}"
    return f"refused by {row.said}"


def _wrong(rows: list[Wrong]) -> str:
    lines = ["| contract | spikes that differ | of |", "|---|---:|---:|"]
    for row in rows:
        why = same_because(row.framework, row.change)
        differing = f"{row.differing:,}" if row.differing or not why else f"0: {why}"
        lines.append(f"| {row.change} | {differing} | {row.spikes:,} |")
    return "\n".join(lines)


def same_because(framework: str, change: str) -> str:
    """Why another contract is the same function on all of a framework's files, or nothing."""
    zero = "the same spikes where a reset is to zero"
    return {
        ("snntorch", "synapse=nir"): "it writes w_in = tau_syn / dt, whose gain is 1",
        ("norse", "feedback=2"): "it exports no loop",
        ("sinabs", "feedback=2"): "it exports no loop",
        ("sinabs", "synapse=nir"): "it exports no synaptic current",
        ("sinabs", "synapse=unit"): "it exports no synaptic current",
        ("spikingjelly", "feedback=2"): "it exports no loop",
        ("spikingjelly", "reset=zero reset_when=after_decay"): zero,
        ("spikingjelly", "preset sast"): zero,
        ("rockpool", "feedback=2"): "it exports no loop",
    }.get((framework, change), "")
