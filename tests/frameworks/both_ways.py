"""Files read and files written, framework by framework: the rows of the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from frameworks.ask import Answer, ask
from frameworks.cases import Case
from frameworks.compare import (
    NOTHING,
    Found,
    active,
    compared,
    contract_of,
    default_contract,
    other_presets,
    same_graph,
    spikes_that_differ,
    wrong_contracts,
)
from frameworks.nets import (
    Array,
    Net,
    Neuron,
    Shape,
    avg_pool,
    biased,
    conv_without_bias,
    dense,
    recurrent,
    sum_pool,
)
from frameworks.own_graphs import DT, graph_of
from frameworks.results import Row, Wrong
from sast_compile.backends import reference
from sast_compile.contract import Contract
from sast_compile.errors import CompileError
from sast_compile.frontend.nir_file import nir_bytes
from sast_compile.frontend.nir_readers import READERS, written_for
from sast_compile.frontend.nir_to_ir import to_program

NETS = 3
OWN = (("IF", 1.0), ("LIF", 1.0), ("CubaLIF", 0.5))
OWN_SHAPES: tuple[Shape, ...] = (dense, biased, recurrent, conv_without_bias, sum_pool, avg_pool)
GRADED = 0.5  # of the current, where a neuron fires several times in a step
Asked = tuple[Case, list[tuple[Net, Answer]], list[tuple[Net, Answer]]]


def read_all(framework: str, cases: Sequence[Case], nets: int = NETS) -> list[Asked]:
    """Every case with its nets and answers, and those of the same nets without what is lost."""
    seeds = range(nets)
    plan = [(case, [case.net(s) for s in seeds],
             [case.net(s, without_lost=True) for s in seeds] if case.lost else [])
            for case in cases]  # fmt: skip
    flat = [(net, None) for _, own, plain in plan for net in (*own, *plain)]
    with TemporaryDirectory() as folder:
        answers = iter(ask(framework, flat, Path(folder)))
    return [
        (case, [(net, next(answers)) for net in own], [(net, next(answers)) for net in plain])
        for case, own, plain in plan
    ]


def read_row(asked: Asked) -> Row:
    """What came of a framework's files."""
    case, own, plain = asked
    found, answers = NOTHING, [answer for _, answer in own]
    for net, answer in own:
        if answer.file is None:
            spikes = sum(int(s.sum()) for s in answer.spikes)
            stage = "its exporter" if answer.spikes else "its module, when it runs"
            found += Found(spikes, 0, 0, f"{stage}: {answer.refused}")
        else:
            found += _by_us(compared(net, answer.file, answer.spikes, contract_of(case)))
    if found.refused is None and not all(active(answer) for answer in answers):
        raise AssertionError(f"a population of {case} is silent, or never is")
    outcome = "refused" if found.refused else "lost" if found.differing else "exact"
    if outcome == "exact" and case.told:
        outcome = "told"
    if case.lost and not found.refused:
        _check_lost(case, answers, [answer for _, answer in plain])
    return Row(
        framework=case.framework,
        direction="read",
        node=case.node,
        made_of=case.neuron.name,
        layers=case.layers,
        option=case.option,
        outcome=outcome,
        nets=len(own),
        spikes=found.spikes,
        differing=found.differing,
        ties=found.ties,
        told=" ".join(f"{k}={v}" for k, v in case.told.items()),
        lost=", ".join(case.lost),
        said=found.refused or "",
        inferred=answers[0].inferred or "",
    )


def _by_us(found: Found) -> Found:
    said = found.refused and f"sast-compile: {found.refused}"
    return dataclasses.replace(found, refused=said)


def _check_lost(case: Case, own: Sequence[Answer], plain: Sequence[Answer]) -> None:
    """The files with and without an argument are the same, and the spikes are not."""
    for one, other in zip(own, plain, strict=True):
        assert one.file is not None, case
        assert other.file is not None, case
        assert same_graph(one.file, other.file), f"{case} is not lost"
    assert sum(
        spikes_that_differ(one.spikes, other.spikes) for one, other in zip(own, plain, strict=True)
    ), f"{case} changes no spike"


