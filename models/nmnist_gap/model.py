"""Two hidden layers of the SAST papers' neuron, zero reset, atan of slope 2."""

from typing import Any

NEURON = {
    "kind": "lif",
    "alpha": 0.9,
    "threshold": 1.0,
    "reset": "zero",
    "reset_when": "before_decay",
    "compare": ">=",
    "surrogate": "atan",
    "slope": 2.0,
}


def network() -> list[dict[str, Any]]:
    """The plain description, one dict a layer."""
    return [
        {"name": "flatten", "kind": "flatten"},
        {"name": "fc1", "kind": "linear", "in_features": 2312, "out_features": 200, "bias": False},
        {"name": "lif1", **NEURON},
        {"name": "fc2", "kind": "linear", "in_features": 200, "out_features": 200, "bias": False},
        {"name": "lif2", **NEURON},
        {"name": "fc3", "kind": "linear", "in_features": 200, "out_features": 10, "bias": False},
        {"name": "lif3", **NEURON},
    ]
