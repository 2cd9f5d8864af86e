"""The events on which weights are rounded: the user's own, or the model's data set, never its test.

``calibrate``: None for none, ``"train"`` for the first samples of the train split of the data set
that the model names, else the path of events (`samples.py`).
"""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np

from sast_compile.artifact import CalibratedOn
from sast_compile.data import open_dataset
from sast_compile.errors import CompileError
from sast_compile.files import sha256
from sast_compile.frontend.source import Source
from sast_compile.passes import Rounding
from sast_compile.samples import Samples, samples_from

Calibrate: TypeAlias = str | os.PathLike[str] | None
TRAIN = "train"
MOST = 1000  # samples: more of them changed nothing on validation


def calibration_samples(source: Source, calibrate: Calibrate, rounding: Rounding) -> Samples | None:
    """The samples that ``calibrate`` names; CompileError where there are none, or of no use."""
    if calibrate is None:
        return None
    if not source.has_floats:
        raise CompileError("holds integers already: nothing is rounded", where=source.path)
    if rounding == "nearest":
        raise CompileError(
            "rounding to the nearest looks at no events",
            hint="--calibrate alone",
        )
    if calibrate != TRAIN:
        return samples_from(source.program, source.contract, os.fspath(calibrate), None, MOST)
    if source.dataset is None:
        raise CompileError(
            "names no data set to calibrate on",
            where=source.path,
            hint="--calibrate-on FILE with events of your own",
        )
    stored, labels = open_dataset(source.dataset, TRAIN)
    n, inputs = min(len(labels), MOST), source.program.inputs
    origin = f"{source.dataset}, train split, first {n}"
    return Samples(dict.fromkeys(inputs, stored), n, labels[:n], origin)


def calibrated_on(samples: Samples) -> CalibratedOn:
    """What the artifact says of ``samples``."""
    data = np.ascontiguousarray(samples.events)
    return CalibratedOn(data=samples.origin, samples=len(data), sha256=sha256(data.tobytes()))