def wrong_rows(framework: str, asked: Sequence[Asked]) -> list[Wrong]:
    """Every wrong contract on the files that are exact, of one net each without a plane."""
    worst: dict[str, Wrong] = {}
    for case, own, _ in asked:
        net, answer = own[0]
        if answer.file is None or len(net.events.shape) > 3:
            continue
        right = contract_of(case)
        found = compared(net, answer.file, answer.spikes, right)
        if found.refused or found.differing:
            continue
        for change, contract in _others(framework, right):
            one = compared(net, answer.file, answer.spikes, contract)
            wrong = Wrong(framework=framework, change=change, differing=one.differing,
                          spikes=one.spikes, refused=one.refused is not None)  # fmt: skip
            if change not in worst or one.differing > worst[change].differing:
                worst[change] = wrong
    return list(worst.values())


def _others(framework: str, right: Contract) -> Iterator[tuple[str, Contract]]:
    yield from wrong_contracts(right).items()
    if right == default_contract(framework):
        for name, contract in other_presets(framework).items():
            yield f"preset {name}", contract


def written_rows(
    framework: str,
    nets: int = NETS,
    kinds: Sequence[tuple[str, float]] = OWN,
    shapes: Sequence[Shape] = OWN_SHAPES,
) -> list[Row]:
    """What the framework makes of our files, in the resets that it knows and in the others."""
    rows: list[Row] = []
    todo: list[tuple[Row, Net, bytes, Found, Array]] = []
    own = READERS[framework].contract
    contract = replace(own, dt=DT, drive="nir", synapse="nir")
    for kind, current in kinds:
        for shape in shapes:
            for seed in range(nets):
                scale = current * (GRADED if own.spikes > 1 else 1)
                net = shape(seed, Neuron(kind, {}, scale)).net({})
                row = _written_row(framework, kind, shape, contract)
                try:
                    graph = graph_of(net, kind, contract)
                    trace = reference.run(to_program(graph, contract, "own"), net.events)
                    data = nir_bytes(written_for(framework, graph, contract))
                except CompileError as error:
                    rows.append(replace(row, outcome="refused", said=f"sast-compile: {error}"))
                    break
                last = trace[list(trace.layers)[-1]]
                spikes = last.spikes
                ties = last.tally.ties if last.tally else 0
                todo.append((row, net, data, Found(int(spikes.sum()), 0, ties), spikes))
    with TemporaryDirectory() as folder:
        answers = ask(framework, [(net, data) for _, net, data, _, _ in todo], Path(folder))
    for (row, _, _, found, ours), answer in zip(todo, answers, strict=True):
        rows.append(_held(row, found, ours, answer))
    return _merged(rows)


def _written_row(framework: str, kind: str, shape: Shape, contract: Contract) -> Row:
    reset = f"reset {contract.reset}" + (", several spikes a step" if contract.spikes > 1 else "")
    return Row(framework=framework, direction="written", node=kind, made_of=kind,
               layers=shape.__name__.replace("_", " "), option=reset, outcome="exact", nets=1,
               spikes=0, differing=0, ties=0)  # fmt: skip


def _held(row: Row, found: Found, ours: Array, answer: Answer) -> Row:
    counted = replace(row, spikes=found.spikes, ties=found.ties)
    if answer.refused:
        return replace(counted, outcome="refused", said=f"its importer: {answer.refused}")
    (theirs,) = answer.spikes
    if theirs.shape != ours.shape:
        ends = f"what it made ends in a population of {theirs.shape[2:]}, not {ours.shape[2:]}"
        said = f"its importer: {ends}"
        return replace(counted, outcome="refused", said=said)
    differing = spikes_that_differ([theirs], [ours])
    return replace(counted, differing=differing, outcome="lost" if differing else "exact")


def _merged(rows: Sequence[Row]) -> list[Row]:
    """One row for the nets of a cell."""
    merged: dict[tuple[str, ...], Row] = {}
    for row in rows:
        known = merged.get(row.key)
        merged[row.key] = row if known is None else replace(
            known,
            nets=known.nets + row.nets,
            spikes=known.spikes + row.spikes,
            differing=known.differing + row.differing,
            ties=known.ties + row.ties,
            outcome=known.outcome if known.outcome != "exact" else row.outcome,
            said=known.said or row.said,
        )  # fmt: skip
    return list(merged.values())
