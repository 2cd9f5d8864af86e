"""sast-compile: from torch to a neuromorphic chip, with proof that the chip computes the same spikes."""

__version__ = "0.1.0"
