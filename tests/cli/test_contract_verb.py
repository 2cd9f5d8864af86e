"""``contract show``, ``diff`` and ``presets``, the refusal in numbers, and what `check` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import small_nets
from command_line import ROOT, Command, document
from msgspec.structs import replace

from sast_compile.backends import reference
from sast_compile.contract import contract_from_json
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.presets import PRESETS, named_contract
from sast_compile.report import choices
from sast_compile.report.presets import presets_table

DT = small_nets.DT


def bare(here: Path, name: str = "bare.nir", **changes: Any) -> Path:
    return small_nets.write_graph(here / name, small_nets.graph(**changes))


def test_show_gives_what_the_file_states(sast: Command, here: Path) -> None:
    small_nets.write_graph(here / "net.nir")
    found = sast("contract", "show", "net.nir", "--json")
    assert contract_from_json(found.out, "it") == small_nets.contract()
    (here / "net.json").write_text(found.out, encoding="utf-8")
    assert sast("contract", "show", "net.json", "--json").out == found.out
    text = sast("contract", "show", "net.nir")
    assert text.code == 0
    for words in ("reset_when", "before_decay", "encoding.axes"):
        assert words in text.out


def test_show_names_the_contract_of_a_file_without_one(sast: Command, here: Path) -> None:
    bare(here)
    options = ("--contract", "snntorch", "--contract-set", "reset_when=after_input")
    shown = document(sast("contract", "show", "bare.nir", *options, "--json"))
    expected = replace(named_contract("snntorch", None), reset_when="after_input")
    assert contract_from_json(json.dumps(shown), "it") == expected


def test_show_reads_a_contract_whose_graph_cannot_be_compiled(sast: Command, here: Path) -> None:
    stated = small_nets.contract()
    graph = small_nets.graph(stated, lif2=small_nets.lif(3, v_threshold=-np.ones(3)))
    small_nets.write_graph(here / "net.nir", graph)
    assert sast("inspect", "net.nir").code == 1
    assert document(sast("contract", "show", "net.nir", "--json"))["leak"] == "euler"


def test_diff_is_0_for_the_same_and_1_with_the_fields_for_others(sast: Command, here: Path) -> None:
    small_nets.write_graph(here / "a.nir")
    other = small_nets.contract(compare=">", leak="exact")
    small_nets.write_graph(here / "b.nir", small_nets.graph(other))
    same = sast("contract", "diff", "a.nir", "a.nir")
    assert (same.code, same.out) == (0, "the same contract\n")
    apart = sast("contract", "diff", "a.nir", "b.nir")
    assert apart.code == 1
    assert [line.split() for line in apart.out.splitlines() if "exact" in line or ">=" in line] == [
        ["leak", "euler", "exact"],
        ["compare", ">=", ">"],
    ]
    rows = document(sast("contract", "diff", "a.nir", "b.nir", "--json"), 1)
    assert rows[0] == {"field": "leak", "first": "euler", "second": "exact"}
    assert document(sast("contract", "diff", "lava", "lava-dl", "--json")) == []
    fields = {
        row["field"] for row in document(sast("contract", "diff", "a.nir", "sast", "--json"), 1)
    }
    assert all(field.startswith("encoding.") for field in fields)  # a preset takes any dt
    assert fields


@pytest.mark.parametrize("verb", [("show",), ("diff", "snntorch")])
def test_a_file_that_is_none_is_refused_in_one_line(
    sast: Command, here: Path, verb: tuple[str, ...]
) -> None:
    assert "there is no such file" in sast("contract", *verb, "none.nir").message
    (here / "bad.json").write_text('{"version": 2}', encoding="utf-8")
    assert "malformed: lacks `drive`" in sast("contract", *verb, "bad.json").message


def test_settings_need_a_contract(sast: Command, here: Path) -> None:
    bare(here)
    found = sast("check", "bare.nir", "--contract-set", "spikes=1")
    assert "--contract-set needs --contract" in found.message


# ---- the refusal of a file without a contract


def share(a: dict[str, Any], b: dict[str, Any]) -> float:
    """By its words: of the neurons and steps in which either fires, those that do otherwise."""
    pairs = [(x, y) for n in a for x, y in zip(a[n].flat, b[n].flat, strict=True) if x or y]
    return sum(x != y for x, y in pairs) / len(pairs)


def test_the_refusal_gives_every_choice_in_numbers(sast: Command, here: Path) -> None:
    bare(here)
    ended = sast("run", "bare.nir")
    assert (ended.code, ended.out) == (1, "")
    assert "carries no contract" in ended.err
    assert "16 random samples x 32 steps, density 0.1, seed 0" in ended.err
    found = document(sast("run", "bare.nir", "--json"), 1)["choices"]
    assert [one["name"] for one in found["choices"]] == list(PRESETS)
    events = (np.random.default_rng(0).random((16, 32, 6)) < 0.1).astype(np.uint8)
    runs = {}
    for one in found["choices"]:
        contract = replace(PRESETS[one["name"]].contract, dt=one["dt"])
        trace = reference.run(to_program(small_nets.graph(), contract, "net"), events)
        runs[one["name"]] = {name: trace[name].spikes for name in ("lif1", "lif2")}
        assert one["spikes"] == sum(int(s.sum()) for s in runs[one["name"]].values())
    euler = next(one for one in found["choices"] if one["name"] == "nir-euler")
    for other in ("nir-exact", "snntorch", "sinabs"):
        assert euler["differs"][other] == pytest.approx(share(runs["nir-euler"], runs[other]))
    assert found["base"] == "spikingjelly"  # at the dt that r states; the same spikes as Euler's
    assert euler["differs"]["spikingjelly"] == 0
    own = replace(PRESETS["spikingjelly"].contract, dt=DT)
    for setting, part in found["settings"].items():
        fields: dict[str, Any] = dict(pair.split("=", 1) for pair in setting.split())
        contract = replace(own, **{k: int(v) if k == "spikes" else v for k, v in fields.items()})
        trace = reference.run(to_program(small_nets.graph(), contract, "net"), events)
        wrong = {name: trace[name].spikes for name in ("lif1", "lif2")}
        assert part == pytest.approx(share(runs["nir-euler"], wrong)), setting
    assert found["settings"]["reset=subtract reset_when=after_fire"] > 0.1
    assert found["settings"]["compare=>"] == 0  # no ties here
    assert "leak=euler" not in found["settings"]
    assert euler["differs"]["lava"] == 0
    assert euler["differs"]["nir-exact"] > 0.1


def test_a_choice_that_cannot_read_the_file_says_why(sast: Command, here: Path) -> None:
    bare(here, lif2=small_nets.lif(3, v_leak=np.full(3, 0.1), v_reset=np.full(3, 0.1)))
    found = document(sast("bare.nir", "--json"), 1)["choices"]["choices"]
    by_name = {one["name"]: one for one in found}
    assert "v_reset = 0.1, and the contract lets a spike subtract" in by_name["snntorch"]["error"]
    assert by_name["snntorch"]["spikes"] is None
    assert by_name["nir-euler"]["spikes"] > 0
    assert "lif1: r = 10, and at dt = 0.0001 it writes 100" in by_name["snntorch"]["against"]


def test_a_file_that_no_contract_can_read_gets_its_one_line(sast: Command, here: Path) -> None:
    bare(here, lif2=small_nets.lif(3, v_threshold=-np.ones(3)))
    assert "carries no contract" in sast("inspect", "bare.nir").message
    assert document(sast("inspect", "bare.nir", "--json"), 1)["choices"] is None


def test_a_large_net_is_run_on_fewer_samples(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(bare(here))
    monkeypatch.setattr(choices, "MOST_PRODUCTS", 32 * (6 * 5 + 5 * 3) * 3 + 1)
    assert choices.choices_of(path).samples == 3
    monkeypatch.setattr(choices, "MOST_PRODUCTS", 1)
    assert choices.choices_of(path).samples == 1


# ---- what a file leaves to its framework's defaults


def sinabs_net(here: Path) -> None:
    """As sinabs writes it: tau in steps, r = 1, no v_reset."""
    tau, ones = np.full(5, 8.0), np.ones(5)
    node = nir.LIF(tau=tau, r=ones, v_leak=0 * ones, v_threshold=0.2 * ones)
    bare(here, lif1=node, lif2=nir.IF(r=np.ones(3), v_threshold=np.ones(3)))


def test_check_says_what_the_file_cannot_and_the_default(sast: Command, here: Path) -> None:
    sinabs_net(here)
    found = document(sast("check", "bare.nir", "--contract", "sinabs", "--json"), 1)
    said = "\n".join(found["unsaid"])
    assert (
        "this file cannot say spike_fn; sinabs 3.1.3's default is MultiSpike (SingleSpike: "
        "--contract-set spikes=1)" in said
    )
    for word in ("reset_fn", "norm_input", "tau_syn", "min_v_mem"):
        assert f"this file cannot say {word}; " in said
    assert "not as" not in said
    assert any("65536 spikes of a neuron in one step" in p["what"] for p in found["problems"])
    options = ("--contract", "sinabs", "--contract-set", "spikes=1", "--contract-set", "reset=zero")
    settled = document(sast("check", "bare.nir", *options, "--json"))
    assert not any("spike_fn" in s or "reset_fn" in s for s in settled["unsaid"])
    assert "unsaid: this file cannot say norm_input" in sast("check", "bare.nir", *options).out


def test_check_says_who_did_not_write_the_file(sast: Command, here: Path) -> None:
    sinabs_net(here)
    found = document(sast("check", "bare.nir", "--contract", "snntorch", "--json"), 1)
    assert found["unsaid"][0].startswith("not as snnTorch 1.0.0 writes it: lif1: r = 1, and at")
    assert not any("norm_input" in s for s in found["unsaid"])


def test_check_has_nothing_to_say_of_a_file_with_a_contract(sast: Command, here: Path) -> None:
    small_nets.write_graph(here / "net.nir")
    assert document(sast("check", "net.nir", "--json"))["unsaid"] == []


# ---- the list


def test_the_presets_of_the_docs_are_those_of_the_program() -> None:
    assert presets_table().strip() in (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")


def test_presets_can_be_listed_and_written(sast: Command, here: Path) -> None:
    assert list(document(sast("contract", "presets", "--json"))) == list(PRESETS)
    assert "MultiSpike: n = floor" in sast("contract", "presets").out
    page = here / "page.md"
    page.write_text(
        "# Mine\n\n<!-- presets -->\nstale words\n<!-- end of presets -->\n\nkept\n", "utf-8"
    )
    assert sast("contract", "presets", "--into", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "stale words" not in text
    assert text.startswith("# Mine")
    assert text.endswith("kept\n")
