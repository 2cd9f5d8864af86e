"""Two nets, one behind the other: one says which digit, the next whether it is even or odd.

    chain.py DIGITS.sast EVEN_ODD.sast.txt [SAMPLES]

Both forget between samples, each in the step in which the sample reaches it. Exits with 1 if a
spike differs from the reference interpreter's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from compare import columns, compare, samples
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

from sast_compile.backends import reference
from sast_compile.data import load_dataset
from sast_compile.ir.text import parse_program
from sast_compile.lava import CompiledNet


def main(digits_path: str, even_odd_path: str, count: int = 100) -> int:
    data = load_dataset("digits", "test")
    events, labels = data.events[:count], data.labels[:count]
    steps = events.shape[1]
    program = parse_program(Path(even_odd_path).read_text(encoding="utf-8"))
    digits = CompiledNet(digits_path, reset_interval=steps)
    even_odd = CompiledNet(program, reset_interval=steps, first_step=digits.out_step)

    source = Source(data=columns(events))
    total = events.shape[0] * steps + digits.latency + even_odd.latency
    sinks = {net: Sink(shape=net.out.shape, buffer=total) for net in (digits, even_odd)}
    source.s_out.connect(digits.inp)
    digits.out.connect(even_odd.inp)
    for net, sink in sinks.items():
        net.out.connect(sink.a_in)

    source.run(condition=RunSteps(total), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    kept = {net: samples(sink.data.get(), net.out_step, steps) for net, sink in sinks.items()}
    first, second = kept[digits][:count], kept[even_odd][:count]
    right = (second.sum(axis=1).argmax(axis=1) == labels % 2).sum()
    print(f"even or odd: {right} of {len(labels)} right")
    wanted_first = reference.run(digits.program, events)[digits.program.outputs[0]].spikes
    wanted_second = reference.run(program, wanted_first)[program.outputs[0]].spikes
    equal = [
        compare("digits", first, wanted_first),
        compare("even or odd", second, wanted_second),
    ]
    source.stop()
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], *(int(count) for count in sys.argv[3:])))
