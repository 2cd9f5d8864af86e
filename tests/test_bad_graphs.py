"""A NIR graph or a contract that cannot be compiled names its node, the numbers and the way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from command_line import (
    Command,
    assert_refused,
    assert_refused_in_python,
    in_process,
)
from small_nets import EDGES, contract, graph, lif, write_graph

from sast_compile.artifact import load_artifact
from sast_compile.compile import compile_model
from sast_compile.contract import Discretised, Encoding
from sast_compile.errors import CompileError


@pytest.fixture
def sast(capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(capsys)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Graph:
    """A spoilt graph and what the message says of it."""

    words: list[str]
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=lambda: EDGES)
    stated: Any = field(default_factory=contract)


CUBA = nir.CubaLIF(*(np.full(5, x) for x in (0.01, 0.02, 1.0, 0.0, 1.0)), v_reset=np.zeros(5))
POOL = nir.SumPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.zeros(2))
GONE: dict[str, None] = dict.fromkeys(("fc1", "lif1", "fc2", "lif2"))
SUPPORTED = (
    "supported: Input, Output, NIRGraph, Linear, Affine, Conv1d, Conv2d, SumPool2d, AvgPool2d"
)
GRAPHS = {
    "NaN weight": Graph(
        ["fc1: weight holds 30 NaN or Inf of 30"], {"fc1": nir.Linear(np.full((5, 6), np.nan))}
    ),
    "Inf bias": Graph(
        ["fc1: bias holds 5 NaN or Inf of 5"],
        {"fc1": nir.Affine(np.ones((5, 6)), np.full(5, np.inf))},
    ),
    "NaN threshold": Graph(
        ["lif1: v_threshold holds 5 NaN"], {"lif1": lif(5, v_threshold=np.full(5, np.nan))}
    ),
    "tiny weights": Graph(
        ["fc1: weight of magnitude 1e-308 lies outside 1e-30..1e+30", "other units"],
        {"fc1": nir.Linear(np.full((5, 6), 1e-308))},
    ),
    "a huge threshold": Graph(
        ["lif1: v_threshold of magnitude 1e+300"], {"lif1": lif(5, v_threshold=np.full(5, 1e300))}
    ),
    "complex weight": Graph(
        ["fc1: weight is no array of real numbers but of complex128"],
        {"fc1": nir.Linear(np.ones((5, 6), complex))},
    ),
    "weight does not fit its source": Graph(
        ["fc1: weight (5, 7) does not fit an input of shape (6,)"],
        {"fc1": nir.Linear(np.ones((5, 7)))},
    ),
    "weight does not fit its neurons": Graph(
        ["lif1: a current of shape (4,) does not fit the population of shape (5,)"],
        {"fc1": nir.Linear(np.ones((4, 6)))},
    ),
    "bias does not fit": Graph(
        ["fc1: bias (4,) does not fit 5 outputs"],
        {"fc1": nir.Affine(np.ones((5, 6)), np.ones(4))},
    ),
    "negative threshold": Graph(
        ["lif1: v_threshold = -1 is not positive", "hint"],
        {"lif1": lif(5, v_threshold=np.array([1, 1, -1.0, 1, 1]))},
    ),
    "zero threshold": Graph(
        ["lif1: v_threshold = 0 is not positive"], {"lif1": lif(5, v_threshold=np.zeros(5))}
    ),
    "negative tau": Graph(
        ["lif1: time constant tau = -0.01 s is not positive", "seconds"],
        {"lif1": lif(5, tau=np.full(5, -0.01))},
    ),
    "zero tau": Graph(["lif1: time constant tau = 0 s"], {"lif1": lif(5, tau=np.zeros(5))}),
    "dt > tau": Graph(
        ["lif1: dt = 0.001 s exceeds tau = 0.0005 s", "smaller dt, or the exact leak"],
        {"lif1": lif(5, tau=np.full(5, 5e-4))},
    ),
    "v_reset": Graph(["lif1: v_reset = 0.5", "hint"], {"lif1": lif(5, v_reset=np.full(5, 0.5))}),
    "v_leak": Graph(
        ["lif2: v_reset = 0 is not v_leak = -0.2", "hint: train with v_reset = v_leak"],
        {"lif2": lif(3, v_leak=np.array([0, -0.2, 0]))}
    ),
    "a threshold below rest": Graph(
        ["lif1: v_threshold - v_leak = -0.5 is not positive", "hint"],
        {"lif1": lif(5, v_leak=np.full(5, 1.5), v_reset=np.full(5, 1.5))},
    ),
    "a biased synaptic current": Graph(
        ["lif1: a bias reaches it through its synaptic current", "train without this bias"],
        {"fc1": nir.Affine(np.ones((5, 6)), np.ones(5)), "lif1": CUBA},
    ),
    "a readout that is heard": Graph(
        ["fc2: reads lif1 (I), whose voltage is no spike", "a population that fires"],
        {"lif1": nir.I(np.ones(5))},
    ),
    "a delay between two steps": Graph(
        ["late: delay 0.0025 s is 2.5 steps of dt = 0.001 s", "delays of whole steps"],
        {"late": nir.Delay(np.full(6, 0.0025))},
        [("input", "late"), ("late", "fc1"), *EDGES[1:]],
    ),
    "a negative delay": Graph(
        ["late: delay -0.001 s is negative"],
        {"late": nir.Delay(np.full(6, -0.001))},
        [("input", "late"), ("late", "fc1"), *EDGES[1:]],
    ),
    "a bias that is delayed": Graph(
        ["late: delays a bias"],
        {"fc1": nir.Affine(np.ones((5, 6)), np.ones(5)), "late": nir.Delay(np.full(5, 0.001))},
        [("input", "fc1"), ("fc1", "late"), ("late", "lif1"), *EDGES[2:]],
    ),
    "a pool of a row": Graph(
        ["pool: a SumPool2d on an input of shape (6,), not (C, Y, X)"],
        {"pool": POOL},
        [("input", "pool"), ("pool", "fc1"), *EDGES[1:]],
    ),
    "a loop of one's own": Graph(
        ["no input reaches this node"],
        {"lif3": lif(5), "fc3": nir.Linear(np.ones((5, 5))), "fc4": nir.Linear(np.ones((5, 5)))},
        [*EDGES, ("lif3", "fc3"), ("fc3", "lif3"), ("lif3", "fc4"), ("fc4", "lif1")],
    ),
    "a loop without a population": Graph(
        ["back: a loop without a population: back -> fc1 -> back", "hint"],
        {"fc1": nir.Linear(np.ones((5, 6))), "back": nir.Linear(np.ones((6, 5)))},
        [*EDGES, ("fc1", "back"), ("back", "fc1")],
    ),
    "an edge to nowhere": Graph(["('lif2', 'ghost')"], {}, [*EDGES, ("lif2", "ghost")]),
    "an edge from nowhere": Graph(["('ghost', 'lif2')"], {}, [*EDGES, ("ghost", "lif2")]),
    "an edge twice": Graph(["fc1: the edge input -> fc1 is there twice"], {}, [*EDGES, EDGES[0]]),
    "a projection that feeds nothing": Graph(
        ["side: this node feeds nothing", "hint"],
        {"side": nir.Linear(np.ones((2, 5)))},
        [*EDGES, ("lif1", "side")],
    ),
    "an output of the input": Graph(
        ["output: must read one population, not input (Input)", "an LI reads a current out"],
        {"output": nir.Output(np.array([6])), **GONE},
        [("input", "output")],
    ),
    "a name with a space": Graph(
        ["'my layer'", "letters, digits and _ . -", "rename"],
        {"fc1": None, "my layer": nir.Linear(np.ones((5, 6)))},
        [("input", "my layer"), ("my layer", "lif1"), *EDGES[2:]],
    ),
    "a name with a newline": Graph(
        [r"'a\nb'", "rename"],
        {"fc1": None, "a\nb": nir.Linear(np.ones((5, 6)))},
        [("input", "a\nb"), ("a\nb", "lif1"), *EDGES[2:]],
    ),
    "a name of the text form": Graph(
        ["return: a node cannot have this name"],
        {"fc1": None, "return": nir.Linear(np.ones((5, 6)))},
        [("input", "return"), ("return", "lif1"), *EDGES[2:]],
    ),
    "no contract": Graph(
        ["NIR does not say dt", "carries no contract", "--contract snntorch|norse|", "--dt"],
        stated=None,
    ),
    "contract is no JSON": Graph(["net.nir: the discretisation contract is malformed"], stated="{"),
    "contract lacks a key": Graph(
        ["net.nir", "missing required field `leak`"], stated='{"version":1,"dt":0.001}'
    ),
    "contract is newer": Graph(
        ["net.nir: contract version 9 is none of the 1 to 2 that this release reads", "update"],
        stated='{"version":9}',
    ),
    "contract with leak > 1": Graph(
        ["net.nir, contract, lif1: leak factor alpha = 1.5 lies outside [0, 1]"],
        stated=contract().to_json().replace('"neurons":{}', '"neurons":{"lif1":{"alpha":1.5}}'),
    ),
    "contract against tau": Graph(
        ["lif1: the contract says alpha = 0.5", "dt = 0.001 s give 0.9"],
        stated=contract(neurons={"lif1": Discretised(0.5)}),
    ),
    "contract against r": Graph(
        ["lif2: the contract says gain = 1.0", "give 2"],
        {"lif2": lif(3, r=np.full(3, 20.0))},
        stated=contract(neurons={"lif2": Discretised(0.9)}),
    ),
    "contract of other neurons": Graph(
        ["contract: states neuron 'lif9', which the graph lacks"],
        stated=contract(neurons={"lif9": Discretised(0.9)}),
    ),
    "contract of other axes": Graph(
        ["input: the contract's axes 'PYX' do not fit the shape (6,)"],
        stated=contract(encoding=Encoding(steps=20, axes="PYX", values="binary", bin="1 ms")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GRAPHS)
def test_graphs(sast: Command, here: Path, case: str) -> None:
    spoilt = GRAPHS[case]
    path = write_graph(here / "net.nir", graph(spoilt.stated, spoilt.edges, **spoilt.nodes))
    assert_refused(sast, [path.name], spoilt.words)
    assert_refused_in_python(path, spoilt.words)


def test_a_graph_without_an_output_node() -> None:
    from sast_compile.frontend.nir_to_ir import to_program

    bare = graph(contract(), EDGES[:-1])
    del bare.nodes["output"]  # nir.read would add one
    with pytest.raises(CompileError, match=r"no Output node; hint: an edge from the last popul"):
        to_program(bare, contract(), "bare")
    side = graph(contract(), EDGES[:-1])
    side.nodes["other"] = nir.Output(np.array([5]))
    side.edges.append(("lif1", "other"))
    with pytest.raises(CompileError, match="lif2: this node feeds nothing"):
        to_program(side, contract(), "side")
    looped = graph(contract(), EDGES)
    for end, kind in (("input", "Input"), ("output", "Output")):
        nodes = {n: node for n, node in looped.nodes.items() if n != end}
        edges = [e for e in EDGES if end not in e]
        fed = [*edges, ("lif2", "fc1")] if end == "input" else [*edges, ("lif2", "fc2")]
        broken = nir.NIRGraph(nodes, fed, type_check=False)
        with pytest.raises(CompileError, match=f"no {kind} node"):
            to_program(broken, contract(), "broken")


def test_a_node_that_is_no_nir(sast: Command, here: Path) -> None:
    path = write_graph(here / "net.nir")
    with h5py.File(path, "r+") as file:
        del file["node/nodes/fc1/weight"]
    assert_refused(sast, [path.name], ["fc1: lacks its weight"])
    with h5py.File(path, "r+") as file:
        del file["node/nodes/fc1/type"]
        file["node/nodes/fc1/type"] = "Teapot"
    assert_refused(sast, [path.name], ["fc1: NIR node Teapot is not supported", "hint"])


def test_every_truncation_of_a_graph(here: Path) -> None:
    data = write_graph(here / "net.nir").read_bytes()
    for cut in range(1, len(data), 1499):
        (here / "cut.nir").write_bytes(data[:cut])
        assert_refused_in_python(here / "cut.nir", ["cut.nir: "])


def test_a_contract_that_is_named_compiles_the_same_program(sast: Command, here: Path) -> None:
    write_graph(here / "bare.nir", graph())
    (here / "mine.json").write_text(contract(encoding=None).to_json(), encoding="utf-8")
    write_graph(here / "stated.nir", graph(contract(encoding=None)))
    assert sast("bare.nir", "--contract", "sast", "--dt", "1e-3", "-o", "a.sast").code == 0
    assert sast("bare.nir", "--contract", "mine.json", "-o", "b.sast").code == 0
    assert sast("stated.nir", "-o", "c.sast").code == 0
    named, file, stated = (load_artifact(f"{x}.sast").program for x in "abc")
    assert named == file
    assert (named.nodes, dict(named.consts)) == (stated.nodes, dict(stated.consts))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--contract", "snn"], ["unknown contract 'snn'", "nir-exact, sast"]),
        (["--contract", "sast"], ["needs a time step", "--dt SECONDS"]),
        (["--contract", "sast", "--dt", "0"], ["dt = 0.0 s is not positive"]),
        (["--contract", "sast", "--dt", "-1"], ["dt = -1.0 s is not positive"]),
        (["--contract", "sast", "--dt", "nan"], ["dt = nan s is not positive"]),
        (["--contract", "sast", "--dt", "inf"], ["dt = inf s is not positive"]),
        (["--contract", "sast", "--dt", "1"], ["lif1: dt = 1 s exceeds tau = 0.01 s"]),
        (["--contract", "none.json"], ["none.json: there is no such file"]),
        (["--dt", "1e-3"], ["--dt needs --contract"]),
    ],
)
def test_contracts_that_are_named_wrongly(
    sast: Command, here: Path, options: list[str], words: list[str]
) -> None:
    write_graph(here / "bare.nir", graph())
    assert_refused(sast, ["bare.nir", *options], words)


def test_a_contract_against_the_one_in_the_file(sast: Command, here: Path) -> None:
    write_graph(here / "net.nir")
    words = ["net.nir: the file states its own contract"]
    assert_refused(sast, ["net.nir", "--contract", "nir-euler", "--dt", "1e-3"], words)


def test_biases_are_no_error_and_add_up_in_the_neuron_that_they_drive(here: Path) -> None:
    bias = np.linspace(-0.1, 0.3, 5)
    two = {"fc1": nir.Affine(np.ones((5, 6)), bias), "more": nir.Affine(np.eye(5, 6), bias)}
    edges = [*EDGES, ("input", "more"), ("more", "lif1")]
    path = write_graph(here / "net.nir", graph(contract(), edges, **two))
    compiled = compile_model(path)
    stored = compiled.source.program.consts["lif1.bias"].data
    assert np.allclose(stored, 2 * bias)  # the gain r dt/tau is 1
    assert compiled.artifact is not None
