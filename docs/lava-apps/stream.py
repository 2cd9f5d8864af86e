"""Digits as an event sensor sees them, classified while they arrive, column by column.

    stream.py NET.sast [SAMPLES]

The main program stands for the sensor: it sends one column of events at a time into the running
app and reads what the net says in that step. A line a digit shows the decision each time it
changes, as digit@step. Exits with 1 if a spike differs from the reference interpreter's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from compare import compare
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.extractor import Extractor, PyLoihiExtractorModel
from lava.proc.io.injector import Injector, PyLoihiInjectorModel

from sast_compile.backends import reference
from sast_compile.data import load_dataset
from sast_compile.lava import CompiledNet

# Lava's Injector and Extractor carry no tag, and two models each: these are to be named.
RUN = Loihi2SimCfg(
    select_tag="fixed_pt",
    exception_proc_model_map={
        Injector: PyLoihiInjectorModel,
        Extractor: PyLoihiExtractorModel,
    },
)


def spikes_of(net: CompiledNet, stream: Any) -> Iterator[Any]:
    """The net's output spikes for each row of ``stream``, (steps, *shape), as it is sent."""
    sensor, readout = Injector(shape=net.inp.shape), Extractor(shape=net.out.shape)
    sensor.out_port.connect(net.inp)
    net.out.connect(readout.in_port)
    flush = np.zeros((net.latency, *stream.shape[1:]))
    everything = np.concatenate([stream, flush])
    steps = RunSteps(num_steps=len(everything), blocking=False)
    sensor.run(condition=steps, run_cfg=RUN)
    for step, events in enumerate(everything, 1):
        sensor.send(events)
        spikes = readout.receive().astype(np.int64)
        if step >= net.out_step:
            yield spikes
    sensor.wait()
    sensor.stop()


def classify(net: CompiledNet, events: Any, labels: Any) -> Any:
    """Prints the rolling decisions; all spikes, (samples, steps, classes)."""
    steps, kept, right = events.shape[1], [], 0
    for index, spikes in enumerate(spikes_of(net, events.reshape(-1, *events.shape[2:]))):
        sample, step = divmod(index, steps)
        if step == 0:
            print(f"digit {labels[sample]}:", end="", flush=True)
            counts, decision = np.zeros_like(spikes), None
        counts += spikes
        if counts.any() and counts.argmax() != decision:  # ties: the lowest class
            decision = int(counts.argmax())
            print(f" {decision}@{step}", end="", flush=True)
        if step == steps - 1:
            right += decision == labels[sample]
            print("" if decision == labels[sample] else "  (wrong)")
        kept.append(spikes)
    print(f"{right} of {len(labels)} right")
    return np.array(kept).reshape(*events.shape[:2], -1)


def main(path: str, count: int = 100) -> int:
    digits = load_dataset("digits", "test")
    events, labels = digits.events[:count], digits.labels[:count]
    net = CompiledNet(path, reset_interval=events.shape[1])
    found = classify(net, events, labels)
    wanted = reference.run(net.program, events, "outputs")[net.program.outputs[0]].spikes
    return 0 if compare("digits", found, wanted) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *(int(count) for count in sys.argv[2:])))
