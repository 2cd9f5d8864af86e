"""The one place where events are handed to the emulator, by every measurement: as lists of spikes.

The lists lie ready, as the tensors of floats do that other simulators are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.ir.sparse import SparseEvents, from_dense

if TYPE_CHECKING:  # what this imports counts in a fresh process
    from sast_compile.backends.emulator import Emulator
    from sast_compile.trace import Trace

Events: TypeAlias = npt.NDArray[np.uint8]  # (samples, steps, *input shape)


def ready(events: Events) -> SparseEvents:
    """The lists of the spikes in ``events``."""
    return from_dense(events)


def warmed(emulator: Emulator, events: Events | SparseEvents) -> Emulator:
    """``emulator``, its code made for events of this form."""
    emulate(emulator, events)
    return emulator


def emulate(emulator: Emulator, events: Events | SparseEvents) -> Trace:
    """What ``emulator`` records on ``events``; bytes become what it reads in its own time."""
    return emulator.run(events)
