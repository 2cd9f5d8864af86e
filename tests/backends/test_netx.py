"""What is written as a lava-dl network reads back as itself, and what does not fit is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loihi_programs import LoihiLayer, chain, loihi_neuron
from net_files import Layer, conv_layer, dense_layer, input_layer, text, write

from sast_compile.backends import reference
from sast_compile.backends.netx import net_bytes, write_net
from sast_compile.catalog import shipped
from sast_compile.compile import compile_model
from sast_compile.errors import CompileError
from sast_compile.frontend.netx_to_ir import read_net
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Dense, Input
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Const, Int, TensorType

SLOW_OK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def registers(draw: Any, outputs: int) -> dict[str, Any]:
    """A population's keys, with a bias or without."""
    found: dict[str, Any] = {
        "neuron_iDecay": draw(st.integers(1, 4096)),
        "neuron_vDecay": draw(st.integers(0, 4095)),
        "neuron_vThMant": draw(st.integers(1, 131071)),
        "neuron_type": draw(st.sampled_from(["LOIHI", "CUBA"])),
    }
    if draw(st.booleans()):
        found["bias"] = np.array(draw(st.lists(st.integers(-4096, 4095), min_size=outputs,
                                               max_size=outputs)), np.float32)  # fmt: skip
    return found


def integers(draw: Any, *shape: int) -> np.ndarray[Any, Any]:
    """Weights on one of the grids of a .net: 8 bits signed, 9 even, 8 unsigned."""
    low, high, step = draw(st.sampled_from([(-128, 127, 1), (-128, 127, 2), (0, 255, 1)]))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True) * step


