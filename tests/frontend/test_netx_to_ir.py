"""lava-dl networks: what is read, and every refusal with its layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from net_files import NEURON, Layer, conv_layer, dense_layer, input_layer, text, write

from sast_compile.backends import reference
from sast_compile.contract import Contract
from sast_compile.errors import BadFile, CompileError
from sast_compile.frontend.netx_to_ir import parse_net, read_net
from sast_compile.frontend.source import read_source
from sast_compile.ir.neuron import MulShift, Ref
from sast_compile.ir.ops import Conv2d, Dense
from sast_compile.passes import Options
from sast_compile.passes.balance_latency import balance_latency
from sast_compile.target import load_target

WEIGHT = np.array([[2, -4, 6], [8, 0, -10]])
KERNEL = np.arange(8).reshape(2, 1, 2, 2) - 3


def refusal(tmp_path: Path, *layers: Layer) -> str:
    with pytest.raises(CompileError) as caught:
        read_net(write(tmp_path / "x.net", layers), "x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# what is read


def test_the_integers_are_taken_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "x.net", [dense_layer(WEIGHT, neuron_iDecay=4001, bias=[7.0, 0.0])])
    program = read_net(path, "x")
    op, neuron = program.by_name["layer0.current"].op, program.neurons["layer0"]
    assert isinstance(op, Dense)
    assert (program.consts["layer0.weight"].data << op.exponent).tolist() == WEIGHT.tolist()
    assert neuron.synapses[0].decay == MulShift(decay=4000, offset=1)
    assert neuron.voltage.decay == MulShift(decay=1024)
    assert neuron.voltage.bias == Ref("layer0.bias")
    assert neuron.voltage.bias_exponent == 6
    assert program.consts["layer0.bias"].data.tolist() == [7, 0]
    assert neuron.fire is not None
    assert (neuron.fire.threshold, neuron.fire.unit) == (3, 64)
    assert program.types["input"].shape == (3,)


def test_a_first_step_by_hand(tmp_path: Path) -> None:
    program = read_net(write(tmp_path / "x.net", [dense_layer(WEIGHT, bias=[1.0, 0.0])]), "x")
    trace = reference.run(program, [[[1, 0, 1], [0, 0, 0]]], "states")
    assert trace["layer0"].states["u"][0].tolist() == [[8 * 64, -2 * 64], [0, 0]]
    assert trace["layer0"].spikes[0].tolist() == [[1, 0], [0, 0]]
    assert trace["layer0"].states["v"][0].tolist() == [[0, -128], [64, -96]]


def test_a_convolution_flattens_channels_rows_columns(tmp_path: Path) -> None:
    layers = [
        input_layer(1, 3, 4),
        conv_layer(KERNEL, stride=[1, 2], padding=[0, 1], bias=[5.0, -5.0]),
        {"type": text("flatten"), "shape": np.array([12])},
        dense_layer(np.ones((2, 12))),
    ]
    program = read_net(write(tmp_path / "x.net", layers), "x")
    op = program.by_name["layer1.current"].op
    assert isinstance(op, Conv2d)
    assert (op.stride, op.padding) == ((1, 2), ((0, 0), (1, 1)))
    assert program.types["layer1"].shape == (2, 2, 3)
    assert program.consts["layer1.bias"].data[0].tolist() == [[5] * 3] * 2
    without = read_net(write(tmp_path / "y.net", [*layers[:2], layers[3]]), "x")
    events = np.random.default_rng(0).integers(0, 2, (2, 8, 1, 3, 4))
    assert np.array_equal(
        reference.run(program, events)["layer3"].spikes,
        reference.run(without, events)["layer2"].spikes,
    )


def test_positive_weights_may_fill_eight_bits(tmp_path: Path) -> None:
    program = read_net(write(tmp_path / "x.net", [dense_layer([[255, 0], [1, 3]])]), "x")
    assert str(program.consts["layer0.weight"].type.element) == "u8"


@pytest.mark.parametrize(("step", "dt"), [(1, 1e-3), (5, 5e-3), (None, 1e-3)])
def test_the_contract_is_loihis(tmp_path: Path, step: int | None, dt: float) -> None:
    path = write(tmp_path / "x.net", [dense_layer(WEIGHT)], step)
    wanted = Contract(dt=dt, leak="euler", reset="zero", reset_when="after_fire", compare=">")
    assert parse_net(path.read_bytes(), "x.net").contract == wanted
    source = read_source(path)
    assert (source.graph, source.network, source.has_floats) == (None, None, False)
    with pytest.raises(BadFile, match=r"--contract is for \.nir"):
        read_source(path, wanted)


# what is refused

FIELDS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an unknown neuron": ({"neuron_type": "ALIF"}, ["'ALIF' neuron", "LOIHI, CUBA"]),
    "no neuron": ({"neuron_type": None}, ["has no text neuron/type"]),
    "wgtExp": ({"neuron_wgtExp": 6}, ["neuron/wgtExp other than 0"]),
    "refDelay": ({"neuron_refDelay": 2}, ["neuron/refDelay other than 1"]),
    "gradedSpike": ({"neuron_gradedSpike": True}, ["neuron/gradedSpike other than 0"]),
    "float weights": ({"weight": WEIGHT / 4}, ["weight is not all integers", "pre_hook_fx"]),
    "NaN": ({"weight": WEIGHT * np.nan}, ["weight is not all integers"]),
    "weights beyond integers": ({"weight": WEIGHT * 1e30}, ["weight is not all integers"]),
    "words for weights": ({"weight": np.full((2, 3), b"x")}, ["weight is no array of numbers"]),
    "no weights": ({"weight": None}, ["has no"]),
    "empty weights": ({"weight": np.zeros((0, 3))}, ["weight is empty"]),
    "one axis": ({"weight": np.ones(3)}, ["(3,) is no matrix"]),
    "other inputs": ({"weight": np.ones((2, 4))}, ["does not fit an input"]),
    "delays of another number": ({"delay": np.arange(4.0)}, ["4 delays for weights (2, 3)"]),
    "negative delays": ({"delay": np.array([0.0, -3.0, 0.0])}, ["a delay of -3 steps"]),
    "decays per neuron": ({"neuron_vDecay": np.array([1, 2])}, ["vDecay differs between"]),
    "currents per neuron": ({"neuron_iDecay": np.array([1, 2])}, ["iDecay differs between"]),
    "no threshold": ({"neuron_vThMant": None}, ["has no neuron/vThMant"]),
    "biases of another size": ({"bias": np.ones(5)}, ["5 biases for neurons of shape (2,)"]),
    "float biases": ({"bias": [0.5, 1]}, ["bias is not all integers"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FIELDS)
def test_a_dense_layer_that_is_refused(tmp_path: Path, case: str) -> None:
    changes, words = FIELDS[case]
    message = refusal(tmp_path, input_layer(3), dense_layer(WEIGHT, **changes))
    assert message.startswith("layer1")
    assert all(word in message for word in words), message


CONVS: dict[str, tuple[dict[str, Any], str]] = {
    "four axes": ({"weight": KERNEL}, "is no 2-D kernel"),
    "a kernel in time": ({"weight": np.ones((2, 1, 2, 2, 3))}, "is no 2-D kernel"),
    "groups": ({"groups": 3}, "groups"),
    "no groups at all": ({"groups": 0}, "groups (0,) is below 1"),
    "no stride": ({"stride": None}, "has no stride"),
    "a stride of 0": ({"stride": [0, 1]}, "stride (0, 1) is below 1"),
    "negative padding": ({"padding": [-1, 0]}, "padding (-1, 0) is below 0"),
    "a large kernel": ({"dilation": [9, 9]}, "larger than the padded input"),
    "delays": ({"delay": np.ones(1)}, "a delay on a convolution"),
}


@pytest.mark.parametrize("case", CONVS)
def test_a_convolution_that_is_refused(tmp_path: Path, case: str) -> None:
    changes, words = CONVS[case]
    message = refusal(tmp_path, input_layer(1, 3, 4), conv_layer(KERNEL, **changes))
    assert message.startswith("layer1: ")
    assert words in message


@pytest.mark.parametrize("kind", ["average", "pool", "convT", "concat", "dense_rec"])
def test_other_layers_are_named(tmp_path: Path, kind: str) -> None:
    message = refusal(tmp_path, input_layer(3), {"type": text(kind)}, dense_layer(WEIGHT))
    assert message.startswith(f"layer1: a lava-dl layer of type '{kind}'")
    assert "input, conv, dense, flatten" in message


def test_what_the_host_does_is_left_out_and_said(tmp_path: Path) -> None:
    coded = input_layer(3) | NEURON
    average = {"type": text("average"), "shape": np.array([1])}
    path = write(tmp_path / "x.net", [coded, dense_layer(WEIGHT), average])
    source = read_source(path)
    assert source.program.outputs == ("layer1",)
    first, last = source.left_out
    assert first.startswith("layer0: its neurons turn values into spikes before the chip")
    assert last.startswith("layer2: the host averages groups of outputs")
    plain = read_source(write(tmp_path / "y.net", [input_layer(3), dense_layer(WEIGHT)]))
    assert plain.left_out == ()
    assert plain.program.nodes == source.program.nodes


def test_networks_without_what_they_need(tmp_path: Path) -> None:
    assert "has no layers" in refusal(tmp_path)
    assert "has no layer with neurons" in refusal(tmp_path, input_layer(3))
    assert "has no text type" in refusal(tmp_path, {"shape": np.array([3])})
    conv = conv_layer(KERNEL)
    assert "has no input layer" in refusal(tmp_path, conv)
    assert "behind others" in refusal(tmp_path, input_layer(3), input_layer(3))


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    path = tmp_path / "x.net"
    with pytest.raises(BadFile, match=r"x\.net: there is no such file"):
        read_source(path)
    for content in (b"net", b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(BadFile, match="is no HDF5 file"):
            read_source(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("layer", data=3)
    with pytest.raises(BadFile, match="has no layers"):
        read_source(path)
    with h5py.File(path, "w") as file:
        file.create_group("layer/first")
    with pytest.raises(BadFile, match="cannot be read as a lava-dl network"):
        read_source(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "x.net", [dense_layer(WEIGHT)])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadFile, match=r"cannot be read as a lava-dl network|is no HDF5"):
        read_net(path, "x")


def delayed_spikes(weight: np.ndarray, delays: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Loihi's neuron of `net_files.NEURON` with a delay per synapse, in plain loops over steps."""
    steps, outputs = len(events), len(weight)
    v, spikes = [0] * outputs, np.zeros((steps, outputs), int)
    for t in range(steps):
        for i in range(outputs):
            current = sum(
                int(weight[i, j]) * int(events[t - delays[i, j], j])
                for j in range(weight.shape[1])
                if t >= delays[i, j]
            )
            kept = abs(v[i]) * (4096 - 1024) >> 12
            v[i] = (kept if v[i] >= 0 else -kept) + 64 * current
            if v[i] > 3 * 64:
                v[i], spikes[t, i] = 0, 1
    return spikes


@pytest.mark.parametrize(
    ("delay", "spread"),
    [
        (np.array([2.0]), np.full((2, 3), 2)),
        (np.array([0.0, 3.0]), np.array([[0, 0, 0], [3, 3, 3]])),
        (np.array([0.0, 4.0, 1.0]), np.array([[0, 4, 1], [0, 4, 1]])),
    ],
)
def test_delays_of_all_of_outputs_and_of_inputs(
    tmp_path: Path, delay: np.ndarray, spread: np.ndarray
) -> None:
    path = write(tmp_path / "delayed.net", [input_layer(3), dense_layer(WEIGHT, delay=delay)])
    program = read_net(path, "delayed")
    events = (np.random.default_rng(0).random((40, 3)) < 0.5).astype(int)
    wanted = delayed_spikes(WEIGHT, spread, events)
    assert wanted.any(axis=0).all()
    timed = balance_latency(program, load_target("loihi2"), Options()).program
    for version in (program, timed):
        assert np.array_equal(reference.run(version, events[None])["layer1"].spikes[0], wanted)
