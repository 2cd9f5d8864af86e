"""The sums of projections and currents, from spikes or any other integers."""
