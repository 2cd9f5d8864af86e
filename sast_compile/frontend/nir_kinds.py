"""The kinds of NIR nodes, by what they are in a program."""

from __future__ import annotations

SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")
READOUTS = ("LI", "CubaLI", "I")  # a voltage that never fires: the end of a path
NEURONS = (*SPIKING, *READOUTS)
WEIGHTED = ("Linear", "Affine", "Conv1d", "Conv2d")
LINEAR = (*WEIGHTED, "SumPool2d", "AvgPool2d", "Flatten", "Scale", "Delay")
SUPPORTED = ("Input", "Output", "NIRGraph", *LINEAR, *NEURONS)


def kind_of(node: object) -> str:
    """The kind of a NIR node: the name of its class, or what a `BadNode` was to be."""
    kind = getattr(node, "kind", None)
    return kind if isinstance(kind, str) else type(node).__name__
