"""The transfer gap of one model: how each way to train it fares when its spikes become hard."""
