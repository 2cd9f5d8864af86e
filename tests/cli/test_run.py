"""``sast-compile run``: what the interpreter gives, and events that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import (
    Command,
    document,
    files,
)
from net_files import dense_layer, input_layer, write
from torch_devices import NO_GPU

from sast_compile.artifact import load_artifact
from sast_compile.backends import reference, torch_program
from sast_compile.frontend.netx_to_ir import read_net
from sast_compile.ir.program import Program
from sast_compile.ir.sparse import from_dense
from sast_compile.trace import Trace


@pytest.fixture
def events(here: Path) -> np.ndarray[Any, Any]:
    drawn = (np.random.default_rng(3).random((4, 12, 6)) < 0.3).astype(np.uint8)
    np.save("events.npy", drawn)
    return drawn


def test_run_on_the_models_own_data(sast: Command, here: Path) -> None:
    found = document(sast("run", "net.sast", "--samples", 3, "--json"))
    assert found["samples"] == len(found["decisions"]) == 3
    assert found["correct"] is None  # random events have no label
    assert "decisions: " in sast("run", "net.sast").out


@pytest.mark.parametrize("record", ["outputs", "spikes", "states"])
def test_run_writes_what_the_interpreter_gives(
    sast: Command, here: Path, events: np.ndarray[Any, Any], record: str
) -> None:
    ended = sast("run", "net.sast", "--input", "events.npy", "--record", record, "-o", "out.npz")
    assert (ended.code, ended.err) == (0, "")
    program = load_artifact("net.sast").program
    trace = reference.run(program, events, record)  # type: ignore[arg-type]
    expected = {f"{n}.spikes": layer.spikes for n, layer in trace.layers.items()}
    for name, layer in trace.layers.items():
        expected |= {f"{name}.{state}": data for state, data in layer.states.items()}
    with np.load("out.npz", allow_pickle=False) as written:
        assert set(written.files) == set(expected)
        assert all(np.array_equal(written[key], expected[key]) for key in expected)
    count = {"outputs": 1, "spikes": 2, "states": 6}
    assert len(expected) == count[record]


def test_checked_code_gives_the_same(
    sast: Command, here: Path, events: np.ndarray[Any, Any]
) -> None:
    arguments = ("run", "net.sast", "--input", "events.npy", "--json")
    assert document(sast(*arguments, "--checked")) == document(sast(*arguments))
    refused = sast(*arguments[:-1], "--checked", "--device", "cuda")
    assert refused.code == 1
    assert "only the emulator has checked code: the device is cuda" in refused.message


def test_run_on_a_gpu(sast: Command, here: Path, events: np.ndarray[Any, Any]) -> None:
    arguments = ("run", "net.sast", "--input", "events.npy", "--record", "states")
    ended = sast(*arguments, "--device", "cuda", "-o", "gpu.npz")
    if NO_GPU is not None:
        assert ended.code == 1
        assert "no device cuda: torch" in ended.message or "needs torch" in ended.message
        return
    assert "computed by torch on cuda" in ended.out
    sast(*arguments, "-o", "cpu.npz")
    with np.load("gpu.npz") as found, np.load("cpu.npz") as wanted:
        assert all(np.array_equal(found[key], wanted[key]) for key in wanted.files)


def test_run_says_what_computed_it(
    sast: Command, here: Path, events: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever machine runs the tests: the cpu in a GPU's place."""
    pytest.importorskip("torch", reason="a device is torch's")
    run, called = torch_program.run, list[str]()

    def on_cpu(program: Program, events: Any, record: Any, device: str) -> Trace:
        called.append(device)
        return run(program, events, record, "cpu")

    monkeypatch.setattr(torch_program, "run", on_cpu)
    arguments = ("run", "net.sast", "--input", "events.npy", "--json")
    found, wanted = document(sast(*arguments, "--device", "cuda:1")), document(sast(*arguments))
    assert called == ["cuda:1"]
    assert found.pop("computed_by") == "torch on cuda:1"
    assert wanted.pop("computed_by") != "torch on cuda:1"
    assert found == wanted


