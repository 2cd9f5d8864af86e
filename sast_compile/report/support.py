"""What a target does with each kind of NIR node: a small graph of each, compiled.

The table says what the compiler does today, for it is the compiler that fills it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import nir
import numpy as np
from msgspec.structs import replace

from sast_compile.compile import lower
from sast_compile.contract import Contract
from sast_compile.errors import CompileError
from sast_compile.frontend.nir_to_ir import to_program
from sast_compile.passes import Options
from sast_compile.target import Target

DT, STEPS = 1e-3, 8
ZERO = Contract(dt=DT, leak="euler", reset="zero", reset_when="after_fire", compare=">")
SUBTRACT = replace(ZERO, reset="subtract")
LATE = replace(ZERO, reset="subtract", reset_when="after_decay")
N, PLANE = 6, (2, 6, 6)
Nodes: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A kind of node, or of graph: its name, a graph of it, and the contract it is read under."""

    name: str
    graph: Callable[[], nir.NIRGraph]
    contract: Contract = ZERO


@dataclass(frozen=True)
class Support:
    """What became of a case: ``exact``, ``microcode``, ``approximate`` or ``refused``, and why."""

    case: str
    verdict: str
    why: str = ""


def supported(target: Target) -> Iterator[Support]:
    """Every case on ``target``, in order."""
    for case in CASES:
        yield _tried(case, target)


def _tried(case: Case, target: Target) -> Support:
    try:
        program = to_program(case.graph(), case.contract, "case")
        notes = [n for s in lower(program, target, Options(8, STEPS)) for n in s.notes]
    except CompileError as error:
        return Support(case.name, "refused", error.what)
    if any(note.numbers.get("microcode") for note in notes):
        return Support(case.name, "microcode", "the reset is not the chip's own neuron's")
    for note in notes:
        if "another kind of neuron" in note.text:
            return Support(case.name, "approximate", note.text.partition(";")[0])
    return Support(case.name, "exact")


def ops_table(targets: list[Target]) -> str:
    """A table in Markdown, a row a case and a column a target, and the reasons below it."""
    columns = [list(supported(target)) for target in targets]
    reasons: list[str] = []
    lines = [f"| node | {' | '.join(f'`{t.name}`' for t in targets)} |"]
    lines.append("|---" * (len(targets) + 1) + "|")
    for row in zip(*columns, strict=True):
        cells = [_cell(found, reasons) for found in row]
        lines.append(f"| {row[0].case} | {' | '.join(cells)} |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, "", *notes]) + "\n"


def _cell(found: Support, reasons: list[str]) -> str:
    if not found.why:
        return found.verdict
    if found.why not in reasons:
        reasons.append(found.why)
    return f"{found.verdict} [{reasons.index(found.why) + 1}]"


# ---- small graphs


def _chain(**nodes: Any) -> nir.NIRGraph:
    """The nodes one behind the other, between an Input and an Output."""
    names = list(nodes)
    first = nodes[names[0]]
    given = np.array(PLANE) if isinstance(first, PLANAR) else np.array([N])
    if isinstance(first, nir.Conv1d):
        given = np.array([2, N])
    ends = {"input": nir.Input(given), **nodes, "output": nir.Output(None)}
    order = ["input", *names, "output"]
    return nir.NIRGraph(ends, list(itertools.pairwise(order)), type_check=False)


PLANAR = (nir.Conv2d, nir.SumPool2d, nir.AvgPool2d, nir.Flatten)


def _linear(outputs: int = N, inputs: int = N) -> nir.Linear:
    return nir.Linear(np.linspace(-0.5, 1, outputs * inputs).reshape(outputs, inputs))


def _conv(bias: float = 0.0, **changes: Any) -> nir.Conv2d:
    groups = changes.get("groups", 1)
    kernel = np.linspace(-0.5, 1, 4 * (2 // groups) * 9).reshape(4, 2 // groups, 3, 3)
    geometry = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, **changes}
    return nir.Conv2d(input_shape=None, weight=kernel, bias=np.full(4, bias), **geometry)


def _pool(kind: Any) -> Any:
    return kind(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0]))


def _lif(n: Any = N, kind: Any = nir.LIF, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "tau": 0.01,
        "tau_mem": 0.01,
        "tau_syn": 0.004,
        "r": 10.0,
        "w_in": 4.0,
        "v_leak": 0.0,
        "v_threshold": 1.0,
        "v_reset": 0.0,
    }
    wanted = {f: v for f, v in (fields | changes).items() if f in kind.__dataclass_fields__}
    return kind(**{f: np.broadcast_to(v, n).astype(float) for f, v in wanted.items()})


def _if(n: Any = N) -> nir.IF:
    return _lif(n, nir.IF, r=1 / DT)


def _delay(*steps: int) -> nir.Delay:
    return nir.Delay(DT * np.resize(np.array(steps), N))


def _wired(nodes: Nodes, *edges: str) -> nir.NIRGraph:
    """A graph from edges written ``a>b>c``."""
    pairs = [tuple(pair) for text in edges for pair in _pairs(text.split(">"))]
    ends = {"input": nir.Input(np.array([N])), "output": nir.Output(None), **nodes}
    return nir.NIRGraph(ends, pairs, type_check=False)


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(names))


def _loop() -> nir.NIRGraph:
    nodes = {"fc": _linear(), "a": _lif(), "rec": _linear()}
    return _wired(nodes, "input>fc>a>output", "a>rec>a")


