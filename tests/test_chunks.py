"""Samples in chunks: the same sums for every size, within a bound of memory that is seen."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_nets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_strategies import INTEGER_FAMILIES, events, programs

from sast_compile.artifact import save_artifact
from sast_compile.backends import reference
from sast_compile.chunks import (
    bytes_of,
    chunk_size,
    chunks,
    fits_whole,
    in_units,
    record_bytes,
    sample_bytes,
)
from sast_compile.data.stored import Stored, in_memory
from sast_compile.errors import CompileError
from sast_compile.execute import runner
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.loihi import loihi_neuron
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Dense, Flatten, Input
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.sparse import from_dense
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.report import totals as totals_module
from sast_compile.report.synops import activity
from sast_compile.report.totals import Totals, totals, totals_of
from sast_compile.samples import Samples, samples_of
from sast_compile.trace import Record

RATE = 0.1


def net(seed: int = 0, side: int = 6) -> Program:
    """A convolution, a matrix with a loop over it, two layers of neurons."""
    rng = np.random.default_rng(seed)
    shapes = {"k": (4, 2, 3, 3), "w": (5, 4 * side * side), "r": (5, 5)}
    consts = {
        name: Const(TensorType(shape, Int(8)), rng.integers(-20, 60, shape))
        for name, shape in shapes.items()
    }
    first = loihi_neuron((4, side, side), du=4095, dv=512, threshold=90)
    second = loihi_neuron((5,), du=2048, dv=256, threshold=700)
    nodes = (
        Node("x", Input(shape=(2, side, side))),
        Node("conv", Conv2d(weight=Ref("k"), padding=((1, 1), (1, 1))), (Edge("x"),)),
        Node("n1", first, (Edge("conv"),)),
        Node("flat", Flatten(), (Edge("n1"),)),
        Node("fc", Dense(weight=Ref("w")), (Edge("flat"),)),
        Node("loop", Dense(weight=Ref("r")), (Edge("n2", 1),)),
        Node("n2", second, (Edge("fc"),)),
    )
    return check(Program("net", nodes, ("n2",), consts))


def drawn(samples: int, seed: int = 1, steps: int = 12, side: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((samples, steps, 2, side, side)) < RATE).astype(np.uint8)


def most_for(program: Program, samples: Samples, many: int) -> int:
    """The bound under which a chunk has ``many`` samples."""
    return samples.held + many * sample_bytes(program, samples, "spikes")


def by_hand(program: Program, x: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Decisions, spikes and their places by the interpreter, of all samples at once."""
    trace = reference.run(program, x)
    out = {n: trace[n].spikes.astype(int).sum(axis=1).reshape(len(trace[n].spikes), -1)
           for n in program.outputs}  # fmt: skip
    firing = [n for n, op in program.neurons.items() if op.fire is not None]
    return {
        "decisions": {n: [row.index(max(row)) for row in sums.tolist()] for n, sums in out.items()},
        "spikes": {n: int(trace[n].spikes.astype(int).sum()) for n in firing},
        "events": {n: (np.asarray(data) != 0).sum(axis=(0, 1)).tolist() for n, data in x.items()},
    }


