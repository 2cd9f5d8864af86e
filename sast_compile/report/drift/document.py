"""A drift as plain data: the JSON of ``sast-compile drift --json``.

``docs/drift.md`` says what every key means. Keys are added, never renamed, while `FORMAT` stands.
"""

from __future__ import annotations

import math
from typing import Any

from sast_compile.compare import Agreement, Difference
from sast_compile.ir.types import Array
from sast_compile.report.drift.layers import Flips, LayerDrift, Moments
from sast_compile.report.drift.measure import (
    HARD,
    INTEGERS,
    SURROGATE,
    VARIANTS,
    Decided,
    Drift,
    Operations,
)

FORMAT = "sast-drift/1"


def document(found: Drift) -> dict[str, Any]:
    """Everything that was measured; what does not exist (no labels, no float spikes) is None."""
    models = {name: _model(found, one) for name, one in found.models.items()}
    return {
        "format": FORMAT,
        "origin": found.samples.origin,
        "samples": found.samples.count,
        "steps": found.samples.steps,
        "levels": {name: models.get(name) for name in (SURROGATE, HARD, INTEGERS)},
        "costs": {name: models.get(name) for name in VARIANTS},
        "fine_in": {name: _model(found, one) for name, one in found.fine_in.items()},
        "unmeasured": list(found.unmeasured),
        "layers": [_layer(layer, found.sqnr[layer.layer]) for layer in found.layers],
        "synops": {"before": _operations(found.before), "after": _operations(found.after)},
    }


def _model(found: Drift, model: Decided) -> dict[str, Any]:
    share, kept = found.share(model), model.spikes
    change = None if model is found.models[HARD] else found.change(model)
    return {
        "accuracy": share and {**share._asdict(), "value": share.value},
        "against_hard": change and {**change._asdict(), "value": change.value},
        "decisions_flipped": found.flipped(model),
        "spikes_kept": kept and _kept(kept),
        "layers": {one.layer: _kept(one) for one in model.kept},
    }


def _kept(kept: Agreement) -> dict[str, float]:
    return {"matched": kept.matched, "union": kept.union, "share": kept.share}


def _layer(layer: LayerDrift, sqnr: float) -> dict[str, Any]:
    membrane, flips = layer.membrane, layer.flips
    return {
        "layer": layer.layer,
        "weight_sqnr_db": sqnr if math.isfinite(sqnr) else None,
        "membrane": {
            "unit": "thresholds" if flips else "model units",
            "all": _moments(membrane.all),
            "agreed": _moments(membrane.agreed),
            "near": _moments(membrane.near),
        },
        "spikes": flips and _flips(layer, flips),
    }


def _moments(of: Moments) -> dict[str, Any]:
    """Count, mean and deviation; the last two None where there are no values."""
    if not of.n:
        return {"n": 0, "mean": None, "deviation": None}
    return {"n": of.n, "mean": of.mean, "deviation": of.deviation}


def _flips(layer: LayerDrift, flips: Flips) -> dict[str, Any]:
    before, after = layer.rate(flips.before), layer.rate(flips.after)
    return {
        "neurons": flips.before.size,
        "before": int(flips.before.sum()),
        "after": int(flips.after.sum()),
        "rate_before": before,
        "rate_after": after,
        "rate_difference": after - before,
        **_kept(flips.kept),
        "lost": flips.lost,
        "added": flips.added,
        "samples_with_flips": flips.samples,
        "first": flips.first and _first(flips.first),
        "flips_by_step": flips.by_step.tolist(),
        "silent": _counts(layer.silent(flips.before), layer.silent(flips.after)),
        "saturated": _counts(layer.saturated(flips.before), layer.saturated(flips.after)),
    }


def _first(flip: Difference) -> dict[str, Any]:
    return {
        "step": flip.step,
        "sample": flip.sample,
        "neuron": list(flip.neuron),
        "before": flip.ours,
        "after": flip.theirs,
    }


def _counts(before: Array, after: Array) -> dict[str, int]:
    """How many neurons are so before, after, and only after."""
    return {
        "before": int(before.sum()),
        "after": int(after.sum()),
        "new": int((after & ~before).sum()),
    }


def _operations(made: Operations) -> dict[str, int]:
    return {"input": made.input, "hidden": made.hidden}
