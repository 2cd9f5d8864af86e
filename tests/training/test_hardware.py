"""The snapped network is the compiled one: its hard spikes are the chip's, its floats come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is torch's: the torch extra")

import torch
from msgspec import UNSET
from msgspec.structs import replace

from sast_compile.backends import reference
from sast_compile.compile import lower
from sast_compile.data import Split
from sast_compile.errors import CompileError, Unsupported
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.frontend.torch_to_nir import to_nir
from sast_compile.ir.neuron import Clamp
from sast_compile.ir.types import Int
from sast_compile.nn import Network, build, hard
from sast_compile.passes import Options
from sast_compile.passes.nearest_scale import best_scale
from sast_compile.target import Target, load_target
from sast_compile.training.hardware import Grid, Membrane, put, registers, snapped
from sast_compile.training.loop import TrainingData, fit
from sast_compile.training.measure import measure
from sast_compile.training.recipe import Hardware, Recipe
from sast_compile.training.stages import rho_at, slopes_at, stages

LOIHI = load_target("loihi2")
STEPS = 12


def layers(reset_when: str, kind: str, bias: bool) -> list[dict[str, Any]]:
    neuron = {"kind": kind, "threshold": 0.8, "reset": "zero", "reset_when": reset_when}
    neuron |= {"alpha": 0.87} if kind == "lif" else {}
    return [
        {"name": "fc1", "kind": "linear", "in_features": 30, "out_features": 40, "bias": bias},
        {"name": "one", **neuron},
        {"name": "fc2", "kind": "linear", "in_features": 40, "out_features": 12, "bias": bias},
        {"name": "two", **neuron},
    ]


def net(**kinds: Any) -> Network:
    torch.manual_seed(3)
    network = build(layers(**{"reset_when": "before_decay", "kind": "lif", "bias": False} | kinds),
                    (30,))  # fmt: skip
    with torch.no_grad():
        network.fc1.weight *= 3
        network.fc2.weight *= 3
    return network


def events(samples: int = 60) -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.random((samples, STEPS, 30)) < 0.3).astype(np.uint8)


def compiled_spikes(network: Network, bits: int, chip: Target = LOIHI) -> dict[str, np.ndarray]:
    contract = network.contract(1e-3, None)
    program = to_program(to_nir(network, contract), contract, "net")
    program = lower(program, chip, Options(bits, STEPS, rounding="nearest"))[-1].program
    trace = reference.run(program, events(), "spikes")
    return {name: trace[name].spikes for name in program.neurons}


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize(
    "kinds",
    [{}, {"reset_when": "after_fire"}, {"kind": "if"}, {"bias": True}],
    ids=["lif", "after_fire", "if", "bias"],
)
def test_every_spike_of_the_snapped_network_is_the_chips(kinds: dict[str, Any], bits: int) -> None:
    network = net(**kinds)
    chip = registers(network, LOIHI, bits, STEPS)
    swapped = hard(network).double()
    put(swapped, chip)
    with torch.no_grad():
        mine = swapped.spikes(torch.from_numpy(events()))
    wanted = compiled_spikes(network, bits)
    for name, spikes in wanted.items():
        assert spikes.sum() > 100
        assert np.array_equal(mine[name].numpy(), spikes)


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize(
    "kinds",
    [
        {"reset": "subtract", "reset_when": "after_decay"},
        {"reset": "subtract", "reset_when": "after_fire"},
        {"recurrent": True},
        {"recurrent": True, "reset": "subtract", "reset_when": "after_decay"},
    ],
    ids=lambda kinds: "-".join(map(str, kinds.values())),
)
@pytest.mark.parametrize("chip", [load_target("paper-sim"), LOIHI], ids=lambda chip: chip.name)
def test_subtraction_and_recurrence_too(chip: Target, kinds: dict[str, Any], bits: int) -> None:
    torch.manual_seed(4)
    plain = layers("before_decay", "lif", False)
    network = build([plain[0], {**plain[1], **kinds}, plain[2],
                     {**plain[3], **kinds, "recurrent": False}], (30,))  # fmt: skip
    with torch.no_grad():
        network.fc1.weight *= 3
        network.fc2.weight *= 3
    swapped = hard(network).double()
    put(swapped, registers(network, chip, bits, STEPS))
    with torch.no_grad():
        mine = swapped.spikes(torch.from_numpy(events()))
    for name, spikes in compiled_spikes(network, bits, chip).items():
        assert spikes.sum() > 100
        assert np.array_equal(mine[name].numpy(), spikes)


def test_a_convolution_too() -> None:
    torch.manual_seed(0)
    plain = layers("before_decay", "lif", False)
    first = {"name": "conv", "kind": "conv2d", "in_channels": 1, "out_channels": 4}
    first |= {"kernel_size": 3, "stride": 2, "padding": 1}
    network = build(
        [first, plain[1], {"name": "flat", "kind": "flatten"}, {**plain[2], "in_features": 36},
         plain[3]], (1, 6, 5))  # fmt: skip
    with torch.no_grad():
        network.conv.weight *= 3
        network.fc2.weight *= 3
    seen = events().reshape(60, STEPS, 1, 6, 5)
    swapped = hard(network).double()
    put(swapped, registers(network, LOIHI, 4, STEPS))
    contract = network.contract(1e-3, None)
    program = to_program(to_nir(network, contract), contract, "net")
    trace = reference.run(
        lower(program, LOIHI, Options(4, STEPS, rounding="nearest"))[-1].program, seen, "spikes"
    )
    for name, spikes in swapped.spikes(torch.from_numpy(seen)).items():
        wanted = trace[name].spikes
        assert wanted.sum() > 100
        assert np.array_equal(spikes.detach().numpy().reshape(wanted.shape), wanted)


def test_the_floats_would_not_have_made_them() -> None:
    floats = hard(net()).double().spikes(torch.from_numpy(events()))
    wanted = compiled_spikes(net(), 4)
    assert not np.array_equal(floats["one"].detach().numpy(), wanted["one"])


def test_the_grid_is_the_one_that_the_compiler_chooses() -> None:
    network = net()
    grid = registers(network, LOIHI, 4, STEPS).grids["fc1.weight"]
    weights = network.fc1.weight.detach().numpy().astype(np.float64)
    assert grid == Grid(best_scale(weights, Int(4)), -8, 7)
    k = grid.snap(network.fc1.weight.detach().double()) / grid.scale
    torch.testing.assert_close(k, k.round(), rtol=0, atol=1e-12)
    assert set(k.round().int().flatten().tolist()) <= set(range(-8, 8))


def test_a_membrane_is_whole_clamped_and_rounded_in_its_decay() -> None:
    clamp = Clamp(rule="saturate", low=-100, high=100)
    u = torch.tensor([0.26, -0.26, 99.0, -99.0], dtype=torch.float64, requires_grad=True)
    for rounding, wanted in (("toward_zero", [0, 0, 75, -75]), ("floor", [0, -1, 75, -75])):
        held = Membrane(0.25, 3, 2, rounding, clamp)(u)  # steps of 1/4, alpha = 3/4
        torch.testing.assert_close(held * 0.75 / 0.25, torch.tensor(wanted).double())
    held.sum().backward()
    assert torch.equal(u.grad, torch.ones(4).double())  # straight through


def test_the_network_gets_its_own_numbers_back_even_from_an_error() -> None:
    network = net(bias=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    neuron = network.neurons()["one"]
    own = neuron.alpha, neuron.threshold, neuron.compare, neuron.membrane
    chip = registers(network, LOIHI, 4, STEPS)
    with pytest.raises(RuntimeError), snapped(network, chip):  # noqa: PT012
        assert not torch.equal(network.fc1.weight, before["fc1.weight"])
        assert neuron.membrane is not None
        network(torch.from_numpy(events(2))).sum().backward()
        raise RuntimeError
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    assert (neuron.alpha, neuron.threshold, neuron.compare, neuron.membrane) == own
    assert network.fc1.weight.grad.abs().sum() > 0
    assert network.fc1.bias.grad.abs().sum() > 0


ON_CHIP = Hardware(target="loihi2", bits=2, epochs=5, learning_rate=0.01)
RECIPE = Recipe(dataset="digits", seed=1, epochs=6, batch=16, learning_rate=0.02, rho=0.02,
                hardware=ON_CHIP)  # fmt: skip


def toy(seed: int) -> Split:
    """Three classes: class k has its events at ten inputs of its own, and some noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=96)
    wanted = np.arange(30)[None, None] // 10 == labels[:, None, None]
    drawn = random.random((96, STEPS, 30)) < np.where(wanted, 0.4, 0.15)
    return Split(drawn.astype(np.uint8), labels)


