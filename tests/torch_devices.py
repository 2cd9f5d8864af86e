"""The devices on which programs on torch are tested: the cpu, and a GPU where there is one."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def without_gpu() -> str | None:
    """Why nothing can run on a GPU here; None if it can."""
    if find_spec("torch") is None:
        return "NO TORCH: pip install sast-compile[torch]"
    import torch

    if torch.cuda.is_available():
        return None
    return f"NO GPU: torch {torch.__version__} sees none, so nothing here ran on CUDA"


NO_GPU = without_gpu()
on_gpu = pytest.mark.skipif(NO_GPU is not None, reason=str(NO_GPU))
DEVICES = ["cpu", pytest.param("cuda", marks=on_gpu)]
