"""N-MNIST, 2312-200-10 with zero reset, which Loihi's own neuron makes."""

from typing import Any

NEURON = {
    "kind": "lif",
    "alpha": 0.9,
    "threshold": 1.0,
    "reset": "zero",
    "reset_when": "before_decay",
    "compare": ">=",
    "surrogate": "sigmoid",
    "slope": 5.0,
}


def network() -> list[dict[str, Any]]:
    """The plain description, one dict a layer."""
    return [
        {"name": "flatten", "kind": "flatten"},
        {"name": "fc1", "kind": "linear", "in_features": 2312, "out_features": 200, "bias": False},
        {"name": "lif1", **NEURON},
        {"name": "fc2", "kind": "linear", "in_features": 200, "out_features": 10, "bias": False},
        {"name": "lif2", **NEURON},
    ]
