"""Differential fuzzing: random programs on the interpreter, torch's integers and Lava."""
