"""The emulator beside other simulators, beside this machine's limits, and as its load grows."""
