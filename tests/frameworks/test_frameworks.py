"""The table of docs/frameworks.md: it says what is stored, and what is stored is found again."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from frameworks.ask import FRAMEWORKS, ROOT, environment
from frameworks.both_ways import read_all, read_row, written_rows, wrong_rows
from frameworks.cases import CASES, Case
from frameworks.nets import dense
from frameworks.results import Row, stored
from frameworks.table import SECTION, same_because, table

RESULTS = stored()
ENOUGH = 10_000  # spikes behind a cell that is called exact


def present(framework: str) -> None:
    if environment(framework) is None:
        pytest.skip(f"{framework} DID NOT RUN: it has no environment; run `make frameworks`")


def cases_of(framework: str) -> list[Case]:
    return [case for case in CASES if case.framework == framework]


def test_the_page_is_the_stored_results() -> None:
    page = (ROOT / "docs/frameworks.md").read_text()
    begin, end = f"<!-- {SECTION} -->\n", f"\n<!-- end of {SECTION} -->"
    assert page.split(begin)[1].split(end)[0] == table(RESULTS).strip()


def test_every_case_has_a_cell() -> None:
    keys = {row.key for row in RESULTS.rows}
    for case in CASES:
        assert (case.framework, "read", case.neuron.name, case.layers, case.option) in keys


@pytest.mark.parametrize("row", RESULTS.rows, ids=lambda row: "-".join(row.key))
def test_exact_means_enough_spikes_and_none_that_differs(row: Row) -> None:
    if row.outcome in ("exact", "told"):
        assert row.spikes >= ENOUGH
        assert row.differing == 0
        assert not row.said
        assert bool(row.told) == (row.outcome == "told")
    elif row.outcome == "lost":
        assert row.lost
        assert row.differing
    else:
        assert row.outcome == "refused"
        assert row.said


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_wrong_contract_is_seen(framework: str) -> None:
    """Another contract changes spikes, or is the same function of these files, with a reason."""
    changes = {w.change: w for w in RESULTS.wrong if w.framework == framework}
    for choice in ("leak", "drive", "compare", "spikes", "reset", "dt", "synapse", "preset"):
        assert any(change.startswith(choice) for change in changes)
    for change, wrong in changes.items():
        assert bool(wrong.differing) != bool(same_because(framework, change)), change


def test_each_choice_is_seen_in_some_framework() -> None:
    seen = {wrong.change for wrong in RESULTS.wrong if wrong.differing}
    assert seen == {wrong.change for wrong in RESULTS.wrong}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_net_of_each_kind_is_exact_again(framework: str) -> None:
    """The first case of each node, and a net of ours that the framework reads."""
    present(framework)
    firsts = {case.node: case for case in reversed(cases_of(framework))}
    for asked in read_all(framework, list(firsts.values()), nets=1):
        row = read_row(asked)
        assert (row.outcome, row.differing) == ("exact", 0), row
        assert row.spikes > ENOUGH / 10
    found = {row.key: row for row in written_rows(framework, 1, shapes=(dense,))}
    wanted = {row.key: row for row in RESULTS.rows if row.key in found}
    assert {k: r.outcome for k, r in found.items()} == {k: r.outcome for k, r in wanted.items()}


def settled(row: Row) -> Row:
    """Without an importer's words: nirtorch walks over sets, and fails now here and now there."""
    return replace(row, said="") if row.said.startswith("its importer") else row


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_all_that_is_stored_is_found_again(framework: str) -> None:
    present(framework)
    asked = read_all(framework, cases_of(framework))
    found = [*map(read_row, asked), *written_rows(framework)]
    assert [*map(settled, found)] == [*map(settled, RESULTS.of(framework))]
    assert wrong_rows(framework, asked) == [w for w in RESULTS.wrong if w.framework == framework]


def test_a_spike_too_many_is_seen() -> None:
    """The comparison itself fails where one spike of a framework's is turned over."""
    present("spikingjelly")
    (case, own, plain), *_ = read_all("spikingjelly", cases_of("spikingjelly")[:1], nets=1)
    net, answer = own[0]
    place = np.unravel_index(1234, answer.spikes[0].shape)
    answer.spikes[0][place] = 1 - answer.spikes[0][place]
    row = read_row((case, [(net, answer)], plain))
    assert (row.outcome, row.differing) == ("lost", 1)
