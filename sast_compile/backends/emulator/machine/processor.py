"""What the code is made for: a processor, its vectors, and what of it the emitters use."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache

from llvmlite import binding

ACC = 12
WIDE = "avx512"  # the features whose names begin so belong to vectors of 512 bits


@dataclass(frozen=True)
class Processor:
    """LLVM's name of a processor, its features ("" for what the name says), its vectors' bits.

    ``triple``: the machine it is in, "" for this one; object code for another can only be made.
    """

    name: str
    features: str = ""
    vector: int = 128
    triple: str = ""

    def has(self, *features: str) -> bool:
        """Whether all ``features`` are stated, by LLVM's names."""
        stated = self.features.split(",")
        return all(f"+{feature}" in stated for feature in features)

    @property
    def accumulators(self) -> int:
        """How many vectors of sums a loop can hold in registers, with some left for its work."""
        return 16 if self.vector == 512 or self._is_arm else ACC

    @property
    def rounds(self) -> bool:
        """Whether a float product can be rounded toward zero or down by its own instruction."""
        return self.has("avx512f")

    @property
    def compresses(self) -> int:
        """The bits of the lanes that one instruction can bring together by a mask; 0 for none."""
        return 16 if self.has("avx512vbmi2", "avx512bw") else 32 if self.has("avx512f") else 0

    @property
    def _is_arm(self) -> bool:
        return "aarch64" in (self.triple or platform.machine())


@lru_cache(maxsize=1)
def host() -> Processor:
    """This machine's processor."""
    features = binding.get_host_cpu_features()
    wide = all(features.get(f"{WIDE}{part}") for part in ("f", "bw", "dq", "vl"))
    vector = 512 if wide else 256 if features.get("avx2") else 128
    return Processor(binding.get_host_cpu_name(), features.flatten(), vector)
