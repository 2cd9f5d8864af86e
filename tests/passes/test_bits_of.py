"""Bits by layer: they reach the weights of that layer, and no other."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import small_nets
from float_programs import FloatLayer, float_chain

from sast_compile.artifact import Provenance, load_artifact, save_artifact
from sast_compile.compile import compile_model, lower
from sast_compile.errors import CompileError, TargetLimit
from sast_compile.ir.types import Int
from sast_compile.passes import Options
from sast_compile.target import load_target
from sast_compile.verification import verify

LOIHI2 = load_target("loihi2")
CHAIN = float_chain(
    FloatLayer(small_nets.weights(5, 6) - 0.2), FloatLayer(small_nets.weights(3, 5) - 0.2)
)


def integers(bits: int, **bits_of: int) -> dict[str, tuple[Int, list[list[int]]]]:
    """The type and the integers of every weight."""
    program = lower(CHAIN, LOIHI2, Options(bits, 20, bits_of=bits_of))[-1].program
    found = {}
    for name in ("fc1", "fc2"):
        const = program.consts[f"{name}.weight"]
        assert isinstance(const.type.element, Int)
        found[name] = const.type.element, const.data.tolist()
    return found


@pytest.mark.parametrize("wide", [4, 8])
def test_the_weights_of_that_layer_only(wide: int) -> None:
    mixed, narrow, whole = integers(wide, lif2=3), integers(3), integers(wide)
    assert (mixed["fc1"][0], mixed["fc2"][0]) == (Int(wide), Int(3))
    assert mixed["fc1"] == whole["fc1"]
    assert mixed["fc2"] == narrow["fc2"]
    assert narrow["fc2"] != whole["fc2"]


def test_weights_on_the_grid_stay_exactly_what_they_are() -> None:
    grid = np.random.default_rng(3).integers(-2, 2, (5, 6)) / 4
    program = float_chain(FloatLayer(grid), FloatLayer(small_nets.weights(3, 5) - 0.2))
    mixed = lower(program, LOIHI2, Options(8, 20, bits_of={"lif1": 2}), "quantize_weights")[-1]
    const = mixed.program.consts["fc1.weight"]
    assert const.type.element == Int(2)
    assert np.array_equal(const.data * const.type.scale, grid)


def test_what_the_file_says_and_proves(tmp_path: Path) -> None:
    model = small_nets.write_graph(tmp_path / "net.nir")
    compiled = compile_model(model, bits=4, bits_of={"lif1": 8}).artifact
    assert compiled is not None
    save_artifact(compiled, tmp_path / "mixed.sast")
    loaded = load_artifact(tmp_path / "mixed.sast")
    assert loaded.provenance.bits_of == {"lif1": 8, "lif2": 4}
    assert loaded.provenance.bits == 8
    assert loaded.default_name() == "net.loihi2.4-8b.sast"
    checked = verify(loaded, 10, ["torch"], str(model))
    assert not checked.silent
    assert [one.backend for one in checked.checked if one.layers] == ["golden", "torch"]
    assert all(layer.identical for one in checked.checked for layer in one.layers)


def test_layers_that_all_have_the_same_bits_are_not_listed(tmp_path: Path) -> None:
    model = small_nets.write_graph(tmp_path / "net.nir")
    compiled = compile_model(model, bits=8, bits_of={"lif1": 4, "lif2": 4}).artifact
    assert compiled == compile_model(model, bits=4).artifact
    assert compiled is not None
    fields = msgspec.to_builtins(compiled.provenance)
    assert "bits_of" not in fields  # as in the files of before
    assert msgspec.convert(fields, Provenance).widths == "4"


@pytest.mark.parametrize(
    ("bits_of", "error", "message"),
    [
        ({"lif3": 4}, CompileError, "^net: has no layer 'lif3' to give 4 bits; hint: did you mean"),
        ({"fc1": 4}, CompileError, "^net: has no layer 'fc1'"),
        ({"lif1": 9}, CompileError, "^9-bit weights are out of range; hint: 2 to 8 bits$"),
    ],
)
def test_refusals(
    tmp_path: Path, bits_of: dict[str, int], error: type[CompileError], message: str
) -> None:
    with pytest.raises(error, match=message):
        compile_model(small_nets.write_graph(tmp_path / "net.nir"), bits_of=bits_of)


def test_bits_that_the_chip_has_not() -> None:
    eight = msgspec.structs.replace(
        LOIHI2, weights=msgspec.structs.replace(LOIHI2.weights, bits=(8,))
    )
    message = "^lif2: 4-bit weights do not exist on loihi2; hint: 8 bits$"
    with pytest.raises(TargetLimit, match=message):
        lower(CHAIN, eight, Options(8, 20, bits_of={"lif2": 4}))
    named = {"lif1": 8, "lif2": 8}  # what no layer has is not asked for
    assert lower(CHAIN, eight, Options(4, 20, bits_of=named))[-1].program
