"""Modules of torch and of other frameworks: exported only if every spike is the module's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch modules need torch")

import torch
from torch import Tensor, nn

from sast_compile.backends.lava import lava_python
from sast_compile.contract import Encoding
from sast_compile.errors import BackendUnavailable, CompileError, Unsupported
from sast_compile.frontend.neuron_maps import MAPPINGS, NeuronRule, register_neuron
from sast_compile.frontend.source import read_source
from sast_compile.module_export import export
from sast_compile.nn import LIF
from sast_compile.verification import Verdict

DT = 1e-3
Spiking = Callable[[], nn.Module]


def events(samples: int = 6, steps: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(samples, steps, 2, 6, 6, generator=generator) < 0.3).float()


def linear(inputs: int, outputs: int, gain: float = 3.0) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.mul_(gain)
    return layer


def chain(neuron: Spiking, last: Spiking | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), linear(72, 40), neuron(), linear(40, 10), (last or neuron)())


def hard_lif(**kwargs: object) -> LIF:
    lif = LIF(0.9, **kwargs)  # type: ignore[arg-type]
    lif.hard = True
    return lif


def snntorch(reset: str, beta: float = 0.9) -> Spiking:
    snn = pytest.importorskip("snntorch", reason="needs snntorch (pip install snntorch nirtorch)")
    return lambda: snn.Leaky(beta=beta, init_hidden=True, reset_mechanism=reset)


def spikingjelly(kind: str, **kwargs: object) -> Spiking:
    neuron = pytest.importorskip(
        "spikingjelly.activation_based.neuron", reason="needs spikingjelly"
    )
    return lambda: getattr(neuron, kind)(**kwargs)


def test_our_own_neurons() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(2), linear(72, 40), hard_lif(), linear(40, 10), hard_lif())
    done = export(module, events(), dt=DT)
    assert list(done.spikes) == ["2", "4"]
    assert min(done.spikes.values()) > 100
    assert done.contract.neurons["2"].alpha == 0.9


@pytest.mark.parametrize(
    ("reset", "manner"),
    [("zero", ("zero", "before_decay")), ("subtract", ("subtract", "after_decay"))],
)
def test_snntorch_leaky(reset: str, manner: tuple[str, str]) -> None:
    done = export(chain(snntorch(reset), snntorch(reset, 0.8)), events(), dt=DT)
    assert min(done.spikes.values()) > 100
    assert (done.contract.reset, done.contract.reset_when, done.contract.compare) == (*manner, ">")


def conv(inputs: int, outputs: int, **geometry: Any) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 3, **geometry)
    with torch.no_grad():
        layer.weight.mul_(3)
    return layer


def test_a_convolutional_net_of_snntorch(tmp_path: Path) -> None:
    leaky = snntorch("zero")
    torch.manual_seed(3)
    net = nn.Sequential(
        conv(2, 6, padding=1), nn.AvgPool2d(2), leaky(), conv(6, 8, padding="same", groups=2),
        leaky(), nn.AvgPool2d(3, 3), nn.Flatten(), linear(8, 10), leaky(),
    )  # fmt: skip
    path = tmp_path / "net.nir"
    done = export(net, events(), dt=DT, path=path)
    assert min(done.spikes.values()) > 50
    kinds = [type(node.op).__name__ for node in read_source(path).program.nodes]
    assert kinds.count("Conv2d") == 2  # the first pool is a part of its kernel
    assert "SumPool2d" in kinds


@pytest.mark.parametrize(
    ("layer", "size", "words"),
    [
        (nn.MaxPool2d(2), 18, "1: torch.MaxPool2d is not mapped"),
        (nn.AvgPool2d(2, ceil_mode=True), 18, "1: ceil_mode, divisor_override"),
        (conv(2, 2, padding=1, padding_mode="reflect"), 72, "1: padding mode 'reflect'"),
    ],
)
def test_layers_that_nir_cannot_say(layer: nn.Module, size: int, words: str) -> None:
    leaky = snntorch("zero")
    net = nn.Sequential(conv(2, 2, padding=1), layer, nn.Flatten(), linear(size, 10), leaky())
    with pytest.raises(Unsupported, match=words):
        export(net, events(), dt=DT)


def test_snntorch_of_which_something_cannot_be_said() -> None:
    snn = pytest.importorskip("snntorch", reason="needs snntorch")
    with pytest.raises(Unsupported, match="2: reset_delay = False cannot be exported"):
        export(chain(lambda: snn.Leaky(0.9, init_hidden=True, reset_delay=False)), events(), dt=DT)
    with pytest.raises(Unsupported, match=r"2: torch.ReLU is not mapped; 4: snntorch.Synaptic"):
        export(chain(nn.ReLU, lambda: snn.Synaptic(0.9, 0.8, init_hidden=True)), events(), dt=DT)


@pytest.mark.parametrize(
    ("kind", "options", "reset"),
    [
        ("IFNode", {}, "zero"),
        ("LIFNode", {"tau": 5.0, "v_threshold": 0.2}, "zero"),
        ("LIFNode", {"tau": 5.0, "v_threshold": 0.2, "v_reset": None}, "subtract"),
        ("LIFNode", {"tau": 5.0, "decay_input": False}, "zero"),
    ],
)
def test_spikingjelly(kind: str, options: dict[str, object], reset: str) -> None:
    done = export(chain(spikingjelly(kind, **options)), events(), dt=DT)
    assert min(done.spikes.values()) > 100
    assert (done.contract.reset, done.contract.compare) == (reset, ">=")


def test_norse() -> None:
    norse = pytest.importorskip("norse.torch", reason="needs norse")
    parameters = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(100.0), v_th=torch.tensor(0.1))
    torch.manual_seed(0)
    module = norse.SequentialState(
        nn.Flatten(), linear(72, 40), norse.LIFBoxCell(parameters), linear(40, 10), norse.IAFCell()
    )
    done = export(module, events(), dt=DT)
    assert min(done.spikes.values()) > 100


class Doubler(nn.Module):
    """A neuron of nobody's framework: v <- v / 2 + I, spikes above 1, then v = 0."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | None = None

    def forward(self, current: Tensor) -> Tensor:
        v = current if self.v is None else self.v / 2 + current
        spikes = (v > 1).to(current.dtype)
        self.v = v * (1 - spikes)
        return spikes


