"""A convolutional network for simulated N-MNIST: two strided convolutions, zero reset."""

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
        {
            "name": "conv1",
            "kind": "conv2d",
            "in_channels": 2,
            "out_channels": 12,
            "kernel_size": 5,
            "stride": 2,
            "padding": 2,
            "bias": False,
        },
        {"name": "lif1", **NEURON},
        {
            "name": "conv2",
            "kind": "conv2d",
            "in_channels": 12,
            "out_channels": 32,
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
            "bias": False,
        },
        {"name": "lif2", **NEURON},
        {"name": "flatten", "kind": "flatten"},
        {"name": "fc3", "kind": "linear", "in_features": 2592, "out_features": 10, "bias": False},
        {"name": "lif3", **NEURON},
    ]
