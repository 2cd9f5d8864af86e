"""A net drives stock Lava Processes, and they act back on what it sees.

    actuator.py DIGITS.sast [SAMPLES]

The output spikes of the net push a motor, a stock Dense and LIF. Whenever the motor fires it
shakes the sensor: a second Dense sends events from a row of pixels back into the net's input. The
states run on without a reset. Exits with 1 if a spike of the net differs from the reference
interpreter's on what the sensor and the motor sent, or one of the motor from its equation.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from compare import columns, compare
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF

from sast_compile.backends import reference
from sast_compile.data import load_dataset
from sast_compile.lava import CompiledNet

PUSH, THRESHOLD = 20, 50  # of one output spike; above it the motor fires


def motor_equation(output: Any) -> Any:
    """The motor's spikes, (steps, 1), for the net's, (steps, classes): sums, fires, starts at 0."""
    current = np.concatenate([[0], PUSH * output.sum(axis=1)[:-1]])  # a connection takes a step
    position, spikes = 0, []
    for push in current:
        position += push
        spikes.append(position > THRESHOLD)
        position *= not spikes[-1]
    return np.array(spikes, int)[:, None]


def main(path: str, count: int = 100) -> int:
    events = load_dataset("digits", "test").events[:count]
    net = CompiledNet(path)
    shaken = np.zeros(net.inp.shape, int)
    shaken[0, 5] = 1  # polarity 0, row 5

    source = Source(data=columns(events))
    push = Dense(weights=np.full((1, *net.out.shape), PUSH), name="push")
    motor = LIF(shape=(1,), du=4095, dv=0, vth=THRESHOLD, name="motor")
    shake = Dense(weights=shaken.reshape(-1, 1) * 2, name="shake")
    source.s_out.connect(net.inp)
    net.out.connect(push.s_in)
    push.a_out.connect(motor.a_in)
    motor.s_out.connect(shake.s_in)
    shake.a_out.reshape(net.inp.shape).connect(net.inp)

    steps = events.shape[0] * events.shape[1]
    outputs, moves = Sink(shape=net.out.shape, buffer=steps), Sink(shape=(1,), buffer=steps)
    net.out.connect(outputs.a_in)
    motor.s_out.connect(moves.a_in)
    source.run(condition=RunSteps(steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    output, moved = outputs.data.get().T.astype(int), moves.data.get().T.astype(int)

    came_back = np.concatenate([[[0]], moved[:-1]])  # through the Dense, one step later
    seen = events.reshape(1, steps, *net.inp.shape) | came_back.reshape(1, -1, 1, 1, 1) * shaken
    (name,) = net.program.outputs
    wanted = reference.run(net.program, seen)[name].spikes[0, : steps - net.latency]
    alone = reference.run(net.program, events.reshape(seen.shape))[name].spikes[0]
    print(f"the motor moved {moved.sum()} times")
    print(f"without it, {(alone[: len(wanted)] != wanted).sum()} values would be others")
    equal = [
        compare("digits in the loop", output[net.latency :], wanted),
        compare("motor", moved, motor_equation(output), "its equation's"),
    ]
    source.stop()
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *(int(count) for count in sys.argv[2:])))