@pytest.fixture
def registered() -> object:
    before = dict(MAPPINGS)
    yield lambda rule: register_neuron(Doubler, lambda _: rule)
    MAPPINGS.clear()
    MAPPINGS.update(before)


def test_a_users_own_neuron(registered: Callable[[NeuronRule], None]) -> None:
    with pytest.raises(Unsupported, match="Doubler is not mapped"):
        export(chain(Doubler), events(), dt=DT)
    registered(NeuronRule(0.5, 1.0, "zero", "after_fire", ">"))
    assert min(export(chain(Doubler), events(), dt=DT).spikes.values()) > 50


def test_a_mapping_that_is_not_what_the_neuron_computes(
    registered: Callable[[NeuronRule], None], tmp_path: Path
) -> None:
    registered(NeuronRule(0.6, 1.0, "zero", "after_fire", ">"))
    with pytest.raises(CompileError, match=r"2: the exported graph differs .* in \d+ of 7200"):
        export(chain(Doubler), events(), dt=DT, path=str(tmp_path / "net.nir"))
    assert list(tmp_path.iterdir()) == []


class Skip(nn.Module):
    """Nested, with a skip path that adds."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(linear(72, 30), hard_lif())
        self.flat, self.short, self.long = nn.Flatten(2), linear(72, 10), linear(30, 10)
        self.out = hard_lif()

    def forward(self, x: Tensor) -> Tensor:
        flat = self.flat(x)
        return self.out(self.short(flat) + self.long(self.body(flat)))


def test_nested_modules_with_a_skip_path() -> None:
    torch.manual_seed(0)
    done = export(Skip(), events(), dt=DT)
    assert list(done.spikes) == ["body.1", "out"]
    assert min(done.spikes.values()) > 100
    assert sum(edge[1] == "out" for edge in done.graph.edges) == 2


def test_what_cannot_be_traced_or_checked() -> None:
    with pytest.raises(CompileError, match=r"sample input has shape \(6, 30\)"):
        export(chain(hard_lif), torch.zeros(6, 30), dt=DT)
    deaf = nn.Linear(72, 4, bias=False)
    with pytest.raises(CompileError, match="never fires on the sample input"):
        export(nn.Sequential(nn.Flatten(2), deaf, hard_lif()), 0 * events(), dt=DT)
    with pytest.raises(CompileError, match=r"ends in '.onnx'"):
        export(chain(hard_lif), events(), dt=DT, path="net.onnx")
    with pytest.raises(Unsupported, match="no spiking layer"):
        export(nn.Sequential(nn.Flatten(2), linear(72, 4)), events(), dt=DT)


def test_the_module_is_left_as_it_was() -> None:
    module = chain(snntorch("zero"))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    export(module, events(), dt=DT)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert next(module.parameters()).dtype == torch.float32


def test_the_written_graph_is_read_back_with_its_contract(tmp_path: Path) -> None:
    path = str(tmp_path / "net.nir")
    encoding = Encoding(steps=30, axes="PYX", values="binary", bin="one step")
    done = export(chain(snntorch("zero")), events(), dt=DT, path=path, encoding=encoding)
    source = read_source(path)
    assert source.contract == done.contract
    assert source.program == done.program


@pytest.mark.lava
@pytest.mark.parametrize("bits", [8, 4])
def test_snntorch_to_a_verified_program_in_one_call(tmp_path: Path, bits: int) -> None:
    try:
        lava_python()
    except BackendUnavailable as absent:
        pytest.skip(f"LAVA DID NOT RUN: {absent}")
    path = tmp_path / "net.sast"
    done = export(chain(snntorch("zero")), events(), dt=DT, path=str(path), bits=bits)
    assert done.verification is not None
    assert done.verification.verdict is Verdict.PROVEN
    assert {p.name for p in tmp_path.iterdir()} == {"net.nir", "net.sast"}
