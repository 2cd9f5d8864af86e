"""Verification: its verdicts, and where it says that something differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch integer model: the torch extra")
pytest.importorskip("sklearn", reason="the digits: the data extra")

from digits_verified import MODEL, SAMPLES, digits, digits_net, place
from msgspec.structs import replace as with_fields
from register_mutations import (
    with_weight,
)

from sast_compile import verification
from sast_compile.artifact import Artifact
from sast_compile.backends import reference
from sast_compile.backends.lava import LavaRun, Timings
from sast_compile.chunks import sample_bytes
from sast_compile.compare import compare_traces
from sast_compile.errors import (
    BackendUnavailable,
    CompileError,
    TargetLimit,
    Unsupported,
)
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const
from sast_compile.samples import samples_for, samples_of
from sast_compile.trace import Layer, Trace
from sast_compile.verification import Checked, Verdict, Verification, find_source, verify


@dataclass
class Device:
    """In the place of Lava: an oracle that runs ``program`` on the reference interpreter."""

    program: Program
    layers: tuple[str, ...] | None = None
    own: tuple[str, ...] = ()

    def __call__(self, _: Program, x: Any, record: Any = "states") -> Any:
        trace = reference.run(self.program, x, record="states")
        kept = {n: v for n, v in trace.layers.items() if not self.layers or n in self.layers}
        own = dict.fromkeys(self.own, "reset 'subtract' (after_fire)")
        return LavaRun(Trace(kept), Timings(1, 1, build=0.25), own)


def by_name(checked: tuple[Checked, ...]) -> dict[str, Checked]:
    return {c.backend: c for c in checked}


def test_our_own_back_ends_prove_nothing() -> None:
    result = verify(digits(), SAMPLES, backends=["torch"])
    assert result.verdict is Verdict.UNPROVEN
    assert result.verdict.value == 3
    assert [(c.backend, c.role) for c in result.checked] == [("golden", "ours"), ("torch", "ours")]
    assert all(c.identical and c.absent is None for c in result.checked)
    assert result.silent == []
    golden, torch_ = result.checked
    assert [layer.layer for layer in torch_.layers] == ["lif1", "lif2"]
    assert torch_.layers[0].values == dict.fromkeys(("spikes", "u", "v"), SAMPLES * 16 * 128)
    assert set(golden.layers[0].values) == {"spikes"}
    assert torch_.seconds["total"] > 0
    assert [a.layer for a in result.drift] == ["lif1", "lif2"]
    assert all(0.7 < a.share < 1 for a in result.drift)
    assert result.samples.origin.startswith("digits, test split")
    assert result.drift_origin == result.samples.origin
    assert result.tallies["lif1"].spikes == torch_.layers[0].spikes


def test_with_an_equal_oracle_it_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "run_lava", Device(digits().program))
    names: list[str] = []
    result = verify(digits(), 4, progress=names.append)
    assert result.verdict is Verdict.PROVEN
    assert result.verdict.value == 0
    assert names == ["reference interpreter", "emulator", "torch", "lava"]
    assert by_name(result.checked)["lava"].role == "oracle"
    assert set(by_name(result.checked)["lava"].seconds) == {"build", "step", "fetch", "total"}


@pytest.mark.parametrize(
    "error",
    [
        BackendUnavailable("no Lava here", hint="setup-lava"),
        Unsupported("no such neuron"),
        TargetLimit("threshold 0 is outside Loihi's 1..131071"),
    ],
)
def test_an_oracle_that_cannot_run_says_why(
    monkeypatch: pytest.MonkeyPatch, error: CompileError
) -> None:
    def absent(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(verification, "run_lava", absent)
    result = verify(digits(), 4)
    assert by_name(result.checked)["lava"].absent == str(error)
    assert result.verdict is Verdict.UNPROVEN


def test_a_layer_on_our_own_process_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "run_lava", Device(digits().program, own=("lif1",)))
    result = verify(digits(), 4)
    lava = by_name(result.checked)["lava"]
    assert lava.identical
    assert lava.own == {"lif1": "reset 'subtract' (after_fire)"}
    assert lava.confirmed == {"lif2"}
    assert result.verdict is Verdict.UNPROVEN


def test_an_oracle_that_leaves_a_layer_out_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "run_lava", Device(digits().program, ("lif1",)))
    result = verify(digits(), 4)
    assert all(c.identical for c in result.checked)
    assert result.verdict is Verdict.UNPROVEN


def test_a_silent_layer_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = digits()
    op = artifact.program.neurons["lif2"]
    assert op.fire is not None
    deaf = with_fields(op, fire=with_fields(op.fire, threshold=131071))
    program = artifact.program.with_ops({"lif2": deaf})
    spikes = {n: s * (n != "lif2") for n, s in artifact.golden.spikes.items()}
    silent = replace(
        artifact,
        program=program,
        golden=replace(artifact.golden, spikes=spikes),
        # without its source: the changed threshold would be found before the silence
        provenance=with_fields(artifact.provenance, source="gone.pt"),
    )
    monkeypatch.setattr(verification, "run_lava", Device(program))
    result = verify(silent, 4)
    assert all(c.identical for c in result.checked)
    assert result.silent == ["lif2"]
    assert result.verdict is Verdict.UNPROVEN


@pytest.mark.parametrize("layer", ["lif1", "lif2"])
def test_a_difference_is_located_to_the_value(monkeypatch: pytest.MonkeyPatch, layer: str) -> None:
    at = place("digits", layer)
    mutant = with_weight(at, lambda w: w + 1)
    monkeypatch.setattr(verification, "run_lava", Device(mutant))
    result = verify(digits(), SAMPLES)
    assert result.verdict is Verdict.DIFFERENT
    assert result.verdict.value == 1
    lava = by_name(result.checked)["lava"]
    first = next(c for c in lava.layers if not c.identical)
    assert first.layer == layer
    # the place by brute force: the earliest step, then sample, then neuron, spikes before states
    ours = at.net.trace[layer]
    theirs = reference.run(mutant, at.net.events, record="states")[layer]
    kinds = {"spikes": (ours.spikes, theirs.spikes)}
    kinds |= {s: (ours.states[s], theirs.states[s]) for s in ("u", "v")}
    wanted = min(
        (step, sample, order, neuron, what)
        for order, (what, (a, b)) in enumerate(kinds.items())
        for sample, step, neuron in np.argwhere(a != b).tolist()
    )
    step, sample, _, neuron, what = wanted
    found = first.difference
    assert found is not None
    assert (found.step, found.sample, found.neuron, found.what) == (step, sample, (neuron,), what)
    a, b = kinds[what]
    assert (found.ours, found.theirs) == (a[sample, step, neuron], b[sample, step, neuron])
    assert found.count == (a != b).sum()


# ---- in chunks


def most_for(many: int) -> int:
    """The bound under which a chunk of the digits has ``many`` samples."""
    program, data = (
        digits().program,
        samples_for(digits().program, digits().contract, digits().provenance.data, SAMPLES),
    )
    each = verification.AT_ONCE * sample_bytes(program, data, "states", interpreted=True)
    return data.held + many * each


def facts(result: Verification) -> dict[str, Any]:
    """What a verification found, without the seconds."""
    return {
        "checked": [replace(c, seconds={}) for c in result.checked],
        "tallies": result.tallies,
        "silent": result.silent,
        "event_rate": result.event_rate,
        "drift": (result.drift, result.drift_origin),
        "verdict": result.verdict,
    }


@pytest.mark.parametrize("layer", [None, "lif1", "lif2"])
def test_chunks_of_any_size_find_the_same(
    monkeypatch: pytest.MonkeyPatch, layer: str | None
) -> None:
    at = place("digits", layer or "lif1")
    device = at.net.program if layer is None else with_weight(at, lambda w: w + 1)
    monkeypatch.setattr(verification, "run_lava", Device(device, own=("lif2",)))
    whole = verify(digits(), SAMPLES)
    assert (whole.verdict is Verdict.DIFFERENT) == (layer is not None)
    assert whole.tallies["lif1"] == reference.run(at.net.program, at.net.events)["lif1"].tally
    assert whole.event_rate == at.net.events.reshape(SAMPLES * 16, -1).mean(axis=1).max()
    for many in (1, 5):
        names: list[str] = []
        parts = verify(digits(), SAMPLES, progress=names.append, most=most_for(many))
        assert names.count("lava") == -(-SAMPLES // many)
        assert facts(parts) == facts(whole)
        assert set(by_name(parts.checked)["lava"].seconds) == {"build", "step", "fetch", "total"}
        took, all_at_once = (by_name(r.checked)["lava"].seconds for r in (parts, whole))
        assert took["build"] == names.count("lava") * all_at_once["build"] > 0


def test_a_layer_that_fires_in_one_chunk_is_not_silent() -> None:
    x = digits_net().events[:2].copy()
    for quiet in (0, 1):
        some = x * (np.arange(2) != quiet)[:, None, None, None, None]
        each = verification.AT_ONCE * sample_bytes(
            digits().program, samples_of(digits().program, some, ""), "states", interpreted=True
        )
        for most in (None, some.nbytes + each):
            result = verify(digits(), backends=["torch"], events=some, most=most)
            assert result.silent == []
            assert result.samples.origin == "2 given samples"


@dataclass
class Tiring:
    """A device that gives up when it is called for the ``calls`` + 1st time."""

    device: Device
    calls: int = 1

    def __call__(self, program: Program, x: Any, record: Any = "states") -> Any:
        self.calls -= 1
        if self.calls < 0:
            raise BackendUnavailable("timed out")
        return self.device(program, x, record)


def test_an_oracle_that_breaks_off_proves_nothing_and_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiring = Tiring(Device(digits().program))
    monkeypatch.setattr(verification, "run_lava", tiring)
    result = verify(digits(), SAMPLES, most=most_for(5))
    lava = by_name(result.checked)["lava"]
    assert (lava.absent, lava.layers, tiring.calls) == ("timed out", (), -1)
    assert result.verdict is Verdict.UNPROVEN
    mutant = with_weight(place("digits", "lif1"), lambda w: w + 1)
    monkeypatch.setattr(verification, "run_lava", Tiring(Device(mutant)))
    result = verify(digits(), SAMPLES, most=most_for(5))
    lava = by_name(result.checked)["lava"]
    assert lava.layers[0].values["spikes"] == 5 * 16 * 128
    assert not lava.identical
    assert result.verdict is Verdict.DIFFERENT


@pytest.mark.parametrize("layer", ["lif1", "lif2"])
def test_an_artifact_that_was_changed_differs_from_its_golden_spikes(layer: str) -> None:
    # its own program is all that the other back ends have: only what was stored can tell
    at = place("digits", layer)
    name, const = at.weight
    flipped = at.net.program.with_ops({}, {name: Const(const.type, -const.data.clip(-127))})
    result = verify(replace(digits(), program=flipped), 2, backends=["torch"])
    golden, torch_ = result.checked
    assert torch_.identical
    assert next(c.layer for c in golden.layers if not c.identical) == layer
    assert result.verdict is Verdict.DIFFERENT


def test_an_unknown_back_end_is_named() -> None:
    with pytest.raises(CompileError, match=r"unknown back end 'lavva'; hint: .*lava"):
        verify(digits(), 2, backends=["lavva"])


# ---- the source model


def with_source(path: Path) -> Artifact:
    return replace(digits(), provenance=with_fields(digits().provenance, source=str(path)))


def test_without_the_source_model_torch_says_so(tmp_path: Path) -> None:
    result = verify(with_source(tmp_path / "gone.pt"), 2, backends=["torch"])
    absent = by_name(result.checked)["torch"].absent
    assert absent == f"the source model {tmp_path / 'gone.pt'} is not here (name it with --model)"
    assert result.drift_origin == f"{len(digits().golden.events)} golden samples"
    assert [a.layer for a in result.drift] == ["lif1", "lif2"]
    assert result.verdict is Verdict.UNPROVEN


def test_a_source_model_that_has_changed_is_not_used(tmp_path: Path) -> None:
    other = tmp_path / "model.pt"
    other.write_bytes(MODEL.read_bytes() + b" ")
    assert find_source(with_source(other), None) == (
        None,
        f"the source model {other} has changed since it was compiled",
    )
    with pytest.raises(CompileError, match=r"is not the file that this artifact was compiled from"):
        verify(digits(), 2, backends=["torch"], model=str(other))


def test_the_source_model_may_lie_elsewhere(tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.pt"
    moved.write_bytes(MODEL.read_bytes())
    result = verify(with_source(tmp_path / "gone.pt"), 2, backends=["torch"], model=str(moved))
    assert by_name(result.checked)["torch"].absent is None


def test_states_are_compared_only_where_both_have_them() -> None:
    trace = digits_net().trace
    bare = Trace({n: Layer(layer.spikes) for n, layer in trace.layers.items()})
    assert [set(c.values) for c in compare_traces(trace, bare)] == [{"spikes"}, {"spikes"}]
