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
from msgspec.structs import replace

from sast_compile.contract import Contract, Discretised, Encoding, Override, contract_from_json
from sast_compile.contract_text import changed, differences
from sast_compile.errors import BadFile, CompileError, ContractMissing
from sast_compile.frontend.nir_to_ir import to_program
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
        ({"drive": "si"}, "'si'"),
        ({"synapse": "none"}, "'none'"),
        ({"spikes": 0}, "contract: spikes = 0 in one step lies outside 1..65536"),
        ({"spikes": 65537}, "spikes = 65537 in one step"),
        ({"spikes": 1.5}, "`$.spikes`"),
        ({"overrides": {"lif1": {"spikes": 0}}}, "contract, lif1: spikes = 0"),
        ({"overrides": {"lif1": {"leak": "exact"}}}, "unknown field `leak`"),
        ({"overrides": {"lif1": {"reset": "one"}}}, "'one'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(**changes)


def test_another_version_is_refused() -> None:
    assert "version 3 is none of the 1 to 2 that this release reads; hint: update" in refusal(
        version=3
    )
    for none in (..., "1", 0, True, 1.5):
        assert 'it states "version": 2' in refusal(version=none)


VERSION_1 = (
    '{"compare":">","dt":0.001,"encoding":null,"feedback":2,"leak":"exact","neurons":{"lif1":'
    '{"alpha":0.9,"gain":0.5}},"readout":{"kind":"spike_count","ties":"lowest_index"},'
    '"reset":"subtract","reset_when":"after_decay","version":1}'
)


def test_version_1_is_read_and_means_what_it_meant() -> None:
    read = contract_from_json(VERSION_1, "old.nir")
    assert (read.version, read.drive, read.synapse, read.spikes) == (2, "nir", "nir", 1)
    assert read.overrides == {}
    assert (read.leak, read.reset_when, read.feedback_steps) == ("exact", "after_decay", 2)
    assert read.neurons == {"lif1": Discretised(0.9, 0.5)}
    assert contract_from_json(read.to_json(), "new.nir") == read


@pytest.mark.parametrize("field", ["drive", "synapse", "spikes", "overrides"])
def test_version_2_states_all_that_it_added_and_version_1_none_of_it(field: str) -> None:
    assert f"malformed: lacks `{field}`" in refusal(**{field: ...})
    old = {**json.loads(VERSION_1), field: PLAIN[field]}
    with pytest.raises(BadFile, match=f"states `{field}`, which a contract of version 1 has not"):
        contract_from_json(json.dumps(old), "net.nir")


def test_a_population_may_have_rules_of_its_own() -> None:
    stated = small_nets.contract(overrides={"lif2": Override(reset="subtract", compare=">")})
    assert stated.of("lif1") == stated
    own = stated.of("lif2")
    assert (own.reset, own.reset_when, own.compare) == ("subtract", "before_decay", ">")
    program = to_program(small_nets.graph(stated), stated, "net")
    resets = {name: op.reset.kind for name, op in program.neurons.items() if op.reset}
    assert resets == {"lif1": "zero", "lif2": "subtract"}
    wrong = small_nets.contract(overrides={"lif3": Override(spikes=2)})
    with pytest.raises(BadFile, match="states neuron 'lif3', which the graph lacks"):
        to_program(small_nets.graph(wrong), wrong, "net")


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
    with pytest.raises(ContractMissing, match=r"unknown contract 'snn'; hint: snntorch, norse"):
        named_contract("snn", 1e-3)


def test_only_what_an_exporter_fixes_is_a_time_step_of_a_preset() -> None:
    assert {n for n, preset in PRESETS.items() if preset.fixed_dt} == {"snntorch", "sinabs"}
    assert named_contract("snntorch", None).dt == 1e-4
    assert named_contract("sinabs", None).dt == 1.0
    assert named_contract("sinabs", 2.0).dt == 2.0
    with pytest.raises(ContractMissing, match=r"'norse' needs a time step; hint: its exporter"):
        named_contract("norse", None)


SNNTORCH = named_contract("snntorch", None)


def test_single_settings_change_single_fields() -> None:
    plain = named_contract("sinabs", None)
    one = changed(plain, ["reset=zero", "spikes=1", "block.lif.compare=>", "lif2.spikes=3"])
    expected = replace(
        plain,
        reset="zero",
        spikes=1,
        overrides={"block.lif": Override(compare=">"), "lif2": Override(spikes=3)},
    )
    assert one == expected
    assert changed(plain, []) == plain


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["reset"], "--contract-set reset: is no field=value of a contract; hint: field is one of"),
        (["dt=1"], "is no field=value of a contract; hint: field is one of leak, drive"),
        (["lif1.leak=exact"], "field is one of reset, reset_when, compare, spikes"),
        (["reset=none", "reset_when=after_fire"], "'none'"),
        (["spikes=many"], "`$.spikes`"),
        (["spikes=0"], "spikes = 0 in one step lies outside"),
        (["reset=zero"], "the order after_decay was that of a reset 'subtract'; hint: say it too"),
        (["lif1.reset=zero"], "say it too: --contract-set lif1.reset_when=after_fire"),
    ],
)
def test_a_setting_that_says_nothing_is_refused(settings: list[str], words: str) -> None:
    with pytest.raises(CompileError) as caught:
        changed(SNNTORCH, settings)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_differences_name_the_field_and_both_values() -> None:
    one = small_nets.contract(neurons={"a": Discretised(0.5)})
    other = replace(one, leak="exact", neurons={"a": Discretised(0.25), "b": Discretised(1.0)})
    assert differences(one, one) == []
    assert [tuple(d) for d in differences(one, other)] == [
        ("leak", "euler", "exact"),
        ("neurons.a.alpha", "0.5", "0.25"),
        ("neurons.b.alpha", "not said", "1.0"),
        ("neurons.b.gain", "not said", "1.0"),
    ]
    encoded = differences(one, replace(one, encoding=None))
    names = ("steps", "axes", "values", "bin")
    assert {d.field for d in encoded} == {f"encoding.{name}" for name in names}


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
