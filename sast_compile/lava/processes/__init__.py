"""Lava Processes and their models, and nothing else: Lava executes every module of this folder."""
