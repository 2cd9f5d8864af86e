"""Where values lie, how they are read and written, and what is kept of a run."""
