"""The presets as a Markdown page: their fields, their equations, and what their exporters lose."""

from __future__ import annotations

from sast_compile.contract import Contract
from sast_compile.losses import LOSSES
from sast_compile.presets import PRESETS, Preset

FIELDS = ("leak", "drive", "synapse", "reset", "reset_when", "compare", "spikes")


def presets_table() -> str:
    """One line a preset, then its equations and losses."""
    lines = [f"| preset | dt | {' | '.join(FIELDS)} |", "|---" * 9 + "|"]
    lines += [
        f"| `{name}` | {_dt(preset)} | {' | '.join(_values(preset.contract))} |"
        for name, preset in PRESETS.items()
    ]
    for name, preset in PRESETS.items():
        lines += ["", *_section(name, preset)]
    return "\n".join(lines) + "\n"


def _dt(preset: Preset) -> str:
    return f"{preset.contract.dt:g}" if preset.fixed_dt else "`--dt`"


def _values(contract: Contract) -> list[str]:
    return [f"`{getattr(contract, field)}`" for field in FIELDS]


def _section(name: str, preset: Preset) -> list[str]:
    lines = [f"### {name}", "", f"{preset.framework}. Read in: {preset.source}.", ""]
    lines += [f"- `{step}`" if "=" in step else f"- {step}" for step in preset.step]
    if not preset.fixed_dt:
        lines += ["", f"dt: {preset.dt_hint}."]
    if name in LOSSES:
        lines += ["", "| its exporter loses | default | otherwise |", "|---|---|---|"]
        lines += [f"| {x.what} | {x.default} | {x.otherwise} |" for x in LOSSES[name]]
    return lines
