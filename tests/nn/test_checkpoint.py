"""The .pt file: it comes back bit for bit, and whatever else lies there is refused in one line."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="a checkpoint is torch's: the torch extra")

import torch

from sast_compile.contract import Contract, Encoding
from sast_compile.errors import BadFile
from sast_compile.nn.checkpoint import read_checkpoint, write_checkpoint
from sast_compile.nn.network import Network, build

NEURON = {"kind": "lif", "alpha": 0.9, "threshold": 1.0, "reset": "zero"}
NEURON |= {"reset_when": "before_decay"}
SHAPE = (2, 3)


def network() -> Network:
    torch.manual_seed(3)
    layers = [
        {"name": "flatten", "kind": "flatten"},
        {"name": "fc1", "kind": "linear", "in_features": 6, "out_features": 4, "bias": True},
        {"name": "lif1", **NEURON},
    ]
    return build(layers, SHAPE)


def contract(axes: str = "YX") -> Contract:
    return network().contract(1e-3, Encoding(steps=4, axes=axes, values="counts", bin="1 ms"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pt"


def content(path: Path) -> dict[str, Any]:
    """What a good file holds, to be spoilt."""
    write_checkpoint(path, network(), contract(), {"seed": 3})
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def refusal(path: Path) -> str:
    with pytest.raises(BadFile) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_everything_comes_back(path: Path) -> None:
    write_checkpoint(path, network(), contract(), {"seed": 3, "test": {"hard": 0.96}})
    read = read_checkpoint(path)
    assert read.contract == contract()
    assert read.provenance == {"seed": 3, "test": {"hard": 0.96}}
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.network.description() == network().description()
    assert read.network.input_shape == SHAPE
    x = torch.rand(2, 5, *SHAPE)
    assert torch.equal(read.network(x), network()(x))
    assert all(weight.requires_grad for weight in read.network.parameters())


def test_float64_weights_keep_every_bit(path: Path) -> None:
    net = network().double()
    with torch.no_grad():
        next(net.parameters()).fill_(1 / 3)
    write_checkpoint(path, net, contract())
    assert (next(read_checkpoint(path).network.parameters()) == 1 / 3).all()


def test_the_same_model_has_the_same_bytes(path: Path) -> None:
    write_checkpoint(path, network(), contract(), {"a": 1})
    first = path.read_bytes()
    write_checkpoint(path.with_name("other.pt"), network(), contract(), {"a": 1})
    assert path.with_name("other.pt").read_bytes() == first


def test_an_interrupted_write_leaves_the_old_file_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, network(), contract())
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_an_unwritable_place_is_one_message(path: Path) -> None:
    with pytest.raises(BadFile, match=r"nowhere/model.pt: cannot be written: No such file"):
        write_checkpoint(path.parent / "nowhere" / "model.pt", network(), contract())


def test_a_file_in_the_place_of_the_folder_is_one_message(path: Path) -> None:
    path.write_bytes(b"a file")
    with pytest.raises(BadFile, match="cannot be written: Not a directory"):
        write_checkpoint(path / "model.pt", network(), contract())


def test_a_contract_of_another_network_is_not_written(path: Path) -> None:
    other = build([{"name": "lif9", **NEURON}], SHAPE).contract(1e-3, None)
    with pytest.raises(BadFile, match=r"the contract says neurons = .*lif9.* network has .*lif1"):
        write_checkpoint(path, network(), other)
    with pytest.raises(BadFile, match=r"axes 'PYX' do not fit the input shape \(2, 3\)"):
        write_checkpoint(path, network(), contract(axes="PYX"))
    assert not path.exists()


def test_provenance_is_plain_data(path: Path) -> None:
    with pytest.raises(BadFile, match="provenance is not plain data"):
        write_checkpoint(path, network(), contract(), {"net": network()})


def test_missing_empty_and_folder(path: Path) -> None:
    assert "there is no such file" in refusal(path)
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    assert "cannot be read: Is a directory" in refusal(path.parent)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not a torch checkpoint: a PNG picture"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file, perhaps NIR: give it a name that ends"),
        (b"\x80\x04\x95" + bytes(50), "a bare pickle, which can run code: refused"),
        (b"hello world", "it starts with the bytes 68 65 6c 6c"),
        (b"PK\x03\x04" + bytes(50), "is damaged"),
    ],
)
def test_foreign_bytes(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    assert message in refusal(path)


def test_every_truncation_is_refused(path: Path) -> None:
    content(path)
    whole = path.read_bytes()
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        refusal(path)


def test_a_flipped_byte_is_refused_or_harmless(path: Path) -> None:
    content(path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 41):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            read = read_checkpoint(path)
        except BadFile:
            continue
        true = network().state_dict()
        assert all(torch.equal(true[k], w) for k, w in read.network.state_dict().items())
        assert read.contract == contract()


def test_a_zip_that_is_no_checkpoint(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert "is damaged or needs code to load" in refusal(path)


def test_a_zip_bomb_is_not_unpacked(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    assert "would unpack to 10000000" in refusal(path)


def test_a_pickle_that_needs_code_is_refused_by_name(path: Path) -> None:
    torch.save(network(), path)
    message = refusal(path)
    assert "refused: its pickle wants to run sast_compile.nn.network.Network" in message
    assert "save network.state_dict()" in message


def test_code_in_a_pickle_does_not_run(path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return os.mkdir, (str(path.parent / "owned"),)

    torch.save({"format": Attack()}, path)
    assert "refused: its pickle wants to run" in refusal(path)
    assert not (path.parent / "owned").exists()


def test_a_script_module_is_refused(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/constants.pkl", b"\x80\x02).")
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    path.write_bytes(buffer.getvalue())
    refusal(path)


def test_a_bare_state_dict_is_told_apart(path: Path) -> None:
    torch.save(network().state_dict(), path)
    message = refusal(path)
    assert "is a bare state_dict of 2 tensors" in message
    assert "write_checkpoint(path, network, contract)" in message


@pytest.mark.parametrize("value", [[1, 2], 3, "text", None, torch.zeros(2), {}, {"a": 1}])
def test_something_else_entirely(path: Path, value: object) -> None:
    torch.save(value, path)
    assert "sast-model/1" in refusal(path)


def spoil(*keys: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(good: dict[str, Any]) -> None:
        for key in keys[:-1]:
            good = good[key]
        good[keys[-1]] = value

    return change


def forget(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(good: dict[str, Any]) -> None:
        for key in keys[:-1]:
            good = good[key]
        del good[keys[-1]]

    return change


def not_finite(good: dict[str, Any]) -> None:
    good["state_dict"]["fc1.weight"][0, :3] = torch.tensor([np.nan, np.inf, -np.inf])


def cyclic(good: dict[str, Any]) -> None:
    good["provenance"]["self"] = good["provenance"]


def huge(good: dict[str, Any]) -> None:
    good["network"][1]["out_features"] = 2**24
    good["network"][1]["bias"] = False
    good["state_dict"] = {"fc1.weight": torch.zeros(1).as_strided((2**24, 6), (0, 0))}


def colossal(good: dict[str, Any]) -> None:
    good["network"][1] |= {"in_features": 2**24, "out_features": 2**24}
    good["input_shape"] = [2**24]


def deep() -> list[object]:
    nested: list[object] = []
    for _ in range(400):
        nested = [nested]
    return nested


def long_product(good: dict[str, Any]) -> None:
    good["input_shape"] = [2**24] * 2000


WEIGHT, BIAS = ("state_dict", "fc1.weight"), ("state_dict", "fc1.bias")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil("format", value="sast-model/2"), "format 'sast-model/2' is not the 'sast-model/1'"),
        (spoil("format", value=1), "'format' is of type int"),
        (forget("format"), "'format' is of type NoneType"),
        (forget("network"), "the key 'network' is missing"),
        (spoil("more", value=1), "unknown key 'more'"),
        (spoil("network", value="x"), "'network' is of type str, not list"),
        (spoil("network", value=[]), "at least one layer"),
        (spoil("network", value=[1]), "layer 0: Expected `object`, got `int`"),
        (spoil("network", value=[{1: 2}]), "layer 0: "),
        (spoil("network", value=[{"name": "a\n\x1b[2J", "kind": "flatten"}]), "a  [2J: Expected"),
        (spoil("format", value=deep()), "'format' is of type list"),
        (spoil("input_shape", value={}), "'input_shape' is of type dict, not list"),
        (spoil("input_shape", value=[2, "3"]), "Expected `int`, got `str`"),
        (spoil("input_shape", value=[2, 4]), "fc1: takes 6 inputs but is given shape (8,)"),
        (long_product, "the input shape has 2000 axes"),
        (spoil("contract", value=3), "'contract' is of type int, not str"),
        (spoil("contract", value="{"), "the discretisation contract is malformed"),
        (spoil("contract", value='{"version":3}'), "contract version 3 is none of the 1 to 2"),
        (spoil("contract", value=contract().to_json().replace("0.9", "0.8")), "neurons = "),
        (spoil("contract", value=contract().to_json().replace(">=", ">")), "compare = >, "),
        (spoil("provenance", value=[]), "'provenance' is of type list, not dict"),
        (spoil("provenance", "x", value=torch.zeros(1)), "provenance is not plain data"),
        (cyclic, "provenance is not plain data"),
        (spoil("state_dict", value=[]), "'state_dict' is of type list, not dict"),
        (forget(*WEIGHT), "the state_dict lacks 'fc1.weight'"),
        (spoil("state_dict", "fc9.w", value=torch.zeros(1)), "the state_dict has 'fc9.w', the"),
        (spoil(*WEIGHT, value=[1.0]), "fc1.weight is a list, not a tensor"),
        (
            spoil(*WEIGHT, value=torch.zeros(4, 7)),
            "fc1.weight has shape (4, 7), the network needs (4, 6)",
        ),
        (
            spoil(*WEIGHT, value=torch.zeros(4, 6, dtype=torch.int8)),
            "fc1.weight is a torch.strided",
        ),
        (spoil(*WEIGHT, value=torch.zeros(4, 6).half()), "torch.float16 tensor on cpu; a dense"),
        (spoil(*WEIGHT, value=torch.zeros(4, 6).to_sparse()), "fc1.weight is a torch.sparse_coo"),
        (spoil(*WEIGHT, value=torch.zeros(4, 6, device="meta")), "meta"),
        (spoil(*BIAS, value=torch.zeros(4).double()), "mixes float32 and float64"),
        (not_finite, "fc1.weight has 3 NaN or Inf of 24 weights"),
        (huge, "claims more numbers than the file holds"),
        (colossal, "fc1.weight has shape (4, 6), the network needs (16777216, 16777216)"),
    ],
)
def test_a_spoilt_field_is_named(
    path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    spoilt = content(path)
    change(spoilt)
    torch.save(spoilt, path)
    assert message in refusal(path)


def test_a_transposed_view_is_read_as_what_it_shows(path: Path) -> None:
    spoilt = content(path)
    true = spoilt["state_dict"]["fc1.weight"].clone()
    spoilt["state_dict"]["fc1.weight"] = true.T.contiguous().T
    torch.save(spoilt, path)
    weight = next(read_checkpoint(path).network.parameters())
    assert torch.equal(weight, true)
    assert weight.is_contiguous()