def _long_loop(delay: int) -> nir.NIRGraph:
    nodes = {"fc": _linear(), "a": _lif(), "fc2": _linear(), "b": _lif(), "rec": _linear()}
    back = "b>rec>a" if not delay else "b>wait>rec>a"
    more = {"wait": _delay(delay)} if delay else {}
    return _wired({**nodes, **more}, "input>fc>a>fc2>b>output", back)


def _skip() -> nir.NIRGraph:
    nodes = {"fc": _linear(), "a": _lif(), "fc2": _linear(), "b": _lif(), "skip": _linear()}
    return _wired(nodes, "input>fc>a>fc2>b>output", "input>skip>b")


def _two_ends() -> nir.NIRGraph:
    nodes = {
        "other": nir.Input(np.array([N])),
        "second": nir.Output(None),
        "fc": _linear(),
        "fc2": _linear(),
        "a": _lif(),
        "fc3": _linear(),
        "b": _lif(),
    }
    return _wired(nodes, "input>fc>a>output", "other>fc2>a", "a>fc3>b>second")


def _nested() -> nir.NIRGraph:
    inner = {"input": nir.Input(np.array([N])), "fc": _linear(), "output": nir.Output(None)}
    sub = nir.NIRGraph(inner, [("input", "fc"), ("fc", "output")], type_check=False)
    return _wired({"sub": sub, "a": _lif()}, "input>sub>a>output")


LARGE, SMALL = (4, 6, 6), (4, 3, 3)
CASES = (
    Case("Linear, LIF (zero reset)", lambda: _chain(fc=_linear(), a=_lif())),
    Case("LIF (subtract)", lambda: _chain(fc=_linear(), a=_lif()), SUBTRACT),
    Case("LIF (subtract, after the decay)", lambda: _chain(fc=_linear(), a=_lif()), LATE),
    Case("IF (zero reset)", lambda: _chain(fc=_linear(), a=_if())),
    Case("IF (subtract)", lambda: _chain(fc=_linear(), a=_if()), SUBTRACT),
    Case("CubaLIF (zero reset)", lambda: _chain(fc=_linear(), a=_lif(kind=nir.CubaLIF))),
    Case("CubaLIF (subtract)", lambda: _chain(fc=_linear(), a=_lif(kind=nir.CubaLIF)), SUBTRACT),
    Case("LI, CubaLI, I as readouts", lambda: _chain(fc=_linear(), a=_lif(kind=nir.LI))),
    Case("Threshold", lambda: _chain(fc=_linear(), a=nir.Threshold(np.full(N, 1.0)))),
    Case(
        "one tau and threshold per neuron",
        lambda: _chain(
            fc=_linear(),
            a=_lif(tau=np.linspace(0.005, 0.02, N), v_threshold=np.linspace(1, 2, N)),
        ),
    ),
    Case("v_leak = v_reset, not 0", lambda: _chain(fc=_linear(), a=_lif(v_leak=0.2, v_reset=0.2))),
    Case("v_leak and v_reset that differ", lambda: _chain(fc=_linear(), a=_lif(v_reset=-0.5))),
    Case("Affine", lambda: _chain(fc=nir.Affine(_linear().weight, np.full(N, 0.1)), a=_lif())),
    Case(
        "Affine in front of a CubaLIF",
        lambda: _chain(fc=nir.Affine(_linear().weight, np.full(N, 0.1)), a=_lif(kind=nir.CubaLIF)),
    ),
    Case(
        "Conv1d",
        lambda: _chain(
            conv=nir.Conv1d(
                None, np.linspace(-0.5, 1, 24).reshape(4, 2, 3), 1, 1, 1, 1, np.zeros(4)
            ),
            a=_lif((4, N)),
        ),
    ),
    Case("Conv2d", lambda: _chain(conv=_conv(), a=_lif(LARGE))),
    Case(
        "Conv2d with stride, dilation, groups",
        lambda: _chain(conv=_conv(stride=2, dilation=2, padding=2, groups=2), a=_lif(SMALL)),
    ),
    Case("Conv2d with bias", lambda: _chain(conv=_conv(bias=0.1), a=_lif(LARGE))),
    Case(
        "SumPool2d, AvgPool2d in front of a weight",
        lambda: _chain(pool=_pool(nir.AvgPool2d), conv=_conv(), a=_lif(SMALL)),
    ),
    Case(
        "SumPool2d, AvgPool2d behind a Conv2d",
        lambda: _chain(conv=_conv(), pool=_pool(nir.SumPool2d), a=_lif(SMALL)),
    ),
    Case("SumPool2d alone", lambda: _chain(pool=_pool(nir.SumPool2d), a=_lif((2, 3, 3)))),
    Case(
        "Flatten",
        lambda: _chain(flat=nir.Flatten(np.array(PLANE), 0, -1), fc=_linear(N, 72), a=_lif()),
    ),
    Case(
        "Scale",
        lambda: _chain(scale=nir.Scale(np.linspace(0.5, 1, N)), fc=_linear(), a=_lif()),
    ),
    Case("two Linear in a row", lambda: _chain(fc=_linear(), fc2=_linear(), a=_lif())),
    Case("Delay, the same for all", lambda: _chain(wait=_delay(3), fc=_linear(), a=_lif())),
    Case("Delay, one for each element", lambda: _chain(wait=_delay(1, 4), fc=_linear(), a=_lif())),
    Case("no weight between two populations", lambda: _chain(fc=_linear(), a=_lif(), b=_lif())),
    Case("skip connection", _skip),
    Case("recurrence within a population", _loop),
    Case("loop over two populations", lambda: _long_loop(0)),
    Case("loop over two populations, with a Delay", lambda: _long_loop(2)),
    Case("several Inputs and Outputs", _two_ends),
    Case("NIRGraph in a NIRGraph", _nested),
)