DATA = TrainingData(toy(0), toy(1))
PLAIN = layers("before_decay", "lif", False)[:2]
PLAIN[0] = {**PLAIN[0], "out_features": 3}


def test_the_hardware_stage_is_measured_as_the_chip_and_keeps_floats() -> None:
    result = fit(PLAIN, RECIPE, DATA)
    assert [epoch.stage for epoch in result.history] == ["train"] * 6 + ["hardware"] * 5
    assert result.best.stage == "hardware"
    chip = registers(result.network, LOIHI, 2, STEPS)
    swapped = hard(result.network).double()
    put(swapped, chip)
    assert measure(swapped, DATA.validation) == (result.best.hard, result.best.rates)
    assert measure(hard(result.network).double(), DATA.validation).rates != result.best.rates
    assert result.best.hard > 0.6
    snap = chip.grids["fc1.weight"].snap(result.network.fc1.weight)
    assert not torch.equal(snap, result.network.fc1.weight)
    assert result.network.neurons()["one"].alpha == 0.87


def test_the_stages_before_it_are_what_they_were_without_it() -> None:
    alone = fit(PLAIN, replace(RECIPE, hardware=UNSET), DATA)
    together = fit(PLAIN, RECIPE, DATA)
    for mine, same in zip(alone.history, together.history[:6], strict=True):
        assert mine._replace(seconds=0.0) == same._replace(seconds=0.0)


def test_schedules_stay_where_they_ended() -> None:
    recipe = replace(RECIPE, rho_warmup=0.5, slope_end=9.0)
    train, hardware = stages(recipe)
    assert hardware.learning_rate == 0.01
    assert stages(replace(recipe, hardware=Hardware(target="loihi2", bits=4)))[-1][1:4] == (
        10, 16, 0.002)  # fmt: skip
    for epoch in range(hardware.epochs):
        assert slopes_at({"one": 5.0}, recipe, hardware, epoch) == {"one": pytest.approx(9.0)}
        assert rho_at(recipe, hardware, epoch) == 0.02
    assert slopes_at({"one": 5.0}, recipe, train, 0) == {"one": 5.0}


def test_a_chip_refuses_before_training() -> None:
    seen: list[Any] = []
    subtract = [PLAIN[0], {**PLAIN[1], "reset": "subtract", "reset_when": "after_fire"}]
    netx = replace(RECIPE, hardware=Hardware(target="loihi2-netx", bits=4))
    with pytest.raises(Unsupported, match="one: reset 'subtract'"):
        fit(subtract, netx, DATA, report=seen.append)
    wrong = replace(RECIPE, hardware=Hardware(target="loihi9", bits=4))
    with pytest.raises(CompileError, match="unknown target 'loihi9'"):
        fit(PLAIN, wrong, DATA, report=seen.append)
    assert not seen
