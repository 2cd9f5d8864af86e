"""Verification: its verdicts, and that it finds every register that is not what it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch integer model: the torch extra")
pytest.importorskip("sklearn", reason="the digits: the data extra")

from float_programs import FloatLayer, events
from msgspec.structs import replace as with_fields
from network_sources import STEPS, compiled, source, with_thresholds
from register_mutations import (
    DENSE,
    ELEMENTS,
    NEURON,
    TABLE,
    Compiled,
    Mutation,
    Place,
    leaves,
    with_weight,
)

from sast_compile import verification
from sast_compile.artifact import Artifact
from sast_compile.backends import reference
from sast_compile.backends.lava import LavaRun, Timings
from sast_compile.compare import Compared, compare_traces
from sast_compile.compile import compile_model
from sast_compile.errors import (
    BackendUnavailable,
    CompileError,
    TargetLimit,
    TypeMismatch,
    Unsupported,
)
from sast_compile.frontend.source import read_source
from sast_compile.ir.program import Program, check
from sast_compile.ir.types import Const
from sast_compile.levels import integer_trace
from sast_compile.samples import samples_for
from sast_compile.trace import Layer, Trace
from sast_compile.verification import Checked, Verdict, find_source, verify

MODEL = Path(__file__).parents[1] / "models" / "digits" / "model.pt"
SAMPLES = 12


@cache
def digits() -> Artifact:
    artifact = compile_model(str(MODEL), "loihi2", 8, rounding="nearest").artifact
    assert artifact is not None
    return artifact


@cache
def digits_net() -> Compiled:
    artifact = digits()
    data = samples_for(artifact.program, artifact.contract, artifact.provenance.data, SAMPLES)
    return Compiled(read_source(MODEL), artifact.program, data.events)


@cache
def biased_net() -> Compiled:
    """Three layers behind a flatten, with leaks, biases and both signs."""
    rng = np.random.default_rng(5)
    sizes = [(9, 12), (7, 9), (5, 7)]
    layers = [
        FloatLayer(rng.normal(0.1, 0.7, size), leak, bias=rng.normal(0, 0.2, size[0]))
        for size, leak in zip(sizes, (0.9, 0.8, 0.95), strict=True)
    ]
    x = events((16, STEPS, 2, 3, 2), 0.4)
    given = source(with_thresholds(layers, x, [0.5, 0.5, 0.5], least=0.3), (2, 3, 2))
    return Compiled(given, compiled(given, rounding="nearest"), x)


NETS: dict[str, Callable[[], Compiled]] = {"digits": digits_net, "biased": biased_net}
PLACES = [("digits", "lif1"), ("digits", "lif2"), *(("biased", f"lif{n}") for n in (1, 2, 3))]
LAYERS = pytest.mark.parametrize(("net", "layer"), PLACES, ids=[f"{n}-{p}" for n, p in PLACES])


def place(net: str, layer: str) -> Place:
    return Place(NETS[net](), layer)


@cache
def integers(net: str) -> Trace:
    """L2 of the net as it was compiled: what a device is compared with."""
    given = NETS[net]()
    return integer_trace(given.source, given.program, given.events)


# ---- mutations


def compared(net: str, mutant: Program) -> list[Compared]:
    """A device that runs ``mutant``, beside the torch integer model."""
    device = reference.run(check(mutant), NETS[net]().events, record="states")
    return compare_traces(integers(net), device)


def assert_found(found: list[Compared], layer: str) -> None:
    """The first layer that differs is ``layer``, and all before it are equal."""
    differing = [c.layer for c in found if not c.identical]
    assert differing, "nothing was found"
    assert differing[0] == layer


@pytest.mark.parametrize("net", NETS)
def test_unchanged_nothing_is_found_and_every_layer_fires(net: str) -> None:
    found = compared(net, NETS[net]().program)
    assert [c.layer for c in found] == list(NETS[net]().program.neurons)
    for layer in found:
        assert layer.identical
        assert layer.spikes > 50
        assert set(layer.values) == {"spikes", "u", "v"}


@LAYERS
def test_the_table_leaves_no_register_out(net: str, layer: str) -> None:
    at = place(net, layer)
    program = at.net.program
    assert set(leaves(at.op)) <= {m.path for m in NEURON}
    assert set(leaves(program.by_name[at.dense].op)) <= {m.path for m in DENSE}


@LAYERS
@pytest.mark.parametrize("mutation", TABLE, ids=str)
def test_a_changed_register_is_found_in_its_layer(net: str, layer: str, mutation: Mutation) -> None:
    at = place(net, layer)
    mutant = mutation.applied(at)
    assert mutant != at.net.program
    if mutation.refused:
        with pytest.raises(TypeMismatch):
            check(mutant)
        return
    found = compared(net, mutant)
    if mutation.seen(at):
        assert_found(found, layer)
    else:  # not skipped: it computes the same, for the reason that the table gives
        assert mutation.because
        assert all(c.identical for c in found)


@LAYERS
@pytest.mark.parametrize("element", ELEMENTS)
def test_a_changed_weight_or_delay_is_found_in_its_layer(
    net: str, layer: str, element: str
) -> None:
    assert_found(compared(net, ELEMENTS[element](place(net, layer))), layer)


def test_what_is_never_seen_computes_the_same_for_every_input() -> None:
    unseen = {
        str(m) for m in TABLE if not m.refused and not any(m.seen(place(*at)) for at in PLACES)
    }
    assert unseen == {
        "neuron synapses.0.decay.rounding: floor",
        "neuron synapses.0.adds: increment",
        "neuron synapses.0.bias_exponent: 1",
        "neuron synapses.0.clamp.rule: saturate",
        "neuron synapses.0.clamp.low: one more",
        "neuron synapses.0.clamp.high: one less",
        "neuron voltage.adds: increment",
        "neuron voltage.clamp.rule: wrap",
        "neuron voltage.clamp.low: one more",
        "neuron voltage.clamp.high: one less",
        "neuron reset.amount: 1",
    }


# ---- verdicts


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
        return LavaRun(Trace(kept), Timings(1, 1), own)


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
