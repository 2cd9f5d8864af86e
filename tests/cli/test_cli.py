"""The command line: every verb, every exit code, and what lands on which stream."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_nets
from command_line import (
    ROOT,
    Command,
    as_process,
    document,
    files,
)
from torch_devices import NO_GPU

import sast_compile
from sast_compile import verification
from sast_compile.artifact import load_artifact, save_artifact
from sast_compile.backends import reference
from sast_compile.backends.lava import LavaRun, Timings, lava_status
from sast_compile.catalog import model_names, target_names
from sast_compile.cli.app import VERBS
from sast_compile.compile import compile_model
from sast_compile.ir.program import Program
from sast_compile.ir.text import parse_program
from sast_compile.target import load_target

PASSES = load_target("loihi2").passes


# verbs


def test_the_model_is_the_first_argument_and_compile_may_be_said(sast: Command, here: Path) -> None:
    silent = sast("net.nir", "--bits", 6)
    assert (silent.code, silent.err) == (0, "")
    assert "wrote net.loihi2.6b.sast" in silent.out
    assert all(name in silent.out for name in PASSES)
    first = (here / "net.loihi2.6b.sast").read_bytes()
    assert sast("compile", "net.nir", "--bits", 6, "-o", "named.sast").code == 0
    assert sast("--bits", 6, "net.nir", "-o", "before.sast").code == 0
    assert (here / "named.sast").read_bytes() == (here / "before.sast").read_bytes() == first


def test_what_python_compiles_is_what_the_command_compiles(sast: Command, here: Path) -> None:
    assert sast("net.nir").code == 0
    assert load_artifact("net.loihi2.8b.sast") == compile_model("net.nir").artifact


@pytest.mark.parametrize(
    ("typed", "meant"), [("verfy", "verify"), ("inspekt", "inspect"), ("modles", "models")]
)
def test_a_mistyped_verb_gets_the_nearest_one(sast: Command, typed: str, meant: str) -> None:
    ended = sast(typed, "net.sast")
    assert ended.code == 2
    assert ended.message.endswith(f"did you mean `{meant}`?")


def test_a_word_that_is_nothing_gets_the_list(sast: Command) -> None:
    ended = sast("[red]qqqq")
    assert ended.code == 2
    assert "'[red]qqqq' is neither a verb nor a model file" in ended.message
    assert all(verb in ended.message for verb in VERBS)


def test_version_and_help(sast: Command) -> None:
    assert sast("--version").out == f"sast-compile {sast_compile.__version__}\n"
    helped = sast("--help")
    assert helped.code == 0
    assert all(verb in helped.out for verb in VERBS)
    assert "130" in helped.out
    assert sast().out.strip() == helped.out.strip()
    for verb in VERBS:
        assert sast(verb, "--help").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["net.nir", "--bits", "x"],
        ["net.nir", "--colour"],
        ["net.nir", "too", "many"],
        ["verify", "--samples", "0"],
        ["run"],
        ["--bits", "4"],
        ["net.nir", "-o"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    sast: Command, here: Path, arguments: list[str]
) -> None:
    before = files(here)
    ended = sast(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Error: " in ended.err
    assert files(here) == before


def test_the_documented_exit_codes_are_those_of_the_help(sast: Command) -> None:
    documented = sys.modules["sast_compile.cli"].__doc__ or ""
    in_help = sast("--help").out.partition("Exit codes:")[2]
    assert re.findall(r"\b(\d+)\b", documented) == re.findall(r"\b(\d+)\b", in_help)


# compile


def test_compile_as_json(sast: Command, here: Path) -> None:
    found = document(sast("net.nir", "--json"))
    assert [step["name"] for step in found["passes"]] == list(PASSES)
    assert found["artifact"] == "net.loihi2.8b.sast"
    assert found["fit"]["fits"] is True
    assert found["accuracy"] is None  # the net names no data set


@pytest.mark.parametrize("last", PASSES)
def test_stop_after(sast: Command, here: Path, last: str) -> None:
    found = document(sast("net.nir", "--stop-after", last, "--json"))
    ran = PASSES[: PASSES.index(last) + 1]
    assert tuple(step["name"] for step in found["passes"]) == ran
    assert (found["artifact"] is None) == (last != PASSES[-1])


def test_stop_after_a_pass_that_is_none(sast: Command, here: Path) -> None:
    ended = sast("net.nir", "--stop-after", "quantize")
    assert ended.code == 1
    assert ended.message.endswith("did you mean `quantize_weights`?")


def test_dump_ir_writes_one_program_a_pass(sast: Command, here: Path) -> None:
    assert sast("net.nir", "--dump-ir", "a/b").code == 0
    compiled = compile_model("net.nir")
    dumped = sorted((here / "a" / "b").iterdir())
    names = ["import", *PASSES]
    assert [p.name for p in dumped] == [f"{i:02d}-{n}.sast.txt" for i, n in enumerate(names)]
    programs = [compiled.source.program, *(step.program for step in compiled.steps)]
    for path, program in zip(dumped, programs, strict=True):
        data = {name: const.data for name, const in program.consts.items()}
        assert parse_program(path.read_text(encoding="utf-8"), data) == program


# verify


def test_verify_takes_the_newest_and_says_which(sast: Command, here: Path) -> None:
    for age, name in enumerate(["b.sast", "newest.sast", "a.sast"]):
        shutil.copy("net.sast", name)
        os.utime(name, (1000, 1000 + (age == 1)))
    os.utime("net.sast", (900, 900))
    ended = sast("verify", "--samples", 2, "--backend", "torch")
    assert ended.out.startswith("verifying the newest .sast file here: newest.sast\n")
    assert document(sast("verify", "--json", "--backend", "torch"), 3)["artifact"] == "newest.sast"


def test_verify_without_an_artifact_says_how_to_make_one(
    sast: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = sast("verify")
    assert ended.code == 1
    assert ended.message == "no .sast file in this folder; hint: compile one: sast-compile model.pt"


def test_verify_without_an_oracle_is_exit_code_3(sast: Command, here: Path) -> None:
    pytest.importorskip("torch", reason="L2 needs the torch extra")
    found = document(sast("verify", "net.sast", "--backend", "torch", "--json"), 3)
    assert found["verdict"] == "unproven"
    assert [b["identical"] for b in found["backends"]] == [True, True]
    ended = sast("verify", "net.sast", "--backend", "torch")
    assert ended.code == 3
    assert "not proven: nothing differs, but no independent oracle ran" in ended.out


def test_verify_on_torch_as_the_emulator_does(sast: Command, here: Path) -> None:
    pytest.importorskip("torch", reason="programs on torch: the torch extra")
    found = document(sast("verify", "net.sast", "--backend", "torch-program,cuda", "--json"), 3)
    golden, on_cpu, on_gpu = found["backends"]
    assert (golden["identical"], on_cpu["identical"]) == (True, True)
    assert set(on_cpu["layers"][0]["values"]) == {"spikes", "u", "v"}
    assert on_gpu["identical"] is (True if NO_GPU is None else None)
    assert NO_GPU is None or "no device cuda: torch" in on_gpu["absent"]
    assert found["verdict"] == "unproven"  # our own equations, whatever they run on
    target = load_artifact("net.sast").target
    assert verification._chosen(None, target) == ["emulator", "torch", "lava"]


def test_verify_says_which_layer_a_process_of_ours_computed(
    sast: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(program: Program, events: Any, **_: Any) -> LavaRun:
        trace = reference.run(program, events, record="states")
        return LavaRun(trace, Timings(), {"lif1": "reset 'subtract' (after_fire)"})

    monkeypatch.setattr(verification, "run_lava", own)
    found = document(sast("verify", "net.sast", "--backend", "lava", "--json"), 3)
    assert found["backends"][1]["own"] == {"lif1": "reset 'subtract' (after_fire)"}
    said = " ".join(sast("verify", "net.sast", "--backend", "lava").out.split())
    assert "layer lif1 ran on a process of ours, not Intel's: reset 'subtract'" in said


def test_verify_without_the_source_or_torch_says_what_did_not_run(
    sast: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "sast_compile.backends.torch_integers", raising=False)
    monkeypatch.delitem(sys.modules, "sast_compile.frontend.graph_module", raising=False)
    absent = sast("verify", "net.sast", "--backend", "torch", "--model", "net.nir")
    assert absent.code == 3
    assert "needs torch, which is not installed here" in absent.err
    (here / "net.nir").unlink()
    (here.parent / "net.nir").unlink(missing_ok=True)
    artifact = load_artifact("net.sast")
    gone = replace(artifact, provenance=type(artifact.provenance)(**GONE))
    save_artifact(gone, "gone.sast")
    ended = sast("verify", "gone.sast", "--backend", "torch")
    assert ended.code == 3
    assert "the source model gone.nir is not here (name it with --model)" in ended.err


GONE: dict[str, Any] = {
    "source": "gone.nir",
    "source_sha256": "0",
    "bits": 8,
    "data": None,
    "versions": {},
}


def test_a_difference_is_exit_code_1_and_is_shown(sast: Command, here: Path) -> None:
    artifact = load_artifact("net.sast")
    spikes = {name: record.copy() for name, record in artifact.golden.spikes.items()}
    spikes["lif1"][2, 5, 4] ^= 1
    save_artifact(replace(artifact, golden=replace(artifact.golden, spikes=spikes)), "bad.sast")
    ended = sast("verify", "bad.sast", "--backend", "torch")
    assert ended.code == 1
    assert "layer lif1, sample 2, step 5, neuron (4): spikes = " in ended.out
    assert document(sast("verify", "bad.sast", "--backend", "torch", "--json"), 1)["verdict"] == (
        "different"
    )


def test_verify_with_another_model_is_refused(sast: Command, here: Path) -> None:
    small_nets.write_graph(here / "other.nir", small_nets.graph(small_nets.contract(dt=5e-4)))
    ended = sast("verify", "net.sast", "--model", "other.nir")
    assert ended.code == 1
    assert ended.message == "other.nir: is not the file that this artifact was compiled from"
    ended = sast("verify", "net.sast", "--backend", "lavaa")
    assert ended.message == "unknown back end 'lavaa'; hint: did you mean `lava`?"


@pytest.mark.lava
@pytest.mark.skipif(lava_status().python is None, reason=f"NO LAVA: {lava_status()}")
def test_compile_and_verify_as_a_user_does_with_unicode_and_spaces(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="L2 needs the torch extra")
    folder = tmp_path / "a folder ü ☃"
    folder.mkdir()
    small_nets.write_graph(folder / "net [1] é.nir")
    compiled = as_process("net [1] é.nir", cwd=folder)
    assert (compiled.code, compiled.err) == (0, "")
    assert "wrote net__1__é.loihi2.8b.sast" in compiled.out
    proven = as_process("verify", "--json", "--samples", 10, cwd=folder)
    assert (proven.code, proven.err) == (0, "")
    found = json.loads(proven.out)
    assert found["verdict"] == "proven"
    assert [b["backend"] for b in found["backends"] if b["identical"]] == [
        "golden",
        "emulator",
        "torch",
        "lava",
    ]
    assert sorted(p.suffix for p in folder.iterdir()) == [".nir", ".sast"]


def test_the_digits_model_from_its_checkpoint(tmp_path: Path, sast: Command) -> None:
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    pytest.importorskip("sklearn", reason="the digits need the data extra")
    found = document(
        sast(ROOT / "models/digits/model.pt", "--json", "-o", tmp_path / "digits.sast")
    )
    accuracy = found["accuracy"]
    assert accuracy["n"] == 360
    assert min(accuracy["hard"], accuracy["integers"]) >= 0.95 * 360
    ran = document(sast("run", tmp_path / "digits.sast", "--json"))
    assert ran["samples"] == 360
    assert ran["correct"] == accuracy["integers"]


# inspect, targets, models, doctor


def test_inspect_shows_the_program_of_a_graph_and_of_an_artifact(sast: Command, here: Path) -> None:
    program = load_artifact("net.sast").program
    shown = document(sast("inspect", "net.sast", "--json"))
    data = {name: const.data for name, const in program.consts.items()}
    assert parse_program(shown["program"], data) == program
    assert shown["provenance"]["bits"] == 8
    text = sast("inspect", "net.sast").out
    assert shown["program"] in text
    assert "Intel Loihi 2" in text
    graph = document(sast("inspect", "net.nir", "--json"))
    assert "lif1 = neuron" in graph["program"]
    assert graph["contract"]["dt"] == small_nets.DT
    assert "lif1 = neuron" in sast("inspect", "net.nir").out


def test_inspect_takes_a_checkpoint_and_a_named_contract(sast: Command, here: Path) -> None:
    bare = small_nets.write_graph(here / "bare.nir", small_nets.graph())
    assert "--contract" in sast("inspect", bare).err
    named = sast("inspect", bare, "--contract", "sast", "--dt", "1e-3", "--json")
    assert document(named)["contract"]["compare"] == ">="
    pytest.importorskip("torch", reason="a .pt needs the torch extra")
    small_nets.write_model(here / "net.pt")
    assert document(sast("inspect", "net.pt", "--json"))["contract"]["leak"] == "euler"


def test_targets_and_models_are_listed(sast: Command) -> None:
    assert [chip["name"] for chip in document(sast("targets", "--json"))] == target_names()
    assert all(name in sast("targets").out for name in target_names())
    found = document(sast("models", "--json"))
    assert list(found) == model_names()
    assert all(Path(path).is_file() and name in sast("models").out for name, path in found.items())


def test_an_error_with_json_is_json(sast: Command, here: Path) -> None:
    found = document(sast("none.nir", "--json"), 1)
    assert found == {"error": "there is no such file", "where": "none.nir", "hint": None}


def test_doctor_says_what_is_here(sast: Command) -> None:
    ended = sast("doctor")
    assert ended.code == 0
    for part in ("numpy", "torch", "Lava", *target_names(), *model_names()):
        assert part in ended.out


def test_doctor_works_where_torch_and_lava_are_absent_or_broken(
    sast: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: [no] such file')")
    monkeypatch.setenv("SAST_LAVA_ENV", str(tmp_path / "none"))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    absent = sast("doctor")
    assert absent.code == 0
    assert "absent: pip install 'sast-compile[torch]'" in absent.out
    assert "absent: pip install 'sast-compile[data]'" in absent.out
    assert "sast-compile setup-lava" in absent.out
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    broken = sast("doctor")
    assert broken.code == 0
    assert "broken: libtorch_cpu.so: [no] such file" in broken.out
    sys.modules.pop("torch", None)


# without torch


def test_a_graph_compiles_and_runs_without_torch(here: Path) -> None:
    code = """
import sys
sys.modules["torch"] = None
from sast_compile.cli import main
for arguments in (["net.nir", "-o", "new.sast"], ["run", "new.sast"], ["inspect", "new.sast"]):
    try:
        main(arguments)
    except SystemExit as ended:
        assert ended.code == 0, ended.code
main(["model.pt"])
"""
    (here / "model.pt").write_bytes(b"PK\x03\x04")
    ended = as_process(cwd=here, code=code)
    assert ended.code == 1
    assert "model.pt: a .pt checkpoint needs torch, which is not installed here" in ended.err
    assert ended.err.count("\n") == 1
    with_torch, without = load_artifact("net.sast"), load_artifact("new.sast")
    assert without.program == with_torch.program
    assert without.golden == with_torch.golden


def test_compiling_a_graph_imports_neither_torch_nor_lava(here: Path) -> None:
    code = """
import sys
from sast_compile.cli import main
try:
    main(["net.nir", "--json"])
finally:
    assert not {"torch", "lava", "sklearn"} & set(sys.modules)
"""
    ended = as_process(cwd=here, code=code)
    assert (ended.code, ended.err) == (0, "")
