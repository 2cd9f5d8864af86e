"""Spiking neurons for torch: smooth spikes for training, hard spikes on the same parameters.

The neuron of the SAST papers (arXiv 2604.09696, 2603.18039) is ``u[t] = alpha u[t-1] (1 - s[t-1])
+ I[t]`` with ``s = H(u - theta)``. Training runs the *same* recurrence with ``sigma_k(u - theta)``
in place of ``H``, in the forward pass and inside the reset, and takes its exact gradient; there is
no straight-through estimator. Deployment swaps ``sigma_k`` back for ``H`` and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from sast_compile.contract import Compare, ResetKind, ResetWhen
from sast_compile.errors import CompileError, TypeMismatch
from sast_compile.nn.over_time import OverTime, Rule
from sast_compile.nn.surrogates import SURROGATES, SurrogateName

Mode: TypeAlias = Literal["surrogate", "hard", "straight_through"]
MODES = ("surrogate", "hard", "straight_through")
COMPARISONS: dict[str, Callable[[Tensor, float], Tensor]] = {">=": torch.ge, ">": torch.gt}
RESETS = (
    ("zero", "before_decay"),
    ("zero", "after_fire"),
    ("subtract", "after_fire"),
    ("subtract", "after_decay"),
)
State: TypeAlias = tuple[Tensor, ...]


class States(NamedTuple):
    """What a population did: ``spikes`` and membrane ``u``, each (batch, T, *shape)."""

    spikes: Tensor
    u: Tensor


class LIF(nn.Module):
    """A population of leaky integrate-and-fire neurons: currents (batch, T, *shape) to spikes.

    With ``u[-1] = s[-1] = 0`` one step is, in this order of operations,

    - ``zero``, ``before_decay``:  ``u[t] = alpha u[t-1] (1 - s[t-1]) + I[t]``   (the SAST papers)
    - ``zero``, ``after_fire``:    ``w = alpha u[t-1] + I[t]``, ``u[t] = w (1 - s[t])``
    - ``subtract``, ``after_fire``:  ``w = alpha u[t-1] + I[t]``, ``u[t] = w - theta s[t]``
    - ``subtract``, ``after_decay``: ``u[t] = alpha u[t-1] - theta s[t-1] + I[t]``   (snnTorch)

    and ``s[t]`` is, with ``w = u`` where it is not named, by ``mode``:

    - ``surrogate``: ``sigma_k(w - theta)``, everywhere, with its exact gradient
    - ``hard``: the comparison ``>=`` or ``>`` of ``w`` with theta; no gradient
    - ``straight_through``: hard forward, ``sigma_k'`` backward, the reset left out of the gradient:
      the classic surrogate gradient (Neftci, Mostafa, Zenke 2019, arXiv 1901.09948)

    ``alpha`` and ``threshold`` are Python floats, without unit, and never lose a bit to the
    tensors' dtype. ``membrane``, if given, maps ``u`` after every step: a simulated register.
    Raises CompileError for parameters that make no neuron.
    """

    def __init__(
        self,
        alpha: float,
        threshold: float = 1.0,
        reset: ResetKind = "zero",
        reset_when: ResetWhen = "before_decay",
        surrogate: SurrogateName = "sigmoid",
        slope: float = 5.0,
        compare: Compare = ">=",
    ) -> None:
        super().__init__()
        _check_numbers(alpha, threshold, slope)
        check_choice("reset", (reset, reset_when), RESETS)
        check_choice("surrogate", surrogate, tuple(SURROGATES))
        check_choice("compare", compare, tuple(COMPARISONS))
        self.alpha, self.threshold, self.slope = float(alpha), float(threshold), float(slope)
        self.reset, self.reset_when = reset, reset_when
        self.surrogate, self.compare = surrogate, compare
        self.mode: Mode = "surrogate"
        self.membrane: Callable[[Tensor], Tensor] | None = None

    @property
    def hard(self) -> bool:
        """Whether the neuron fires hard, without a gradient."""
        return self.mode == "hard"

    @hard.setter
    def hard(self, value: bool) -> None:
        self.mode = "hard" if value else "surrogate"

    def forward(self, current: Tensor) -> Tensor:
        """The spikes (batch, T, *shape): in (0, 1) while smooth, else 0 or 1."""
        self._check(current)
        if self.membrane is not None:
            return self.states(current).spikes
        by_time = current.transpose(0, 1).contiguous()
        return self._over_time(by_time).transpose(0, 1)

    def states(self, current: Tensor) -> States:
        """Spikes and membrane of every step; ``u`` is what the next step starts from."""
        self._check(current)
        spikes, u = zip(*self._steps(current), strict=True)
        return States(torch.stack(spikes, dim=1), torch.stack(u, dim=1))

    def start(self, current: Tensor) -> State:
        """The state before the first step, of neurons driven by ``current`` (batch, *shape)."""
        rest = torch.zeros_like(current)
        return rest, rest

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """The spikes of one step (batch, *shape), and the state ``(u, s)`` after it."""
        u, spike = state
        w = self.rule().decay(u, spike) + current
        spike = self.fire(w)
        straight = self.mode == "straight_through"
        u = self.rule().after(w, spike.detach() if straight else spike)
        if self.membrane is not None:
            u = self.membrane(u)
        return spike, (u, spike.detach() if straight else spike)

    def fire(self, w: Tensor) -> Tensor:
        """The spikes of membranes ``w``, by `mode`."""
        if self.mode == "surrogate":
            return SURROGATES[self.surrogate].sigma(w - self.threshold, self.slope)
        spikes = COMPARISONS[self.compare](w, self.threshold).to(w.dtype)
        if self.mode == "hard":
            return spikes
        smooth = SURROGATES[self.surrogate].sigma(w - self.threshold, self.slope)
        return spikes + (smooth - smooth.detach())

    def rule(self) -> Rule:
        """Leak and reset as numbers and names."""
        return Rule(self.alpha, self.threshold, self.reset, self.reset_when)

    def _over_time(self, current: Tensor) -> Tensor:
        surrogate = SURROGATES[self.surrogate]
        straight = self.mode == "straight_through"
        spikes: Tensor = OverTime.apply(  # type: ignore[no-untyped-call]
            current, self.rule(), self.fire, surrogate, self.slope, not straight
        )
        return spikes.detach() if self.hard else spikes

    def _steps(self, current: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        state = self.start(current[:, 0])
        for now in current.unbind(dim=1):
            spike, state = self.step(now, state)
            yield spike, state[-2]

    def _check(self, current: Tensor) -> None:
        if current.ndim < 2 or current.shape[1] == 0:
            raise TypeMismatch(
                f"a neuron needs currents (batch, T >= 1, ...), got {tuple(current.shape)}"
            )

    def extra_repr(self) -> str:
        """The parameters, for ``print(network)``."""
        return (
            f"alpha={self.alpha}, threshold={self.threshold}, reset={self.reset} "
            f"{self.reset_when}, {self.compare}, {self.surrogate} k={self.slope}, {self.mode}"
        )


class IF(LIF):
    """A population of integrate-and-fire neurons: :class:`LIF` that leaks nothing, alpha = 1."""

    def __init__(
        self,
        threshold: float = 1.0,
        reset: ResetKind = "zero",
        reset_when: ResetWhen = "before_decay",
        surrogate: SurrogateName = "sigmoid",
        slope: float = 5.0,
        compare: Compare = ">=",
    ) -> None:
        super().__init__(1.0, threshold, reset, reset_when, surrogate, slope, compare)


class CubaLIF(LIF):
    """:class:`LIF` driven through a synaptic current: ``i[t] = beta i[t-1] + x[t]``, ``I = i``.

    The current-based neuron of Loihi and of snnTorch's ``Synaptic`` (its alpha is our ``beta``).
    """

    def __init__(
        self,
        alpha: float,
        beta: float,
        threshold: float = 1.0,
        reset: ResetKind = "zero",
        reset_when: ResetWhen = "before_decay",
        surrogate: SurrogateName = "sigmoid",
        slope: float = 5.0,
        compare: Compare = ">=",
    ) -> None:
        super().__init__(alpha, threshold, reset, reset_when, surrogate, slope, compare)
        self.beta = check_factor("current's decay beta", beta)

    def start(self, current: Tensor) -> State:
        """The state at rest, ``(i, u, s)``."""
        return (torch.zeros_like(current), *super().start(current))

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """The spikes of one step, and the state ``(i, u, s)`` after it."""
        i = self.beta * state[0] + current
        spike, after = super().step(i, state[1:])
        return spike, (i, *after)

    def _over_time(self, current: Tensor) -> Tensor:
        i, through = torch.zeros_like(current[0]), []
        for now in current:
            i = self.beta * i + now
            through.append(i)
        return super()._over_time(torch.stack(through))


class LI(nn.Module):
    """A leaky readout that never fires: ``v[t] = alpha v[t-1] + I[t]``, (batch, T, *shape)."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = check_factor("leak factor alpha", alpha)

    def forward(self, current: Tensor) -> Tensor:
        """The voltage after every step."""
        v, seen = torch.zeros_like(current[:, 0]), []
        for now in current.unbind(dim=1):
            v = self.alpha * v + now
            seen.append(v)
        return torch.stack(seen, dim=1)

    def extra_repr(self) -> str:
        """The parameter, for ``print(network)``."""
        return f"alpha={self.alpha}"


def check_factor(what: str, value: float) -> float:
    """``value`` as a float in [0, 1]; CompileError if it lies outside."""
    if not 0 <= value <= 1:
        raise CompileError(
            f"{what} = {value} lies outside [0, 1]",
            hint="alpha = 1 - dt/tau (Euler) with tau >= dt > 0",
        )
    return float(value)


def _check_numbers(alpha: float, threshold: float, slope: float) -> None:
    check_factor("leak factor alpha", alpha)
    if not 0 <= threshold < math.inf:
        raise CompileError(f"threshold {threshold} is not a finite number >= 0")
    if not 0 < slope < math.inf:
        raise CompileError(f"surrogate slope {slope} is not a finite number > 0")


def check_choice(what: str, choice: object, known: tuple[object, ...]) -> None:
    """Raises CompileError with the choices unless ``choice`` is one of them."""
    if choice not in known:
        choices = ", ".join(map(str, known))
        raise CompileError(f"unknown {what} {choice!r}", hint=f"one of {choices}")
