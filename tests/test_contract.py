"""The discretisation contract: one canonical text, read strictly, never guessed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import small_nets
from hypothesis import given
from hypothesis import strategies as st

from sast_compile.contract import Contract, Discretised, Encoding, Override, contract_from_json
from sast_compile.errors import BadFile, ContractMissing
from sast_compile.presets import PRESETS, named_contract

PLAIN: dict[str, Any] = json.loads(small_nets.contract().to_json())


def refusal(**changes: Any) -> str:
    fields = {k: v for k, v in {**PLAIN, **changes}.items() if v is not ...}
    with pytest.raises(BadFile) as caught:
        contract_from_json(json.dumps(fields), "net.nir")
    message = str(caught.value)
    assert message.startswith("net.nir")
    assert "\n" not in message
    return message


@given(
    dt=st.floats(1e-9, 1e3),
    alphas=st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0, 1), max_size=3),
    steps=st.integers(1, 1000),
    preset=st.sampled_from(sorted(PRESETS)),
)
def test_it_comes_back_equal_with_every_bit_of_alpha(
    dt: float, alphas: dict[str, float], steps: int, preset: str
) -> None:
    stated = small_nets.contract(
        dt=dt,
        neurons={name: Discretised(alpha) for name, alpha in alphas.items()},
        compare=PRESETS[preset].contract.compare,
        overrides={"lif": Override(reset_when="after_input")},
        encoding=Encoding(steps=steps, axes="PYX", values="counts", bin="1 ms"),
    )
    text = stated.to_json()
    assert contract_from_json(text, "here") == stated
    assert contract_from_json(text.encode(), "here").to_json() == text


def test_the_text_is_canonical() -> None:
    one = small_nets.contract(neurons={"a": Discretised(0.5), "b": Discretised(0.25)})
    other = small_nets.contract(neurons={"b": Discretised(0.25), "a": Discretised(0.5)})
    assert one.to_json() == other.to_json()
    assert " " not in one.to_json().replace("1 ms", "")


@pytest.mark.parametrize("field", ["dt", "leak", "reset", "reset_when", "compare"])
def test_nothing_has_a_default_that_changes_a_spike(field: str) -> None:
    assert f"missing required field `{field}`" in refusal(**{field: ...})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dt": 0}, "dt = 0.0 s is not positive"),
        ({"dt": -1e-3}, "dt = -0.001 s is not positive"),
        ({"dt": "1 ms"}, "`$.dt`"),
        ({"leak": "exp"}, "'exp'"),
        ({"compare": "=>"}, "'=>'"),
        ({"reset": "none"}, "'none'"),
        ({"delay": 1}, "unknown field `delay`"),
        ({"neurons": {"lif1": {"alpha": 1.5}}}, "contract, lif1: leak factor alpha = 1.5"),
        ({"neurons": {"lif1": {"alpha": -0.1}}}, "contract, lif1: leak factor alpha = -0.1"),
        ({"neurons": {"lif1": {"alpha": 0.9, "tau": 1}}}, "unknown field `tau`"),
        ({"encoding": {**PLAIN["encoding"], "steps": 0}}, "a sample of 0 steps is empty"),
        ({"encoding": {**PLAIN["encoding"], "steps": -3}}, "a sample of -3 steps is empty"),
        ({"encoding": {**PLAIN["encoding"], "values": "rates"}}, "'rates'"),
        ({"readout": {"kind": "first_spike"}}, "'first_spike'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(**changes)


def test_another_version_is_refused() -> None:
    assert "version 2 is not the 1 that this release reads; hint: update" in refusal(version=2)
    assert 'it states "version": 1' in refusal(version=...)
    assert 'it states "version": 1' in refusal(version="1")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "[" * 100_000, b"\xff\xfe{}"])
def test_what_is_no_contract_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadFile, match=r"^net\.nir: the discretisation contract is malformed"):
        contract_from_json(text, "net.nir")


@pytest.mark.parametrize("dt", [math.nan, math.inf, 0.0, -1.0])
def test_a_preset_takes_only_a_time(dt: float) -> None:
    with pytest.raises(BadFile, match="is not positive and finite; hint: give it in seconds"):
        named_contract("sast", dt)


def test_a_preset_needs_a_time_step_and_a_known_name() -> None:
    assert named_contract("sast", 1e-3).dt == 1e-3
    with pytest.raises(ContractMissing, match=r"needs a time step; hint: add --dt"):
        named_contract("sast", None)
    with pytest.raises(ContractMissing, match=r"unknown contract 'snn'; hint: sast, nir-euler"):
        named_contract("snn", 1e-3)


def test_a_contract_of_the_user_is_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(small_nets.contract().to_json(), encoding="utf-8")
    assert named_contract(str(path), None) == small_nets.contract()
    assert named_contract(str(path), 2e-3) == small_nets.contract(dt=2e-3)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(BadFile, match=r"mine\.json: the discretisation contract is malformed"):
        named_contract(str(path), None)
    with pytest.raises(BadFile, match="there is no such file"):
        named_contract(str(tmp_path / "none.json"), None)


def test_it_is_frozen() -> None:
    with pytest.raises(AttributeError):
        small_nets.contract().dt = 1.0  # type: ignore[misc]
    assert isinstance(small_nets.contract(), Contract)
