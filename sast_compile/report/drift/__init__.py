"""How far the integers drift from the float hard-spike model, layer by layer, and what costs it."""
