"""The Lava back end: an independent oracle for Loihi 2, Intel's own fixed-point models."""

from sast_compile.backends.lava.environment import lava_python, lava_status, setup_lava
from sast_compile.backends.lava.graph import Graph, lower
from sast_compile.backends.lava.launch import LavaRun, LavaRuns, run, run_many
from sast_compile.backends.lava.timings import Timings

__all__ = [
    "Graph",
    "LavaRun",
    "LavaRuns",
    "Timings",
    "lava_python",
    "lava_status",
    "lower",
    "run",
    "run_many",
    "setup_lava",
]