def assert_totals(found: Totals, wanted: dict[str, Any]) -> None:
    assert {n: which.tolist() for n, which in found.decisions.items()} == wanted["decisions"]
    assert {n: found.spikes(n) for n in wanted["spikes"]} == wanted["spikes"]
    assert {n: found.active[n].tolist() for n in wanted["events"]} == wanted["events"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("many", [1, 3, 7, 10])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_every_size_of_chunk_and_number_of_threads_gives_the_same(
    many: int, threads: int, kind: str
) -> None:
    program, x = net(), drawn(10)
    labels = np.arange(10) % 5
    samples = samples_of(program, from_dense(x) if kind == "sparse" else x, "x", labels)
    sizes: list[int] = []
    most = most_for(program, samples, many)
    found = totals(program, samples, most, threads, told=sizes.append)
    assert sizes == [min(many, 10 - at) for at in range(0, 10, many)]
    wanted = by_hand(program, {"x": x})
    assert_totals(found, wanted)
    assert found.right == sum(
        a == b for a, b in zip(wanted["decisions"]["n2"], labels, strict=True)
    )
    assert found.accuracy == found.right / 10
    assert min(wanted["spikes"].values()) > 30
    # every synapse by itself: the convolution's by moving a kernel of ones over the spikes
    conv, fc, loop = found.operations
    weight = program.consts["k"].data
    inside = sum(
        int(x[:, :, c, max(0, dy - 1) : 6 + dy - 1, max(0, dx - 1) : 6 + dx - 1].sum())
        for o, c, dy, dx in np.argwhere(weight).tolist()
    )
    assert (conv.input, conv.hidden) == (inside, 0)
    assert (fc.input, loop.input) == (0, 0)
    spikes = reference.run(program, x)
    for one, source, ref in ((fc, "n1", "w"), (loop, "n2", "r")):
        each = spikes[source].spikes.astype(int).sum(axis=(0, 1)).ravel()
        assert one.hidden == each @ (program.consts[ref].data != 0).sum(axis=0)
    assert found.rate("n1") == wanted["spikes"]["n1"] / (10 * 12 * 4 * 36)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_programs_give_the_same_in_chunks(data: Any) -> None:
    program = data.draw(programs(families=INTEGER_FAMILIES))
    batch = {name: np.asarray(one) for name, one in data.draw(events(program)).items()}
    samples = samples_of(program, batch, "x")
    many = data.draw(st.integers(1, samples.count))
    found = totals(program, samples, most_for(program, samples, many), threads=1)
    wanted = by_hand(program, batch)
    readouts = [n for n, op in program.neurons.items() if op.fire is None]
    assert_totals(found, wanted)
    assert set(found.active) == {*batch, *wanted["spikes"], *readouts}
    whole = totals_of(program, samples, reference.run(program, batch))
    assert found.operations == whole.operations


def test_a_chunk_is_no_larger_than_it_need_be(monkeypatch: pytest.MonkeyPatch) -> None:
    program = net()
    samples = samples_of(program, drawn(9), "x")
    each, sizes = sample_bytes(program, samples, "spikes"), list[int]()
    monkeypatch.setattr(totals_module, "ENOUGH", 4 * each)
    totals(program, samples, told=sizes.append)
    assert sizes == [4, 4, 1]
    monkeypatch.setattr(totals_module, "ENOUGH", each - 1)
    totals(program, samples, told=sizes.append)
    assert sizes[3:] == [1] * 9


# ---- the bound


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1048576", 2**20), ("1KiB", 1024), ("1.5 MB", 1_500_000), (" 2GiB ", 2**31),
     ("3kB", 3000), ("1GB", 10**9), ("7MiB", 7 * 2**20)],
)  # fmt: skip
def test_sizes_are_read(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "2 gib", "1TB", "1e9", "two", "1..5MB", "nan"])
def test_other_words_are_no_sizes(text: str) -> None:
    with pytest.raises(CompileError, match=r"is no size of memory; hint: .*MiB, GiB") as refused:
        bytes_of(text)
    assert refused.value.where == "--max-memory"


