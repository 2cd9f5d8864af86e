"""sast-compile: from torch to a neuromorphic chip, with proof that both compute the same spikes."""

__version__ = "0.1.0"