@st.composite
def networks(draw: Any) -> list[Layer]:
    """Up to two convolutions and up to two dense layers, perhaps with a flatten between them."""
    sizes = st.integers(1, 3)
    shape = (draw(sizes), draw(st.integers(3, 6)), draw(st.integers(3, 6)))
    layers = [input_layer(*shape)]
    for _ in range(draw(st.integers(0, 2))):
        groups = draw(st.sampled_from([1, shape[0]]))
        outputs = groups * draw(st.integers(1, 2))
        kernel = integers(draw, outputs, shape[0] // groups, draw(sizes), draw(sizes))
        padding, stride = [draw(st.integers(1, 2))] * 2, [draw(st.integers(1, 2))] * 2
        conv = conv_layer(kernel, groups=groups, padding=padding, stride=stride,
                          **registers(draw, outputs))  # fmt: skip
        layers.append(conv)
        spans = zip(shape[1:], kernel.shape[2:], padding, stride, strict=True)
        rows, columns = ((n + 2 * p - k) // s + 1 for n, k, p, s in spans)
        shape = (outputs, rows, columns)
    size = int(np.prod(shape))
    if draw(st.booleans()) or len(layers) == 1:
        layers.append({"type": text("flatten"), "shape": np.array([size])})
        for _ in range(draw(st.integers(1, 2))):
            outputs = draw(st.integers(1, 5))
            dense = dense_layer(integers(draw, outputs, size), **registers(draw, outputs))
            layers.append(dense)
            size = outputs
    return layers


@SLOW_OK
@given(networks())
def test_export_then_import_is_the_identity(tmp_path: Path, layers: list[Layer]) -> None:
    program = read_net(write(tmp_path / "a.net", layers), "net")
    write_net(program, tmp_path / "b.net")
    again = read_net(tmp_path / "b.net", "net")
    assert again == program
    assert net_bytes(again) == net_bytes(program) == (tmp_path / "b.net").read_bytes()


@SLOW_OK
@given(st.data())
def test_a_program_of_the_chip_keeps_its_spikes_and_states(tmp_path: Path, data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    sizes = rng.integers(2, 7, 3)
    layers = [
        LoihiLayer(
            rng.integers(-128, 128, (b, a)), du=int(rng.integers(0, 4096)), exponent=1,
            dv=int(rng.choice([0, 400])), vth=int(rng.integers(1, 300)),
            bias=rng.integers(-50, 50, b), bias_exponent=6,
        )
        for a, b in itertools.pairwise(sizes)
    ]  # fmt: skip
    program = chain("net", layers)
    write_net(program, tmp_path / "x.net")
    events = rng.integers(0, 2, (3, 10, sizes[0]))
    ours = reference.run(program, events, "states")
    theirs = reference.run(read_net(tmp_path / "x.net", "net"), events, "states")
    for (name, a), b in zip(ours.layers.items(), theirs.layers.values(), strict=True):
        assert np.array_equal(a.spikes, b.spikes), name
        assert all(np.array_equal(a.states[s], b.states[s]) for s in ("u", "v")), name


@pytest.mark.parametrize("bits", [4, 8])
def test_the_compiled_digits_come_back_with_the_same_spikes(tmp_path: Path, bits: int) -> None:
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    pytest.importorskip("sklearn", reason="the digits need the data extra")
    model = shipped("models") / "digits" / "model.pt"
    artifact = compile_model(model, target="loihi2-netx", bits=bits).artifact
    assert artifact is not None
    write_net(artifact.program, tmp_path / "digits.net")
    again = compile_model(tmp_path / "digits.net", target="loihi2-netx").artifact
    assert again is not None
    events = np.asarray(artifact.golden.events)
    ours, theirs = (reference.run(a.program, events, "states") for a in (artifact, again))
    for a, b in zip(ours.layers.values(), theirs.layers.values(), strict=True):
        assert a.spikes.sum() > 50
        assert np.array_equal(a.spikes, b.spikes)
        assert all(np.array_equal(a.states[s], b.states[s]) for s in ("u", "v"))


def test_the_file_is_laid_out_as_lava_dl_does(tmp_path: Path) -> None:
    kernel = np.ones((2, 1, 3, 3))
    layers = [input_layer(1, 4, 4), conv_layer(kernel), dense_layer(np.ones((2, 8)), bias=[3, 4])]
    write_net(read_net(write(tmp_path / "a.net", layers), "net"), tmp_path / "b.net")
    with h5py.File(tmp_path / "b.net") as file:
        found = [file[f"layer/{i}/type"][0] for i in range(4)]
        assert found == [b"input", b"conv", b"flatten", b"dense"]
        assert file["layer/1/weight"].shape == (2, 1, 3, 3, 1)
        assert file["layer/3/bias"][:].tolist() == [3, 4]
        neuron = {key: item[()] for key, item in file["layer/1/neuron"].items()}
    assert {k: int(neuron[k]) for k in ("iDecay", "vDecay", "vThMant", "refDelay")} == {
        "iDecay": 4096, "vDecay": 1024, "vThMant": 3, "refDelay": 1,
    }  # fmt: skip


REFUSED = {
    "9 bits": (LoihiLayer(np.array([[200, -100]]), bits=9, exponent=1), "weights -200..400"),
    "odd ones of 9 bits": (LoihiLayer(np.array([[129, -1]]), bits=9, exponent=0), "with odd ones"),
    "an exponent": (LoihiLayer(np.array([[100, -1]]), exponent=3), "weights -8..800"),
    "a negative exponent": (LoihiLayer(np.array([[2, -2]]), exponent=-1), "with exponent -1"),
    "a bias": (LoihiLayer(np.eye(2), bias=65, bias_exponent=0), "bias of 65 is no multiple of 64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_numbers_that_do_not_fit_are_refused(case: str) -> None:
    layer, words = REFUSED[case]
    with pytest.raises(CompileError, match="--target loihi2-netx") as caught:
        net_bytes(chain("net", [layer]))
    assert words in str(caught.value)
    assert str(caught.value).startswith(("a1: ", "s1: "))


def test_what_a_net_cannot_say_is_refused() -> None:
    weight = np.eye(2, dtype=int)
    layer = LoihiLayer(weight)
    graded = chain("net", [layer], input_bits=4)
    with pytest.raises(CompileError, match=r"x: a \.net reads spikes, not graded"):
        net_bytes(graded)
    with pytest.raises(CompileError, match="one chain of layers"):
        net_bytes(chain("net", [LoihiLayer(weight, recurrent=weight)]))
    with pytest.raises(CompileError, match=r"s1: a \.net has no delays"):
        net_bytes(_wired(2, 1))
    with pytest.raises(CompileError, match="s1: is no CUBA neuron of Loihi"):
        net_bytes(_wired(1, 1, reset_when="before_decay"))
    assert net_bytes(_wired(1, 1))


def _wired(delay: int, start: int, reset_when: str = "after_fire") -> Program:
    """x -> a1 -> s1, with a delay that ``start`` does or does not make up for."""
    from msgspec.structs import replace

    neuron = loihi_neuron(2, start=start)
    assert neuron.reset is not None
    neuron = replace(neuron, reset=replace(neuron.reset, when=reset_when))  # type: ignore[arg-type]
    nodes = (
        Node("x", Input(shape=(2,))),
        Node("a1", Dense(weight=Ref("w")), (Edge("x", delay),)),
        Node("s1", neuron, (Edge("a1"),)),
    )
    weight = Const(TensorType((2, 2), Int(2)), np.eye(2, dtype=int))
    return check(Program("net", nodes, ("s1",), {"w": weight}))


def test_two_projections_into_one_population_are_refused() -> None:
    weight = Const(TensorType((2, 2), Int(2)), np.eye(2, dtype=int))
    nodes = (
        Node("x", Input(shape=(2,))),
        Node("a", Dense(weight=Ref("w")), (Edge("x"),)),
        Node("b", Dense(weight=Ref("w")), (Edge("x"),)),
        Node("c", Add(), (Edge("a"), Edge("b"))),
        Node("s", loihi_neuron(2, start=0), (Edge("c"),)),
    )
    with pytest.raises(CompileError, match="one chain of layers"):
        net_bytes(check(Program("net", nodes, ("s",), {"w": weight})))
