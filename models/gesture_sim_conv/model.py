"""A convolutional network at DVS Gesture's reduced size, 2x32x32: three strided convolutions."""

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
            "out_channels": 16,
            "kernel_size": 5,
            "stride": 2,
            "padding": 2,
            "bias": False,
        },
        {"name": "lif1", **NEURON},
        {
            "name": "conv2",
            "kind": "conv2d",
            "in_channels": 16,
            "out_channels": 32,
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
            "bias": False,
        },
        {"name": "lif2", **NEURON},
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
        {"name": "lif3", **NEURON},
        {"name": "flatten", "kind": "flatten"},
        {"name": "fc4", "kind": "linear", "in_features": 512, "out_features": 11, "bias": False},
        {"name": "lif4", **NEURON},
    ]
