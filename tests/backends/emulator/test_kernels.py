"""Every kernel of the emulator beside the interpreter, at the edges of its tiles and turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from emulated_chains import Chain, assert_same

pytest.importorskip("llvmlite", reason="the emulator is the fast extra: llvmlite")

from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator
from sast_compile.backends.emulator.machine.processor import Processor, host
from sast_compile.backends.emulator.projections.matrix import COLUMNS
from sast_compile.backends.emulator.stages import TURN
from sast_compile.backends.emulator.threads import BLOCK
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import BitShift, Clamp, Fire, Reset, State
from sast_compile.ir.ops import Add, Dense, Flatten, Neuron
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.sparse import from_dense

PROCESSORS = [host(), Processor("haswell", vector=256), Processor("x86-64")]
GEOMETRIES: list[dict[str, Any]] = [
    {},
    {"padding": ((1, 1), (1, 1))},
    {"padding": ((2, 0), (0, 3))},
    {"padding": ((1, 1), (1, 1)), "stride": (2, 2)},
    {"padding": ((1, 2), (2, 1)), "stride": (1, 3)},
    {"padding": ((2, 2), (2, 2)), "stride": (3, 1), "exponent": 2},
    {"padding": ((1, 1), (1, 1)), "exponent": -3},
    {"dilation": (2, 2)},
]


def equal_with_spikes(program: Program, x: np.ndarray, processor: Processor | None = None) -> None:
    """Dense and sparse events give the interpreter's trace; on this processor in checked code."""
    wanted = reference.run(program, x, "states")
    assert all(wanted[name].spikes.any() for name in program.neurons)
    checked = processor in (None, host())
    for batch in (x, from_dense(x)):
        found = Emulator(program, "states", 1, processor, checked).run(batch)
        assert_same(found, wanted)


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda p: p.name)
@pytest.mark.parametrize("outputs", [1, 17, COLUMNS, 2 * COLUMNS + 40])
def test_matrices_of_any_width(outputs: int, processor: Processor) -> None:
    chain = Chain(outputs, (70,)).dense("fc", outputs).lif("a", 40).dense("fc2", 9).lif("b", 20)
    equal_with_spikes(chain.program(), chain.events(3, 8, 0.2), processor)


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda p: p.name)
@pytest.mark.parametrize(("bits", "exponent"), [(8, -4), (8, 3), (9, 0), (16, -1), (17, 0)])
def test_weights_of_any_width(bits: int, exponent: int, processor: Processor) -> None:
    """17 bits have no kernel of pairs; all others sum more rows than their lanes hold."""
    chain = Chain(bits, (600,)).dense("fc", 33, bits=bits, exponent=exponent)
    wide = Clamp(rule="saturate", low=-(2**40), high=2**40)
    op = Neuron(
        shape=(33,),
        voltage=State(decay=BitShift(dash=3), clamp=wide),
        fire=Fire(compare=">=", threshold=100),
        reset=Reset(kind="zero"),
    )
    equal_with_spikes(chain.then("a", op).program(), chain.events(2, 6, 0.9), processor)


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda p: p.name)
def test_states_that_one_wrap_does_not_bring_back(processor: Processor) -> None:
    """Weights of 16 bits drive u beyond its 24, and 24 bits beyond what a float holds exactly."""
    chain = Chain(16, (600,)).dense("fc", 33, bits=16).lif("a", 1)
    x = chain.events(2, 12, 0.9)
    wanted = reference.run(chain.program(), x, "states")
    assert np.abs(wanted["a"].states["u"]).max() > 1 << 25
    equal_with_spikes(chain.program(), x, processor)


@pytest.mark.parametrize(("processor", "outputs"), [(host(), 3), (host(), 16), (PROCESSORS[1], 3)])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_pictures_of_any_geometry(
    geometry: dict[str, Any], outputs: int, processor: Processor
) -> None:
    """Rows that are whole vectors and rows that are not, borders that cut the kernel."""
    chain = Chain(outputs, (2, 19, 16)).conv("c", outputs, (3, 3), **geometry).lif("a", 20)
    equal_with_spikes(chain.program(), chain.events(2, 6, 0.1), processor)


