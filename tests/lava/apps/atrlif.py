"""Our LIF with a subtracting reset beside Intel's ATRLIF, where that computes the same.

ATRLIF fires where ``v - r >= theta`` and then adds 2 theta to r. Without leaks and with v = -theta
at first, ``w = v - r + theta`` is the voltage of a neuron that fires at ``w >= 2 theta`` and
subtracts 2 theta. Its voltages are multiples of 64, so that is ``w > 2 theta - 64``: Loihi's
comparison. The last current comes back as ``-sign(i) (|i| >> 12)``, which is 0 for |a_in| < 64.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.proc.atrlif.process import ATRLIF
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.utils.weightutils import SignMode
from measure import FIXED, count

from sast_compile.backends.lava.processes.lif_each import LIFOwnReset

STEPS = 250
SIZES = (8, 24, 12)
THRESHOLDS = (62, 14)
NEVER = (1 << 31) - 1


def weights(rng: np.random.Generator, outputs: int, inputs: int) -> Any:
    """Even weights; a row adds up to 62 at most, and to something above 0 in the mean."""
    raw = rng.normal(0.4, 1, (outputs, inputs))
    return (raw / abs(raw).sum(1, keepdims=True) * 31).astype(int) * 2


def intels(size: int, threshold: int, bias: Any) -> Any:
    half = threshold // 2
    decays = {"delta_i": 1, "delta_v": 0, "delta_theta": 0, "delta_r": 0}
    return ATRLIF(shape=(size,), v=-64 * half, theta_0=half, theta_step=0, bias_mant=bias, **decays)


def ours(size: int, threshold: int, bias: Any, when: str, more: int = 0) -> Any:
    return LIFOwnReset(
        shape=(size,),
        du=4095,
        dv=0,
        vth=threshold - 1,
        bias_mant=bias,
        reset_interval=NEVER,
        reset_offset=1,
        reset_kind="subtract",
        reset_when=when,
        amount=64 * threshold + more,
    )


def net(source: Any) -> dict[str, list[Any]]:
    """The same two layers by each process, and a sink behind every layer."""
    rng = np.random.default_rng(1)
    held = [weights(rng, b, a) for a, b in itertools.pairwise(SIZES)]
    biases = [64 * rng.integers(-1, 3, size) for size in SIZES[1:]]
    sinks: dict[str, list[Any]] = {}
    for name in ("intel", "after_fire", "before_decay", "after_decay", "spoilt"):
        before, sinks[name] = source, []
        for weight, bias, threshold in zip(held, biases, THRESHOLDS, strict=True):
            dense = Dense(weights=weight, sign_mode=SignMode.MIXED)
            lif = layer(name, len(weight), threshold, bias)
            sink = Sink(shape=(len(weight),), buffer=STEPS)
            before.s_out.connect(dense.s_in)
            dense.a_out.connect(lif.a_in)
            lif.s_out.connect(sink.a_in)
            sinks[name].append(sink)
            before = lif
    return sinks


def layer(name: str, size: int, threshold: int, bias: Any) -> Any:
    if name == "intel":
        return intels(size, threshold, bias)
    if name == "spoilt":
        return ours(size, threshold, bias, "after_fire", more=1)
    return ours(size, threshold, bias, name)


def main() -> None:
    rng = np.random.default_rng(0)
    source = Source(data=(rng.random((SIZES[0], STEPS)) < 0.5).astype(int))
    sinks = net(source)
    source.run(condition=RunSteps(STEPS), run_cfg=FIXED)
    kept = {name: [sink.data.get() for sink in layers] for name, layers in sinks.items()}
    source.stop()
    intel = kept.pop("intel")
    print(json.dumps({n: [count(a, b) for a, b in zip(kept[n], intel, strict=True)] for n in kept}))


if __name__ == "__main__":
    main()
