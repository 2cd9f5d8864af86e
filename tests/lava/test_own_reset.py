"""Our LIF with a subtracting reset, held against Intel's: the one place where it has an oracle."""

from __future__ import annotations

from pathlib import Path

import pytest
from lava_app import run_app

pytestmark = pytest.mark.lava


def test_intels_atrlif_fires_with_it_spike_for_spike(python_with_lava: Path) -> None:
    """Two layers; without a leak a reset in the next step gives the same spikes."""
    found = run_app(python_with_lava, "atrlif")
    spoilt = found.pop("spoilt")
    assert set(found) == {"after_fire", "before_decay", "after_decay"}
    for layers in found.values():
        assert [layer["differing"] for layer in layers] == [0, 0]
        assert all(layer["active"] > 500 for layer in layers)
    assert all(layer["differing"] > 0 for layer in spoilt)  # an amount of 1 / 64 more is seen
