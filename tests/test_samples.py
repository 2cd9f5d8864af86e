"""Where the events come from: the data set a model names, else random ones, and that is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from float_programs import FloatLayer, float_chain

from sast_compile import samples
from sast_compile.contract import Contract, Encoding
from sast_compile.errors import CompileError
from sast_compile.samples import RANDOM_DENSITY, RANDOM_STEPS, random_samples, samples_for

PROGRAM = float_chain(FloatLayer(np.eye(7)))
ENCODING = Encoding(steps=9, axes="C", values="binary", bin="1 ms")


def contract(encoding: Encoding | None = None) -> Contract:
    return Contract(
        dt=1e-3, leak="euler", reset="zero", reset_when="after_fire", compare=">", encoding=encoding
    )


@pytest.mark.parametrize(("encoding", "steps"), [(None, RANDOM_STEPS), (ENCODING, 9)])
def test_random_events_fit_the_program_and_come_again(
    encoding: Encoding | None, steps: int
) -> None:
    first = random_samples(PROGRAM, contract(encoding), 40, "because")
    again = random_samples(PROGRAM, contract(encoding), 40, "because")
    assert first.events.shape == (40, steps, 7)
    assert first.events.dtype == np.uint8
    assert np.array_equal(first.events, again.events)
    assert first.events.mean() == pytest.approx(RANDOM_DENSITY, abs=0.02)
    assert first.labels is None
    assert first.origin == "40 random samples, density 0.1 (because)"


@pytest.mark.parametrize(("count", "made"), [(None, 16), (5, 5)])
@pytest.mark.parametrize("dataset", [None, "no such set"])
def test_a_model_without_a_known_data_set_gets_random_events(
    dataset: str | None, count: int | None, made: int
) -> None:
    found = samples_for(PROGRAM, contract(), dataset, count)
    assert len(found.events) == made
    assert "the model names no known data set" in found.origin


def test_a_data_set_that_cannot_be_loaded_is_replaced_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(*_: Any) -> Any:
        raise CompileError("scikit-learn is not installed", hint="pip install sast-compile[data]")

    monkeypatch.setattr(samples, "open_dataset", absent)
    found = samples_for(PROGRAM, contract(), "digits", 3)
    assert found.events.shape == (3, RANDOM_STEPS, 7)
    assert "scikit-learn is not installed" in found.origin


def test_the_first_samples_of_a_data_set_with_their_labels() -> None:
    pytest.importorskip("sklearn", reason="the digits: the data extra")
    some = samples_for(PROGRAM, contract(), "digits", 5)
    every = samples_for(PROGRAM, contract(), "digits", None)
    assert some.events.shape[0] == 5
    assert some.labels is not None
    assert every.labels is not None
    assert np.array_equal(some.events, every.events[:5])
    assert np.array_equal(some.labels, every.labels[:5])
    assert some.origin == "digits, test split, first 5"
    more = samples_for(PROGRAM, contract(), "digits", 10**6)
    assert len(more.events) == len(every.events)
    train = samples_for(PROGRAM, contract(), "digits", 5, split="train")
    assert train.origin == "digits, train split, first 5"
    assert not np.array_equal(train.events, some.events)