def test_run_refuses_a_device_of_another_name(sast: Command, here: Path) -> None:
    ended = sast("run", "net.sast", "--device", "gpu")
    assert ended.code == 1
    assert ended.message == "unknown device 'gpu'; hint: cpu, cuda, or cuda:N for one of several"


def test_run_takes_whole_numbers_of_any_type(
    sast: Command, here: Path, events: np.ndarray[Any, Any]
) -> None:
    wanted = document(sast("run", "net.sast", "--input", "events.npy", "--json"))["spikes"]
    for kind in (bool, np.int64, np.float32, ">i2"):
        np.save("events.npy", events.astype(kind))
        found = document(sast("run", "net.sast", "--input", "events.npy", "--json"))
        assert found["spikes"] == wanted


BAD_EVENTS = {
    "of another shape": (np.zeros((4, 12, 7), np.uint8), "(samples, steps, 6) is expected"),
    "without steps": (np.zeros((4, 0, 6), np.uint8), "(samples, steps, 6) is expected"),
    "without samples": (np.zeros((0, 12, 6), np.uint8), "events of shape (0, 12, 6)"),
    "one number": (np.uint8(1), "(samples, steps, 6) is expected"),
    "one axis": (np.zeros(6, np.uint8), "(samples, steps, 6) is expected"),
    "too large": (np.full((1, 2, 6), 2, np.uint8), "events 2..2 are not integers of u1"),
    "negative": (np.full((1, 2, 6), -1), "events -1..-1 are not integers of u1"),
    "fractions": (np.full((1, 2, 6), 0.5), "are not integers of u1"),
    "NaN": (np.full((1, 2, 6), np.nan), "are not integers of u1"),
    "complex": (np.zeros((1, 2, 6), complex), "complex128"),
    "text": (np.full((1, 2, 6), "1"), "<U1"),
    "objects": (np.full((1, 2, 6), None), "is no .npy of numbers"),
}


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_run_refuses_events_that_do_not_fit(sast: Command, here: Path, case: str) -> None:
    data, words = BAD_EVENTS[case]
    np.save("bad.npy", data, allow_pickle=True)
    before = files(here)
    ended = sast("run", "net.sast", "--input", "bad.npy", "-o", "out.npz")
    assert ended.code == 1
    assert words in ended.message
    assert files(here) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "bad.npy: is empty"),
        (b"PK\x03\x04 no zip", "is no .npy of numbers"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "is no .npy of numbers"),
        (b"\x80\x04.", "is no .npy of numbers"),
        (b"1 2 3", "is no .npy of numbers"),
    ],
)
def test_run_refuses_files_that_are_no_array(
    sast: Command, here: Path, content: bytes, words: str
) -> None:
    (here / "bad.npy").write_bytes(content)
    assert words in sast("run", "net.sast", "--input", "bad.npy").message


def test_run_takes_an_npz_of_one_array_or_the_one_that_is_named(
    sast: Command, here: Path, events: np.ndarray[Any, Any]
) -> None:
    wanted = document(sast("run", "net.sast", "--input", "events.npy", "--json"))["decisions"]
    np.savez("one.npz", events)
    np.savez("two.npz", a=events, b=events[:2])
    found = document(sast("run", "net.sast", "--input", "one.npz", "--json"))
    assert found["decisions"] == wanted
    two = ["run", "net.sast", "--input", "two.npz"]
    assert document(sast(*two, "--key", "b", "--json"))["decisions"] == wanted[:2]
    assert sast(*two).message == "two.npz: holds 2 arrays; hint: --key, one of a, b"
    assert "holds no array 'c'; hint: there is a, b" in sast(*two, "--key", "c").message


