"""A lowering that changes a number beyond its rounding is seen, even where L2 would follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as with_fields

from sast_compile.artifact import Artifact
from sast_compile.compile import Compiled, compile_model
from sast_compile.ir.ops import Dense, Neuron
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const
from sast_compile.rounding import rounded
from sast_compile.verification import Verdict, verify

pytest.importorskip("torch", reason="the digits checkpoint needs torch")

MODEL = Path(__file__).parent.parent / "models/digits/model.pt"


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_model(MODEL, "loihi2", 8)


def artifact_of(compiled: Compiled) -> Artifact:
    assert compiled.artifact is not None
    return compiled.artifact


@pytest.mark.parametrize("bits", [8, 5, 2])
def test_every_integer_is_its_float(bits: int) -> None:
    compiled = compile_model(MODEL, "loihi2", bits)
    found = rounded(compiled.source.program, artifact_of(compiled).program)
    assert [(r.node, r.register) for r in found] == [
        (node, register)
        for i in "12"
        for node, register in (
            (f"fc{i}", "weight"),
            (f"lif{i}", "threshold"),
            (f"lif{i}", "leak"),
            (f"lif{i}", "current's leak"),
        )
    ]
    assert all(r.faithful for r in found)
    assert sum(r.values for r in found) == 200 * 128 + 128 * 10 + 128 + 10 + 4


def with_weight(program: Program, data: np.ndarray) -> Program:
    const = program.consts["fc1.weight"]
    return program.with_ops({}, {"fc1.weight": Const(const.type, data)})


def permuted(program: Program) -> Program:
    """The flatten order of another layout: (y, x, p) where the model has (p, y, x)."""
    weight = program.consts["fc1.weight"].data
    return with_weight(program, weight.reshape(-1, 2, 100).transpose(0, 2, 1).reshape(-1, 200))


def two_steps_off(program: Program) -> Program:
    weight = program.consts["fc1.weight"].data.copy()
    weight[3, 7] += 2 if weight[3, 7] < 100 else -2
    return with_weight(program, weight)


def dropped_exponent(program: Program) -> Program:
    op = program.by_name["fc2"].op
    assert isinstance(op, Dense)
    return program.with_ops({"fc2": with_fields(op, exponent=op.exponent - 1)})


def swapped_thresholds(program: Program) -> Program:
    threshold = program.consts["lif1.threshold"]
    return program.with_ops({}, {"lif1.threshold": Const(threshold.type, threshold.data[::-1])})


def other_leak(program: Program) -> Program:
    op = program.neurons["lif2"]
    decay = with_fields(op.voltage.decay, decay=412)
    changed: Neuron = with_fields(op, voltage=with_fields(op.voltage, decay=decay))
    return program.with_ops({"lif2": changed})


@pytest.mark.parametrize(
    ("wrong", "register"),
    [
        (permuted, ("fc1", "weight")),
        (two_steps_off, ("fc1", "weight")),
        (dropped_exponent, ("lif2", "threshold")),
        (swapped_thresholds, ("lif1", "threshold")),
        (other_leak, ("lif2", "leak")),
    ],
)
def test_a_wrong_lowering_is_named(
    compiled: Compiled, wrong: Callable[[Program], Program], register: tuple[str, str]
) -> None:
    program = wrong(artifact_of(compiled).program)
    found = rounded(compiled.source.program, program)
    assert register in [(r.node, r.register) for r in found if not r.faithful]


def test_verify_refuses_a_permuted_lowering_that_the_torch_integers_follow(
    compiled: Compiled,
) -> None:
    artifact = artifact_of(compiled)
    program = permuted(artifact.program)
    result = verify(replace(artifact, program=program), samples=5, backends=["torch"])
    torch_integers = next(c for c in result.checked if c.backend == "torch")
    assert torch_integers.identical  # L2 takes its integers from the program
    assert not all(register.faithful for register in result.rounding)
    assert result.verdict is Verdict.DIFFERENT
