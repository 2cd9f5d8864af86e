"""A net in plain numbers, built, run and exported inside a framework's own environment.

Every worker is a script: ``python WORKER.py FOLDER``. FOLDER holds one folder a net:

- ``net.json``: ``{"layers": [..], "options": {..}}``, a chain of layers. A layer is
  ``linear`` or ``conv`` (their arrays by name), ``sum_pool``, ``avg_pool``, ``flatten``, or
  ``neuron``: a class of the framework with its own ``arguments``, and where it is recurrent the
  name of a matrix.
- ``arrays.npz``: the arrays, and ``events`` (samples, steps, *shape).
- ``given.nir``, where there is one: a graph to be read instead of building the layers.

The answer lies beside: ``spikes.npz``, one array (samples, steps, *shape) a population in the order
of the layers, ``net.nir`` by the framework's own exporter, and ``answer.json``: the versions, and
under ``run``, ``export`` or ``load`` what was raised there, if anything was; under ``inferred``
what nir raised at the exported graph before its ``infer_types`` completed it.

Nothing of this project is imported here. A net runs in float64, with the float32 numbers that its
modules were made with; the exporter gets another of the same net, as it was made.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Net:
    """A net as it was asked for, with its arrays in the place of their names."""

    layers: list[dict[str, Any]]
    events: Tensor  # float64, (samples, steps, *shape)
    options: dict[str, Any]

    @property
    def sample(self) -> Tensor:
        """The events of one step, as an exporter wants them: (samples, *shape)."""
        return self.events[:, 0].float()


@dataclass(frozen=True)
class Framework:
    """What a framework does: every function may raise whatever the framework raises."""

    package: str
    neuron: Callable[[dict[str, Any]], nn.Module]
    run: Callable[[nn.Module, Net], list[Tensor]]  # spikes by population
    export: Callable[[nn.Module, Net], Any]
    load: Callable[[Any, Net], nn.Module]
    run_loaded: Callable[[nn.Module, Net], Tensor]  # spikes of the last population
    layer: Callable[[dict[str, Any]], nn.Module | None] = lambda _: None  # of its own


def serve(framework: Framework) -> None:
    """Answers for every net in the folder that the command line names."""
    torch.set_num_threads(1)
    for folder in sorted(p.parent for p in Path(sys.argv[1]).glob("*/net.json")):
        answer: dict[str, Any] = {
            "versions": {name: version(name) for name in (framework.package, "nir", "nirtorch")}
        }
        with chatter_on_stderr():
            answer |= _answer(framework, folder)
        (folder / "answer.json").write_text(json.dumps(answer))


def _answer(framework: Framework, folder: Path) -> dict[str, Any]:
    net = read(folder)
    torch.manual_seed(0)
    if (folder / "given.nir").exists():
        try:
            module = framework.load(nir.read(str(folder / "given.nir")), net)
            write_spikes(folder, [framework.run_loaded(module, net)])
        except Exception as error:  # a framework's refusal is an answer
            return {"load": said(error)}
        return {}
    try:
        with torch.no_grad():
            write_spikes(folder, framework.run(chain(framework, net), net))
    except Exception as error:
        return {"run": said(error)}
    try:
        return written(framework.export(chain(framework, net), net), folder / "net.nir")
    except Exception as error:
        return {"export": said(error)}


def written(graph: Any, path: Path) -> dict[str, Any]:
    """Writes what an exporter made; where nir cannot, once more with the types that nir infers."""
    try:
        nir.write(str(path), graph)
    except Exception as error:
        path.unlink(missing_ok=True)
        graph.infer_types()
        nir.write(str(path), graph)
        return {"inferred": said(error)}
    return {}


def said(error: Exception) -> str:
    """The kind and the first line of what was raised."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def read(folder: Path) -> Net:
    stated = json.loads((folder / "net.json").read_text())
    arrays = np.load(folder / "arrays.npz")
    layers = [
        {key: arrays[value[1:]] if isinstance(value, str) and value.startswith("@") else value
         for key, value in each.items()}
        for each in stated["layers"]
    ]  # fmt: skip
    return Net(layers, torch.from_numpy(arrays["events"]).double(), stated["options"])


def write_spikes(folder: Path, spikes: list[Tensor]) -> None:
    arrays = {f"p{i}": s.detach().double().numpy() for i, s in enumerate(spikes)}
    np.savez(folder / "spikes.npz", **arrays)


def chain(framework: Framework, net: Net) -> nn.Sequential:
    """The net, made anew."""
    return nn.Sequential(*(layer(framework, each) for each in net.layers))


def layer(framework: Framework, asked: dict[str, Any]) -> nn.Module:
    """One layer: the framework's own where it has one, else torch's."""
    own = framework.layer(asked)
    if own is not None:
        return own
    match asked["kind"]:
        case "neuron":
            return framework.neuron(asked)
        case "linear":
            return linear(asked["weight"], asked.get("bias"))
        case "conv":
            return conv(asked)
        case "avg_pool":
            return nn.AvgPool2d(asked["size"])
        case "flatten":
            return nn.Flatten()
    raise ValueError(f"no layer {asked['kind']}")


def linear(weight: Any, bias: Any = None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return filled(made, weight, bias)


def conv(asked: dict[str, Any]) -> nn.Conv2d:
    weight, bias = asked["weight"], asked.get("bias")
    made = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        weight.shape[2:],
        stride=asked["stride"],
        padding=asked["padding"],
        bias=bias is not None,
    )
    return filled(made, weight, bias)


def filled(made: Any, weight: Any, bias: Any) -> Any:
    made.weight.data = torch.from_numpy(weight).float()
    if bias is not None:
        made.bias.data = torch.from_numpy(bias).float()
    return made


def by_sample(module: nn.Module, net: Net) -> Tensor:
    """The last population's spikes, sample by sample without a batch, which a Flatten would take.

    Modules of nirtorch take a state and give it back; those that keep one in themselves forget it
    by ``reset_mem``.
    """
    samples = []
    with torch.no_grad():
        for events in net.events:
            for each in module.modules():
                getattr(each, "reset_mem", lambda: None)()
            outputs, state = [], None
            for now in events:
                x, state = module(now, state)
                outputs.append(x[0] if isinstance(x, tuple) else x)
            samples.append(torch.stack(outputs))
    return torch.stack(samples)


def recorded(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[list[Tensor]]:
    """Lists that fill with the outputs of the submodules of these kinds, call by call."""
    seen: list[list[Tensor]] = []
    for each in module.modules():
        if isinstance(each, kinds):
            seen.append([])
            each.register_forward_hook(_recorder(seen[-1]))
    return seen


def _recorder(outputs: list[Tensor]) -> Callable[..., None]:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        outputs.append((output[0] if isinstance(output, tuple) else output).detach().double())

    return hook


def in_double(module: nn.Module) -> nn.Module:
    """``module`` in float64; its layers with a weight take float32 spikes too.

    No other module is touched: a surrogate may be one object that all neurons of a class share.
    """
    for each in module.double().modules():
        if isinstance(getattr(each, "weight", None), Tensor):
            each.register_forward_pre_hook(_cast)
    return module


def _cast(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.double() if isinstance(x, Tensor) else x for x in inputs)


@contextlib.contextmanager
def chatter_on_stderr() -> Iterator[None]:
    """What a framework prints goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
