"""Products that no device rounds, batches that fit it, and devices that are not there."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_programs import FloatLayer, float_chain
from plane_programs import planes
from torch_devices import DEVICES, NO_GPU, on_gpu

pytest.importorskip("torch", reason="programs on torch: the torch extra")

import torch
from fuzz.cases import Case
from fuzz.draw import drawn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sast_compile.backends import reference, torch_program
from sast_compile.backends.torch_program import exact, machine
from sast_compile.backends.torch_program.exact import LIMITS, exact_kinds, exact_matrix
from sast_compile.backends.torch_program.machine import Batch, OnDevice
from sast_compile.backends.torch_program.memory import bytes_of_a_sample
from sast_compile.backends.torch_program.schedule import Plan
from sast_compile.errors import BackendUnavailable, CompileError, Unsupported
from sast_compile.execute import execute
from sast_compile.trace import Layer, Trace

on_devices = pytest.mark.parametrize("device", DEVICES)
CPU = torch.device("cpu")


def assert_spikes(found: Trace, wanted: Trace) -> None:
    assert any(layer.spikes.any() for layer in wanted.layers.values())
    for name, layer in wanted.layers.items():
        np.testing.assert_array_equal(found[name].spikes, layer.spikes, err_msg=name)
        assert found[name].tally == layer.tally


# ---- products


@on_devices
@pytest.mark.parametrize("most", [2**23, 2**24, 2**24 + 1, 2**53, 2**53 + 1, 2**62])
def test_a_product_keeps_every_bit_up_to_its_bound(device: str, most: int) -> None:
    """One row sums to the bound, or one less: the two are one float where it is too narrow."""
    weight = torch.tensor([[most // 2, most - most // 2 - 1], [most // 2, -(most // 2) + 1]])
    kinds = exact_kinds(torch.device(device))
    matrix = exact_matrix(weight, most, kinds, torch.device(device))
    x = torch.tensor([[1, 1], [0, 1], [1, 0], [1, -1]], device=device)
    wanted = [[int(a @ w) for w in weight] for a in x.cpu()]
    assert matrix.rows(x).to(torch.int64).tolist() == wanted
    assert matrix.columns(x[:, :, None]).to(torch.int64)[:, :, 0].tolist() == wanted
    expected = next((kind for kind, limit in LIMITS.items() if most <= limit), torch.int64)
    assert matrix.kind is expected


def test_a_type_that_rounds_fails_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not exact._is_exact(torch.bfloat16, LIMITS[torch.float32], CPU)
    assert not exact._is_exact(torch.float32, LIMITS[torch.float64], CPU)
    assert exact._is_exact(torch.float64, LIMITS[torch.float64], CPU)
    monkeypatch.setattr(exact, "_is_exact", lambda kind, *_: kind is torch.float32)
    with pytest.raises(CompileError, match="float64 products on cpu are rounded"):
        exact_kinds(CPU)


@on_devices
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_settings_that_cut_floats_are_obeyed_and_left_alone(device: str, precision: str) -> None:
    program, batch = planes(2)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert list(exact_kinds(torch.device(device))) == [torch.float64]
        found = torch_program.run(program, batch, device=device)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    assert_spikes(found, reference.run(program, batch))
    assert list(exact_kinds(torch.device(device))) == [torch.float32, torch.float64]


@on_devices
def test_a_callers_autocast_changes_nothing(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, batch = planes(2)
    seen: list[Any] = []  # under autocast float32 fails the trial: it is off where that is made
    monkeypatch.setattr(machine, "exact_kinds", lambda d: seen.append(exact_kinds(d)) or seen[0])
    with torch.autocast(device, dtype=torch.bfloat16):
        found = torch_program.run(program, batch, device=device)
        assert torch.is_autocast_enabled(device)
        assert list(exact_kinds(torch.device(device))) == [torch.float64]
    assert list(seen[0]) == [torch.float32, torch.float64]
    assert_spikes(found, reference.run(program, batch))


@pytest.mark.slow
def test_everything_is_computed_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On `meta`, which has no values: what stays on the cpu, or waits for a number, fails there."""
    meta, computed = torch.device("meta"), list[str]()

    def layer(self: Batch, name: str, populations: Any, records: Any) -> Layer:
        computed.append(name)
        tensors = [self.wires[name], *records.get(name, {}).values()]
        if name in populations:
            its = populations[name]
            tensors += [*its.states.values(), its.ties, its.negatives, *its.clamped.values()]
        assert {tensor.device for tensor in tensors} == {meta}
        return Layer(np.zeros(0))

    monkeypatch.setattr(machine, "exact_kinds", lambda device: LIMITS)
    monkeypatch.setattr(machine.Batch, "_layer", layer)
    monkeypatch.setattr(machine.Population, "check", lambda self, name: None)
    cases = [case for seed in range(25) if isinstance(case := drawn(seed), Case)]
    for program, batch in [*map(planes, range(12)), *((c.program, c.events) for c in cases)]:
        steps = next(iter(batch.values())).shape[1]
        Batch(OnDevice(Plan(program, steps, "states"), meta), batch).layers()
        assert set(program.neurons) <= set(computed)
        computed.clear()


# ---- memory


