"""The one place where events are handed to the emulator, by every measurement: dense bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # what this imports counts in a fresh process
    from sast_compile.backends.emulator import Emulator
    from sast_compile.trace import Trace

Events: TypeAlias = npt.NDArray[np.uint8]  # (samples, steps, *input shape)


def emulate(emulator: Emulator, events: Events) -> Trace:
    """What ``emulator`` records on ``events``; making of them what it reads is in its time."""
    return emulator.run(events)
