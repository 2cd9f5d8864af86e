"""The devices that torch sees, and how much of their memory a run may take."""

from __future__ import annotations

import torch

from sast_compile.errors import BackendUnavailable

HOST_MEMORY = 1 << 30  # bytes: an operating system promises more than it has, so it is not asked
SHARE = 0.8  # of a GPU's free memory: the rest is lost between blocks, and cuBLAS takes some


def device_called(name: str) -> torch.device:
    """The device ``name``: cpu, cuda, cuda:N. BackendUnavailable says what torch sees instead."""
    device = torch.device(name)
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        raise BackendUnavailable(f"no device {name}: {_no_gpu()}", hint="cpu is always there")
    if device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    count = torch.cuda.device_count()
    if device.index >= count:
        seen = ", ".join(f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(count))
        raise BackendUnavailable(f"no device {name}: torch sees {seen}")
    return device


def _no_gpu() -> str:
    """Why torch has no GPU, as far as it can tell."""
    version = f"torch {torch.__version__}"
    if torch.version.cuda is None:
        return f"{version} is built without CUDA"
    return f"{version} is built for CUDA {torch.version.cuda}, but sees no GPU or no driver for it"


def free_memory(device: torch.device) -> int:
    """The bytes that a run may take on ``device``."""
    if device.type == "cpu":
        return HOST_MEMORY
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(SHARE * (free + cached))
