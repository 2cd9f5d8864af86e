"""Memory that nobody has written holds ones here: an emitter that counts on zeros is found out."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _memory_of_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("llvmlite") is None:
        return
    from sast_compile.backends.emulator import threads

    plain: Callable[[int], np.ndarray] = threads.memory_of

    def ones(size: int) -> np.ndarray:
        memory = plain(size)
        memory[...] = 255
        return memory

    monkeypatch.setattr(threads, "memory_of", ones)