def test_sizes_are_shown() -> None:
    sizes = {0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 KiB", 2**20: "1.0 MiB", 2**31: "2.0 GiB"}
    assert {size: in_units(size) for size in sizes} == sizes


def test_a_bound_too_small_for_one_sample_is_refused_with_the_numbers() -> None:
    program = net()
    held = samples_of(program, drawn(4), "x")
    each = sample_bytes(program, held, "spikes")
    assert chunk_size(held, each, held.held + each) == 1
    assert list(chunks(held, chunk_size(held, each, held.held + 3 * each))) == [(0, 3), (3, 4)]
    with pytest.raises(
        CompileError, match=rf"one sample takes .* beside .*at least {held.held + each}"
    ):
        totals(program, held, held.held + each - 1)
    free = replace(held, inputs={"x": replace(held.inputs["x"], held=0)})
    with pytest.raises(
        CompileError,
        match=rf"one sample takes [^;]*; 10 bytes are allowed; hint: at least {each} \(bytes\)$",
    ):
        totals(program, free, 10)
    assert chunk_size(free, each, each) == 1


def test_without_a_bound_nothing_is_refused() -> None:
    samples = samples_of(net(), drawn(4), "x")
    assert chunk_size(samples, 1, None) == 4
    assert chunk_size(samples, 2**30 - samples.held // 2, None) == 2
    assert chunk_size(samples, 2**40, None) == 1


def test_a_whole_record_that_does_not_fit_is_refused_with_the_way_out() -> None:
    program = net()
    samples = samples_of(program, drawn(4), "x")
    each = sample_bytes(program, samples, "states")
    needed = samples.held + 4 * each
    fits_whole(samples, each, needed, "the record")
    with pytest.raises(
        CompileError, match=rf"the record of 4 samples takes .*--samples 3, .*{needed}"
    ):
        fits_whole(samples, each, needed - 1, "the record")


def test_one_set_for_two_inputs_is_held_once() -> None:
    stored = in_memory(drawn(2))
    samples = Samples({"a": stored, "b": stored}, 2, None, "x")
    assert samples.held == drawn(2).nbytes
    assert Samples({"a": stored, "b": in_memory(drawn(2))}, 2, None, "x").held == 2 * samples.held


def wide() -> Program:
    """Many inputs, three neurons: the events are what takes memory."""
    weight = Const(TensorType((3, 1800), Int(8)), np.ones((3, 1800), int))
    nodes = (
        Node("x", Input(shape=(2, 30, 30))),
        Node("flat", Flatten(), (Edge("x"),)),
        Node("fc", Dense(weight=Ref("w")), (Edge("flat"),)),
        Node("n", loihi_neuron((3,), du=4095, dv=512, threshold=90), (Edge("fc"),)),
    )
    return check(Program("wide", nodes, ("n",), {"w": weight}))


# what is large: the record of many steps, the events, or what one step of a picture spreads out
LARGE = {
    "record": (net(side=12), 30, 12),
    "events": (wide(), 30, 30),
    "wires": (net(side=30), 1, 30),
}


@pytest.mark.parametrize("large", LARGE)
@pytest.mark.parametrize("record", ["spikes", "states"])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64])
@pytest.mark.parametrize("by", ["execute", "interpreter"])
@pytest.mark.slow
def test_the_estimate_is_above_what_is_taken_and_not_far(
    record: Record, kind: type, by: str, large: str
) -> None:
    """Of one sample more, that is: code, weights and what a thread works in come on top."""
    program, steps, side = LARGE[large]
    x = drawn(80, steps=steps, side=side)
    stored = Stored(x.shape, lambda b, e: x[b:e].astype(kind), np.dtype(kind).itemsize)
    samples = Samples({"x": stored}, 80, None, "x")
    run = runner(program, record, 1) if by == "execute" else None

    def ran(many: int) -> None:
        cut = samples.cut(0, many)
        trace = reference.run(program, cut, record) if run is None else run(cut)
        activity(program, cut, trace)

    ran(80)  # what stays for good is there now
    peaks = []
    for many in (40, 80):
        gc.collect()
        tracemalloc.start()
        ran(many)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one = (peaks[1] - peaks[0]) / 40
    assert one <= sample_bytes(program, samples, record, by == "interpreter") <= 5 * one


def test_a_record_is_as_large_as_its_arrays() -> None:
    program, x = net(), drawn(3)
    for record in ("outputs", "spikes", "states"):
        trace = reference.run(program, x, record)
        arrays = [
            a for layer in trace.layers.values() for a in (layer.spikes, *layer.states.values())
        ]
        assert sum(a.nbytes for a in arrays) == 3 * 12 * record_bytes(program, record)


BOUND = 48 * 2**20
PEAK = """
import resource, sys
from sast_compile.cli import main
try:
    main(["run", "net.sast", "--input", sys.argv[1], "--max-memory", sys.argv[2], "--json"])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.slow
def test_a_set_larger_than_the_bound_stays_within_it(tmp_path: Path) -> None:
    """The peak of a whole process: a file of four times the bound against one of one sample."""
    artifact = small_nets.artifact(tmp_path / "net.nir")
    save_artifact(artifact, tmp_path / "net.sast")
    steps, samples = 1000, 4 * BOUND // 48_000 + 1
    x = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.int64, (samples, steps, 6))
    some = np.random.default_rng(0).random((100, steps, 6)) < RATE
    for at in range(0, samples, 100):
        x[at : at + 100] = some[: samples - at]
    x.flush()
    np.save(tmp_path / "small.npy", some[:1].astype(np.int64))
    peaks, found = {}, {}
    for name in ("small", "large"):
        call = [sys.executable, "-c", PEAK, f"{name}.npy", str(BOUND)]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
        assert done.returncode == 0, done.stderr
        peaks[name], found[name] = int(done.stderr) * 1024, json.loads(done.stdout)
    assert (tmp_path / "large.npy").stat().st_size > 4 * BOUND
    assert peaks["large"] - peaks["small"] <= BOUND
    assert found["large"]["samples"] == samples
    one = reference.run(artifact.program, some)["lif1"].spikes.sum(axis=(1, 2))
    assert found["large"]["spikes"]["lif1"] == sum(int(one[at % 100]) for at in range(samples))
