"""A torch module run over time as its framework runs it, with the spikes of its populations."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from sast_compile.errors import Unsupported

Style: TypeAlias = Callable[[nn.Module, Tensor], None]


def spikes_of(module: nn.Module, populations: Iterable[str], events: Tensor) -> dict[str, Tensor]:
    """The outputs (samples, steps, ..) of the submodules ``populations``, from a fresh state.

    A copy of ``module`` runs in float64, where sums of weights make no ties of their own. Modules
    of no known framework start from the state that they hold.
    """
    exact = copy.deepcopy(module).double()
    seen: dict[str, list[Tensor]] = {name: [] for name in populations}
    for layer in exact.modules():
        if not list(layer.children()):
            layer.register_forward_pre_hook(_in_double)
    for name, outputs in seen.items():
        exact.get_submodule(name).register_forward_hook(_recorder(outputs))
    package = _package(exact, seen)
    with torch.no_grad():
        STYLES.get(package, _stepwise)(exact, events.double())
    if package in WHOLE:
        return {name: outputs[0] for name, outputs in seen.items()}
    return {name: torch.stack(outputs, dim=1) for name, outputs in seen.items()}


def _package(module: nn.Module, populations: Iterable[str]) -> str:
    """The framework of these populations; Unsupported for a mixture."""
    packages = {type(module.get_submodule(n)).__module__.split(".")[0] for n in populations}
    if len(packages) != 1:
        raise Unsupported(f"populations of several frameworks in one module: {sorted(packages)}")
    return packages.pop()


def _in_double(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Frameworks that make float32 spikes would else stop a module of float64 weights."""
    return tuple(x.double() if isinstance(x, Tensor) else x for x in inputs)


def _recorder(seen: list[Tensor]) -> Callable[..., None]:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output).detach())

    return hook


def _whole(module: nn.Module, events: Tensor) -> None:
    """All steps in one call: (batch, T, ..)."""
    module(events)


def _stepwise(module: nn.Module, events: Tensor) -> None:
    """One call a step; the modules keep their state in themselves."""
    for now in events.unbind(dim=1):
        module(now)


def _snntorch(module: nn.Module, events: Tensor) -> None:
    _call_each(module, "reset_mem")
    _stepwise(module, events)


def _norse(module: nn.Module, events: Tensor) -> None:
    """norse.torch.SequentialState: (x, state) -> (y, state)."""
    state = None
    for now in events.unbind(dim=1):
        _, state = module(now, state)


def _spikingjelly(module: nn.Module, events: Tensor) -> None:
    _call_each(module, "reset")
    _stepwise(module, events)


def _sinabs(module: nn.Module, events: Tensor) -> None:
    _call_each(module, "reset_states")
    _whole(module, events)


def _call_each(module: nn.Module, method: str) -> None:
    """Calls ``method`` of every submodule that has it."""
    for layer in module.modules():
        found: Any = getattr(layer, method, None)
        if found is not None:
            found()


WHOLE = ("sast_compile", "sinabs")
STYLES: dict[str, Style] = {
    "sast_compile": _whole,
    "sinabs": _sinabs,
    "snntorch": _snntorch,
    "norse": _norse,
    "spikingjelly": _spikingjelly,
}
