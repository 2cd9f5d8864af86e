"""What CompiledNet refuses, and where: prints the error of every case, by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from loihi_programs import LoihiLayer, chain

from sast_compile.lava import CompiledNet

PROGRAM = chain("refused", [LoihiLayer(np.ones((3, 4), int), vth=1)])


def net() -> CompiledNet:
    return CompiledNet(PROGRAM, name="net")


def source(*shape: int) -> Source:
    return Source(data=np.zeros((*shape, 5), int))


def compiled(config: Loihi2SimCfg) -> None:
    one, feed, sink = net(), source(4), Sink(shape=(3,), buffer=5)
    feed.s_out.connect(one.inp)
    one.out.connect(sink.a_in)
    feed.compile(config)


CASES: dict[str, Callable[[], Any]] = {
    "source to inp": lambda: source(2, 2).s_out.connect(net().inp),
    "inp from source": lambda: net().inp.connect_from(source(5).s_out),
    "out to sink": lambda: net().out.connect(Sink(shape=(4,), buffer=5).a_in),
    "sink from out": lambda: Sink(shape=(1,), buffer=5).a_in.connect_from(net().out),
    "out to inp": lambda: net().out.connect(net().inp),
    "no tag": lambda: compiled(Loihi2SimCfg()),
    "no file": lambda: CompiledNet("no_such_file.sast"),
    "no interval": lambda: CompiledNet(PROGRAM, reset_interval=0),
    "no step": lambda: CompiledNet(PROGRAM, first_step=0),
    "fitting": lambda: source(2, 2).s_out.reshape(net().inp.shape).connect(net().inp),
    "transposed": lambda: source(4, 1).s_out.transpose((1, 0)).flatten().connect(net().inp),
    "tag": lambda: compiled(Loihi2SimCfg(select_tag="fixed_pt")),
    "compared": lambda: net().inp.shape != (7,) and net().inp.shape == (4,),
}


def outcome(case: Callable[[], Any]) -> str:
    try:
        case()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


if __name__ == "__main__":
    print(json.dumps({name: outcome(case) for name, case in CASES.items()}))
