"""SAST training: smooth spikes forward, sharpness-aware steps, chosen by hard accuracy."""
