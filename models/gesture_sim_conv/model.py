"""A convolutional network for simulated DVS Gesture: three strided convolutions, zero reset.

The membranes of the convolutions forget within two or three bins, so that what a neuron sees is a
movement and not the whole recording; only the last layer remembers.
"""

from typing import Any

NEURON = {
    "kind": "lif",
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
            "out_channels": 16,
            "kernel_size": 5,
            "stride": 2,
            "padding": 2,
            "bias": False,
        },
        {"name": "lif1", "alpha": 0.6, **NEURON},
        {
            "name": "conv2",
            "kind": "conv2d",
            "in_channels": 16,
            "out_channels": 32,
            "kernel_size": 5,
            "stride": 2,
            "padding": 2,
            "bias": False,
        },
        {"name": "lif2", "alpha": 0.6, **NEURON},
        {
            "name": "conv3",
            "kind": "conv2d",
            "in_channels": 32,
            "out_channels": 32,
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
            "bias": False,
        },
        {"name": "lif3", "alpha": 0.7, **NEURON},
        {"name": "flatten", "kind": "flatten"},
        {"name": "fc4", "kind": "linear", "in_features": 512, "out_features": 11, "bias": False},
        {"name": "lif4", "alpha": 0.97, **NEURON},
    ]
