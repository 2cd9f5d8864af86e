"""The attributes of NIR's nodes in a file: which must be there, and what nir takes where not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Schema(NamedTuple):
    """Attributes of one kind: numbers, whole numbers, and defaults of those that may be missing.

    A default of None means that the rest of the graph says it.
    """

    numbers: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    defaults: Mapping[str, float | None] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.numbers, *self.whole)


_CONV = Schema(
    ("weight", "bias"),
    ("input_shape", "stride", "padding", "dilation", "groups"),
    {"input_shape": None},
)
_POOL = Schema((), ("kernel_size", "stride", "padding"))
_END = Schema((), ("shape",), {"shape": None})
_CUBA = ("tau_syn", "tau_mem", "r", "v_leak")

SCHEMAS: Mapping[str, Schema] = {
    "Input": _END,
    "Output": _END,
    "Linear": Schema(("weight",)),
    "Affine": Schema(("weight", "bias")),
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
    "Scale": Schema(("scale",)),
    "Delay": Schema(("delay",)),
    "Flatten": Schema(
        (),
        ("input_type", "start_dim", "end_dim"),
        {"input_type": None, "start_dim": 1, "end_dim": -1},
    ),
    "I": Schema(("r",)),
    "LI": Schema(("tau", "r", "v_leak")),
    "CubaLI": Schema((*_CUBA, "w_in"), (), {"w_in": 1.0}),
    "IF": Schema(("r", "v_threshold", "v_reset"), (), {"v_reset": 0.0}),
    "LIF": Schema(("tau", "r", "v_leak", "v_threshold", "v_reset"), (), {"v_reset": 0.0}),
    "CubaLIF": Schema(
        (*_CUBA, "v_threshold", "v_reset", "w_in"), (), {"v_reset": 0.0, "w_in": 1.0}
    ),
    "Threshold": Schema(("threshold",)),
}
OLD_NAMES = {"weights": "weight", "v_th": "v_threshold"}  # of nir 0.0.x
SAID_ELSEWHERE = ("type", "metadata", "input_type", "output_type")  # no parameter of its node
SINGLE = ("groups", "start_dim", "end_dim")  # whole numbers that are never one for each axis
SHAPES = ("shape", "input_shape", "input_type")