def test_run_refuses_options_that_do_not_fit(sast: Command, here: Path) -> None:
    run = ["run", "net.sast"]
    assert "outputs, spikes, states or all" in sast(*run, "--record", "every").message
    assert "both name events" in sast(*run, "--data", "digits", "--input", "x.npy").message
    assert "--key needs --input" in sast(*run, "--key", "a").message
    assert "did you mean 'digits'?" in sast(*run, "--data", "digit").message


# which level, and what it cost


def test_run_says_which_level_it_ran(sast: Command, here: Path) -> None:
    write(here / "net.net", [dense_layer(np.full((2, 6), 90))])
    levels = {
        "net.sast": "L3: the integers of loihi2",
        "net.nir": "L1: float hard spikes",
        "net.net": "the integers of the .net",
    }
    for name, level in levels.items():
        assert document(sast("run", name, "--json"))["level"] == level
        assert level in sast("run", name).out


def test_run_counts_the_synaptic_operations(
    sast: Command, here: Path, events: np.ndarray[Any, Any]
) -> None:
    found = document(sast("run", "net.sast", "--input", "events.npy", "--json"))
    first, second = found["synops"]
    assert (first["projection"], first["hidden"]) == ("fc1", 0)
    weight = load_artifact("net.sast").program.consts["fc1.weight"].data
    assert first["input"] == int(events.sum(axis=(0, 1)) @ (weight != 0).sum(axis=0))
    assert second["input"] == 0
    assert 0 < second["hidden"] <= found["spikes"]["lif1"] * 3
    assert "by hidden spikes" in sast("run", "net.sast").out


def test_all_is_every_spike_and_state_of_a_net(sast: Command, here: Path) -> None:
    layers = [dense_layer(np.full((2, 3), 90)), dense_layer(np.full((1, 2), 90))]
    program = read_net(write(here / "a.net", layers), "a")
    drawn = np.random.default_rng(0).integers(0, 2, (2, 9, 3))
    np.save("events.npy", drawn)
    run = ["run", "a.net", "--input", "events.npy", "--record", "all", "-o", "all.npz"]
    assert sast(*run).code == 0
    trace = reference.run(program, drawn, "states")
    with np.load("all.npz") as written:
        assert len(written.files) == 6
        for name, layer in trace.layers.items():
            assert layer.spikes.any()
            assert np.array_equal(written[f"{name}.spikes"], layer.spikes)
            assert np.array_equal(written[f"{name}.u"], layer.states["u"])
            assert np.array_equal(written[f"{name}.v"], layer.states["v"])


def test_a_net_compiles_verifies_and_is_emitted(sast: Command, here: Path) -> None:
    layers = [input_layer(6), dense_layer(np.full((2, 6), 90), neuron_vDecay=100)]
    write(here / "a.net", layers)
    made = document(sast("a.net", "--emit", "netx", "-o", "b.net", "--json"))
    assert (made["artifact"], made["emitted"]) == ("b.sast", "b.net")
    assert read_net(here / "b.net", "a") == read_net(here / "a.net", "a")
    ended = sast("verify", "b.sast", "--backend", "torch")
    assert ended.code == 3
    assert "not measured: no float model: a .net holds integers" in ended.out
    assert "a .net has no torch module" in ended.err
    assert "layer1.current = dense" in sast("inspect", "a.net").out


def test_an_emission_that_does_not_fit_is_refused(sast: Command, here: Path) -> None:
    write(here / "a.net", [dense_layer(np.full((2, 6), 90))])
    netx = ["a.net", "--emit", "netx"]
    cases = {
        "would replace the model": [*netx, "-o", "a.net"],
        "add --emit netx": ["a.net", "-o", "c.net"],
        "did you mean `netx`?": ["a.net", "--emit", "net"],
        "leave out --stop-after": [*netx, "--stop-after", "fold_scales"],
    }
    before = files(here)
    for words, arguments in cases.items():
        assert words in sast(*arguments).message
    assert "do not fit a .net" in sast("net.nir", "--bits", 3, "--emit", "netx").message
    assert files(here) == before