@pytest.mark.parametrize(("kernel", "tile"), [((1, 1), 64), ((5, 5), 64), ((7, 3), 512)], ids=str)
def test_tiles_of_some_rows(
    kernel: tuple[int, int], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tiles, the last of which has fewer rows."""
    monkeypatch.setattr("sast_compile.backends.emulator.projections.pictures.NEURONS", tile)
    chain = Chain(tile, (3, 23, 12)).conv("c", 8, kernel).lif("a", 30)
    equal_with_spikes(chain.program(), chain.events(2, 6, 0.1))


@pytest.mark.parametrize("size", [(3, 12, 12), (5, 13, 15)], ids=str)
@pytest.mark.parametrize("then", ["conv", "dense"])
def test_pools_are_heard_through(size: tuple[int, int, int], then: str) -> None:
    """Two pools in a row; of 13 x 15 the last rows and columns reach nothing."""
    chain = Chain(4, size).conv("c", 4, (1, 1)).lif("a", 20).pool("p", 2).pool("q", 2)
    if then == "conv":
        chain.conv("c2", 5, (2, 2), padding=((1, 0), (0, 1)))
    else:
        chain.then("flat", Flatten()).dense("fc", 30, delay=1)
    chain.lif("b", 30, start=1)
    equal_with_spikes(chain.program(), chain.events(2, 9, 0.2))


@pytest.mark.parametrize("kind", ["groups", "wide", "dilation", "order", "flat"])
def test_what_no_fast_kernel_covers(kind: str) -> None:
    """A pool in front is computed then; of ``order`` the picture lies channel by channel."""
    chain = Chain(8, (2, 9, 8))
    if kind == "order":
        chain.lif("a", 0).pool("p", 2).conv("c", 4, (2, 2))
    elif kind == "flat":
        chain.then("f", Flatten(first=1)).conv("c", 4, (1, 3), stride=(1, 2))
    elif kind == "wide":
        chain.pool("p", 2).then("flat", Flatten()).dense("fc", 20, bits=17)
    else:
        options = {"groups": {"groups": 2}, "dilation": {"dilation": (2, 1)}}[kind]
        chain.pool("p", 2).conv("c", 4, (2, 2), **options)
    equal_with_spikes(chain.lif("b", 1).program(), chain.events(2, 9, 0.2))


def test_counts_and_long_runs_of_many_samples() -> None:
    """More steps than a turn has and more samples than a block, with counts for events."""
    chain = Chain(5, (20,), bits=3).dense("fc", 40).lif("a", 300).dense("fc2", 5).lif("b", 40)
    x = chain.rng.integers(0, 8, (BLOCK + 3, 2 * TURN + 5, 20))
    wanted = reference.run(chain.program(), x, "states")
    assert wanted["b"].spikes.any()
    for checked in (False, True):
        assert_same(Emulator(chain.program(), "states", 1, checked=checked).run(x), wanted)


@pytest.mark.parametrize("delay", [1, 3, TURN, TURN + 9])
def test_loops_and_skips_of_any_delay(delay: int) -> None:
    """a hears itself; c hears a directly and through b, with delays beyond a turn."""
    chain = Chain(6, (30,))
    own, through, skip = (chain.weight(25, n, bits=8) for n in (30, 25, 25))
    loop = chain.weight(25, 25, most=9)

    def lif(start: int) -> Any:
        return loihi_neuron((25,), du=2000, dv=300, threshold=60, start=start)

    nodes = [
        chain.nodes[0],
        Node("in", Dense(weight=own), (Edge("x"),)),
        Node("again", Dense(weight=loop), (Edge("a", delay),)),
        Node("both", Add(), (Edge("in"), Edge("again"))),
        Node("a", lif(0), (Edge("both"),)),
        Node("ab", Dense(weight=through), (Edge("a", 1),)),
        Node("b", lif(1), (Edge("ab"),)),
        Node("bc", Dense(weight=skip), (Edge("b", delay),)),
        Node("ac", Dense(weight=loop), (Edge("a", delay + 1),)),
        Node("sum", Add(), (Edge("bc"), Edge("ac"))),
        Node("c", lif(delay + 1), (Edge("sum"),)),
    ]
    program = check(Program("loops", tuple(nodes), ("c",), chain.consts))
    equal_with_spikes(program, chain.events(3, TURN + 20, 0.1))
