"""The stored results as the tables of docs/frameworks.md."""

from __future__ import annotations

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
    lines = ["| node | made of | net | reset and options | result | ties |", "|---|---|---|---|---|---:|"]
    for row in rows:
        made = row.made_of if row.direction == "read" else "NIR"
        cells = (row.node, made, row.layers, row.option, _result(row), f"{row.ties:,}")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


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
        differing = "refused" if row.refused and not row.differing else f"{row.differing:,}"
        lines.append(f"| {row.change} | {differing} | {row.spikes:,} |")
    return "\n".join(lines)