def test_a_graph_is_emitted_beside_its_artifact(sast: Command, here: Path) -> None:
    netx = ["net.nir", "--target", "loihi2-netx", "--emit", "netx"]
    assert document(sast(*netx, "--json"))["emitted"] == "net.loihi2-netx.8b.net"
    assert "wrote x.sast and x.net" in sast(*netx, "-o", "x.sast").out
    np.save("e.npy", np.random.default_rng(1).integers(0, 2, (4, 20, 6)))
    one, other = (
        document(sast("run", name, "--input", "e.npy", "--json")) for name in ("x.sast", "x.net")
    )
    assert list(one["spikes"].values()) == list(other["spikes"].values())
    assert one["decisions"] == other["decisions"]


# more samples than memory


def test_chunks_of_any_size_print_the_same(
    sast: Command, here: Path, events: np.ndarray[Any, Any]
) -> None:
    run = ["run", "net.sast", "--input", "events.npy"]
    for extra in ([], ["--json"]):
        whole = sast(*run, *extra)
        assert whole.code == 0
        for most in (600, 1200):  # a chunk of one sample, and of two
            assert sast(*run, *extra, "--max-memory", most).out == whole.out
    words = sast(*run, "--max-memory", 100).message
    assert words.startswith("--max-memory: one sample takes ")
    assert "; 100 bytes are allowed; hint: at least " in words
    assert "'lots' is no size of memory" in sast(*run, "--max-memory", "lots").message


def test_a_record_that_does_not_fit_is_refused(
    sast: Command, here: Path, events: np.ndarray[Any, Any]
) -> None:
    run = ["run", "net.sast", "--input", "events.npy", "-o", "out.npz", "--max-memory", 1200]
    words = sast(*run).message
    assert "the record of 4 samples takes " in words
    assert "; hint: --samples 2, --record outputs, or --max-memory " in words
    assert not (here / "out.npz").exists()
    assert sast(*run, "--samples", 2).code == 0
    assert sast(*run[:-1], words.split()[-1]).code == 0


def test_sparse_events_give_the_same(
    sast: Command, here: Path, events: np.ndarray[Any, Any]
) -> None:
    sparse = from_dense(events)
    np.savez("sparse.npz", first=sparse.first, index=sparse.index, shape=events.shape)
    dense = document(sast("run", "net.sast", "--input", "events.npy", "--json"))
    found = document(sast("run", "net.sast", "--input", "sparse.npz", "--json"))
    assert {**found, "origin": ""} == {**dense, "origin": ""}
    np.savez("sparse.npz", first=sparse.first, index=sparse.index, shape=(4, 12, 2, 3))
    words = sast("run", "net.sast", "--input", "sparse.npz").message
    assert "holds an array of shape (4, 12, 2, 3)" in words


# the order of the axes


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0)])
def test_another_order_of_the_axes_is_named(
    sast: Command, here: Path, order: tuple[int, ...]
) -> None:
    np.save("bad.npy", np.zeros((4, 20, 6), np.uint8).transpose(order))
    message = sast("run", "net.sast", "--input", "bad.npy").message
    assert message.endswith(f"the axes are in another order: .transpose{order}")


def test_one_sample_without_its_axis_is_named(sast: Command, here: Path) -> None:
    np.save("bad.npy", np.zeros((20, 6), np.uint8))
    message = sast("run", "net.sast", "--input", "bad.npy").message
    assert message.endswith("one sample is array[None]")


def test_steps_that_look_like_samples_are_warned_of(sast: Command, here: Path) -> None:
    np.save("doubtful.npy", np.zeros((20, 4, 6), np.uint8))
    ended = sast("run", "net.sast", "--input", "doubtful.npy")
    assert ended.code == 0
    assert "4 steps a sample, where the model's contract states 20" in ended.err
    assert "was .transpose(1, 0, 2) meant?" in ended.err
