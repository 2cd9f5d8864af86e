"""lava-dl networks (`.net`) for tests, laid on disk as lava-dl's own exporter does.

Weights, biases and delays are arrays of float32, a layer's type is an array of one S10, a neuron's
a plain string, its registers are scalars, and convolution kernels have five axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Layer = dict[str, Any]
NEURON: Layer = {
    "neuron/type": "LOIHI", "neuron/iDecay": 4096, "neuron/vDecay": 1024, "neuron/vThMant": 3,
    "neuron/refDelay": 1, "neuron/wgtExp": 0, "neuron/tauRho": 0.5, "neuron/scaleRho": 10.0,
    "neuron/theta": 192,
}  # fmt: skip


def text(word: str) -> npt.NDArray[np.bytes_]:
    return np.array([word.encode()], "S10")


def input_layer(*shape: int) -> Layer:
    return {"type": text("input"), "shape": np.array(shape)}


def dense_layer(weight: Any, /, **changes: Any) -> Layer:
    """Weights (outputs, inputs)."""
    weight = np.asarray(weight, np.float32)
    outputs, inputs = weight.shape[:2]
    sizes = {"inFeatures": inputs, "outFeatures": outputs, "shape": np.array([outputs])}
    return changed({"type": text("dense"), "weight": weight, **sizes, **NEURON}, changes)


def conv_layer(kernel: Any, /, **changes: Any) -> Layer:
    """A kernel (outputs, inputs, rows, columns)."""
    weight = np.asarray(kernel, np.float32)[..., None]
    geometry = {"kernelSize": np.array(weight.shape[2:4]), "stride": np.array([1, 1]),
                "padding": np.array([0, 0]), "dilation": np.array([1, 1]), "groups": 1}  # fmt: skip
    sizes = {"inChannels": weight.shape[1], "outChannels": weight.shape[0]}
    return changed({"type": text("conv"), "weight": weight, **geometry, **sizes, **NEURON}, changes)


def changed(layer: Layer, changes: Mapping[str, Any]) -> Layer:
    """``layer`` with keys replaced (``neuron_x`` is ``neuron/x``); None leaves one out."""
    named = {key.replace("neuron_", "neuron/"): value for key, value in changes.items()}
    return {key: value for key, value in (layer | named).items() if value is not None}


def write(path: Path, layers: Sequence[Layer], step: int | None = 1) -> Path:
    """The layers lie at ``path``; ``step`` is simulation/Ts in ms."""
    with h5py.File(path, "w") as file:
        for index, layer in enumerate(layers):
            for key, value in layer.items():
                file.create_dataset(f"layer/{index}/{key}", data=value)
        if step is not None:
            file.create_dataset("simulation/Ts", data=step)
    return path
