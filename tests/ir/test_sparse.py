"""Sparse events: the same spikes as the array they were made of, and refused where damaged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from program_strategies import INTEGER_FAMILIES, events, programs

from sast_compile.backends import reference
from sast_compile.errors import CompileError
from sast_compile.ir.events import busiest
from sast_compile.ir.ops import Input
from sast_compile.ir.program import Node, Program
from sast_compile.ir.sparse import (
    SparseEvents,
    check_sparse,
    from_dense,
    from_spikes,
    one_after_another,
)

BITS = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=3, max_dims=5, max_side=4),
                     elements=st.integers(0, 1))  # fmt: skip


def rows_by_hand(dense: np.ndarray) -> list[list[int]]:
    """What the definition says: for every step of every sample, where the ones are."""
    return [
        [at for at, value in enumerate(step.ravel()) if value]
        for sample in dense
        for step in sample
    ]


def rows_of(sparse: SparseEvents) -> list[list[int]]:
    ends = zip(sparse.first[:-1], sparse.first[1:], strict=True)
    return [sparse.index[begin:end].tolist() for begin, end in ends]


@settings(max_examples=60, deadline=None)
@given(dense=BITS, data=st.data())
def test_dense_events_come_back(dense: np.ndarray, data: Any) -> None:
    sparse = check_sparse(from_dense(dense), "x")
    assert rows_of(sparse) == rows_by_hand(dense)
    np.testing.assert_array_equal(sparse.to_dense(), dense)
    np.testing.assert_array_equal(sparse.counts(), dense.sum(axis=(0, 1)))
    assert sparse.busiest() == dense.reshape(*dense.shape[:2], -1).mean(axis=2).max()
    begin = data.draw(st.integers(0, len(dense)))
    end = data.draw(st.integers(begin, len(dense)))
    np.testing.assert_array_equal(check_sparse(sparse.cut(begin, end), "x").to_dense(),
                                  dense[begin:end])  # fmt: skip
    parts = [sparse.cut(0, begin), sparse.cut(begin, len(dense))]
    np.testing.assert_array_equal(one_after_another(parts).to_dense(), dense)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_spikes_in_any_order_and_twice(data: Any) -> None:
    places = data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3))))
    row, index = (np.array([p[i] for p in places], dtype=np.int64) for i in range(2))
    dense = np.zeros((6, 4), np.uint8)
    for place in places:
        dense[place] = 1
    sparse = check_sparse(from_spikes((2, 2), 3, 2, row, index), "x")
    np.testing.assert_array_equal(sparse.to_dense(), dense.reshape(3, 2, 2, 2))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_programs_give_the_same(data: Any) -> None:
    program = data.draw(programs(families=INTEGER_FAMILIES))
    batch = data.draw(events(program))
    spikes = {name: np.asarray(one) > 0 for name, one in batch.items()}
    sparse = {name: from_dense(one) for name, one in spikes.items()}
    found = reference.run(program, sparse, "states")
    wanted = reference.run(program, spikes, "states")
    for name, layer in wanted.layers.items():
        np.testing.assert_array_equal(found[name].spikes, layer.spikes)
        for state, values in layer.states.items():
            np.testing.assert_array_equal(found[name].states[state], values)
    assert busiest(program, sparse) == busiest(program, spikes)


GOOD = SparseEvents((4,), 2, 2, np.array([0, 2, 2, 3, 5]), np.array([0, 3, 1, 0, 2], np.int32))


def test_the_good_one_passes() -> None:
    check_sparse(GOOD, "x")
    assert rows_of(GOOD) == [[0, 3], [], [1], [0, 2]]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"index": np.array([3, 0, 1, 0, 2], np.int32)}, "do not rise in sample 0, step 0"),
        ({"index": np.array([0, 3, 1, 2, 2], np.int32)}, "do not rise in sample 1, step 1"),
        ({"index": np.array([0, 4, 1, 0, 2], np.int32)}, "0..4, the input has 4"),
        ({"index": np.array([-1, 3, 1, 0, 2], np.int32)}, "-1..3"),
        ({"index": np.array([0, 3, 1, 0, 2])}, "int32"),
        ({"index": GOOD.index[None]}, "2-d"),
        ({"first": np.array([0, 2, 1, 3, 5])}, "rise from 0 to 5"),
        ({"first": np.array([0, 2, 2, 3, 4])}, "rise from 0 to 5"),
        ({"first": np.array([1, 2, 2, 3, 5])}, "rise from 0 to 5"),
        ({"first": np.array([0, 2, 2, 5])}, "5 row starts, not 4"),
        ({"first": GOOD.first.astype(np.int32)}, "int64"),
    ],
)
def test_damaged_ones_are_refused(damage: dict[str, Any], words: str) -> None:
    with pytest.raises(CompileError, match=words) as refused:
        check_sparse(replace(GOOD, **damage), "eye")
    assert refused.value.where == "eye"


def test_counts_are_no_sparse_events() -> None:
    with pytest.raises(CompileError, match=r"0\.\.2 are not 0 and 1"):
        from_dense(np.array([[[0, 2, 1]]]))


def test_parts_of_one_kind_only() -> None:
    with pytest.raises(CompileError, match="shape or steps"):
        one_after_another([GOOD, replace(GOOD, shape=(2, 2))])


def eye(size: int, signed: bool = False) -> Program:
    return Program("p", (Node("x", Input(shape=(size,), bits=1, signed=signed)),), ("x",))


def test_a_program_refuses_what_does_not_fit() -> None:
    with pytest.raises(CompileError, match=r"\(2, 2, 4\) do not fit"):
        reference.run(eye(3), GOOD)
    fitting = eye(4)
    assert reference.run(fitting, GOOD)["x"].spikes.sum() == 5
    with pytest.raises(CompileError, match="do not rise"):
        reference.run(fitting, replace(GOOD, index=GOOD.index[::-1].copy()))
    with pytest.raises(CompileError, match=r"0\.\.1 are not integers of s1"):
        reference.run(eye(4, signed=True), GOOD)
    with pytest.raises(CompileError, match=r"\(0, 2, 4\) do not fit"):
        reference.run(fitting, GOOD.cut(0, 0))
