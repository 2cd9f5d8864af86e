"""What a network cannot exceed: contraction, membranes, and the effect of its input.

`neuron` holds the formulas on plain numbers, `network` takes them through a torch network. The
derivations are in docs/bounds.md.
"""