class Peak(TorchDispatchMode):  # type: ignore[misc]
    """The most bytes that tensors made inside of it took at once."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self.known:
                self.known.add(storage._cdata)
                self.live += storage.nbytes()
                self.most = max(self.most, self.live)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return made

    def _gone(self, which: int, size: int) -> None:
        self.known.discard(which)
        self.live -= size


@pytest.mark.parametrize("record", ["outputs", "spikes", "states"])
def test_no_more_memory_is_taken_than_was_estimated(
    record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = machine._on_host  # what has left the device is no longer counted
    monkeypatch.setattr(machine, "_on_host", lambda columns: whole(columns).copy())
    for seed in range(8):
        program, batch = planes(seed)
        batch = {name: np.concatenate([x] * 40) for name, x in batch.items()}
        on = OnDevice(Plan(program, 12, record), CPU)
        samples = Batch(on, batch)
        with Peak() as peak:
            samples.layers()
        assert not samples.wires
        weights = sum(const.data.size for const in program.consts.values()) * 8
        estimate = bytes_of_a_sample(on) * 200
        assert estimate / 4 < peak.most < estimate + weights


@on_gpu
def test_no_more_memory_of_a_gpu_is_taken_than_was_estimated() -> None:
    device = torch.device("cuda")
    program, batch = planes(0)
    batch = {name: np.concatenate([x] * 400) for name, x in batch.items()}
    on = OnDevice(Plan(program, 12, "states"), device)
    Batch(on, batch).layers()  # cuBLAS takes its workspace
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    Batch(on, batch).layers()
    assert torch.cuda.max_memory_allocated(device) - before < bytes_of_a_sample(on) * 2000


@on_devices
def test_any_batches_give_the_same(device: str) -> None:
    program, batch = planes(3)
    wanted = reference.run(program, batch, "states")
    need = bytes_of_a_sample(OnDevice(Plan(program, 12, "states"), torch.device(device)))
    for samples in (1, 2, 3, 5, 100):
        found = torch_program.run(program, batch, "states", device, max_memory=samples * need)
        assert_spikes(found, wanted)
        for name, layer in wanted.layers.items():
            for state, values in layer.states.items():
                np.testing.assert_array_equal(found[name].states[state], values)
    with pytest.raises(CompileError, match=r"planes: one sample of 12 steps takes about 0\.\d MB"):
        torch_program.run(program, batch, "states", device, max_memory=need - 1)


def test_a_batch_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    program, batch = planes(3)
    room, tried = 2, list[int]()
    whole = machine.Batch.layers

    def layers(self: Batch) -> Any:
        tried.append(self.samples)
        if self.samples > room:
            raise torch.cuda.OutOfMemoryError("no room")
        return whole(self)

    monkeypatch.setattr(machine.Batch, "layers", layers)
    assert_spikes(torch_program.run(program, batch), reference.run(program, batch))
    assert tried == [5, 2, 2, 1]
    room = 0
    with pytest.raises(CompileError, match=r"one sample of 12 steps .* fewer steps"):
        torch_program.run(program, batch)


def test_weights_that_do_not_fit_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("no room")

    program, batch = planes(3)
    monkeypatch.setattr(machine, "Maps", full)
    with pytest.raises(CompileError, match=r"^planes: cpu has no room for its weights: .* MB"):
        torch_program.run(program, batch)


# ---- what is refused


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "mps", "CUDA", ""])
def test_a_device_of_another_name_is_refused(name: str) -> None:
    program, batch = planes(0)
    with pytest.raises(CompileError, match=r"unknown device .*cuda:N"):
        execute(program, batch, device=name)


def test_a_device_that_is_not_here_is_refused() -> None:
    program, batch = planes(0)
    with pytest.raises(BackendUnavailable, match="no device cuda:99: torch"):
        execute(program, batch, device="cuda:99")


@pytest.mark.skipif(NO_GPU is None, reason="there is a GPU here")
def test_it_is_said_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    program, batch = planes(0)
    for version, why in ((None, "is built without CUDA"), ("12.6", "is built for CUDA 12.6, but")):
        monkeypatch.setattr(torch.version, "cuda", version)
        with pytest.raises(BackendUnavailable, match=f"no device cuda: torch .*{why}"):
            execute(program, batch, device="cuda")


def test_without_torch_a_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    program, batch = planes(0)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendUnavailable, match="device cuda needs torch, which is not installed"):
        execute(program, batch, device="cuda")


def test_floats_are_left_to_the_interpreter() -> None:
    program = float_chain(FloatLayer(np.ones((2, 3)), 0.5))
    with pytest.raises(Unsupported, match="fc1: computes in floats"):
        torch_program.run(program, np.ones((1, 2, 3)))


def test_events_that_do_not_fit_are_refused() -> None:
    program, batch = planes(0)
    with pytest.raises(CompileError, match="n0: events of shape"):
        torch_program.run(program, {"n0": batch["n0"][..., :3]})


def test_importing_the_back_end_needs_no_torch() -> None:
    folder = Path(torch_program.__file__).parent
    for name in ("__init__.py", "limits.py", "schedule.py"):
        assert "import torch" not in (folder / name).read_text(encoding="utf-8")
