"""The passes by name; a target's list of names is their order."""

from sast_compile.passes.balance_latency import balance_latency
from sast_compile.passes.check_registers import check_registers
from sast_compile.passes.fold_scales import fold_scales
from sast_compile.passes.fold_thresholds import fold_thresholds
from sast_compile.passes.lower_resets import lower_resets
from sast_compile.passes.lowered import Calibration, Lowered, Note, Options, Pass, Rounding
from sast_compile.passes.quantize_weights import quantize_weights
from sast_compile.passes.share_thresholds import share_thresholds
from sast_compile.passes.snap_decays import snap_decays

PASSES: dict[str, Pass] = {
    "fold_scales": fold_scales,
    "lower_resets": lower_resets,
    "share_thresholds": share_thresholds,
    "snap_decays": snap_decays,
    "quantize_weights": quantize_weights,
    "fold_thresholds": fold_thresholds,
    "balance_latency": balance_latency,
    "check_registers": check_registers,
}

__all__ = ["PASSES", "Calibration", "Lowered", "Note", "Options", "Pass", "Rounding"]
