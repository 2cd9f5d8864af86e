"""The shipped digits model is what its folder, its file and its card say."""

from __future__ import annotations

import runpy
from pathlib import Path

import nir
import numpy as np
import pytest

pytest.importorskip("torch", reason="the model is a torch checkpoint: the torch extra")
pytest.importorskip("sklearn", reason="the digits come with scikit-learn: the data extra")

import torch

from sast_compile.contract import METADATA_KEY, contract_from_json
from sast_compile.data import dataset, load_dataset
from sast_compile.frontend.torch_to_nir import to_nir
from sast_compile.nn import hard, read_checkpoint
from sast_compile.training.measure import accuracy
from sast_compile.training.recipe import read_recipe

FOLDER = Path(__file__).parents[2] / "models" / "digits"


def test_the_file_holds_the_network_and_recipe_of_its_folder() -> None:
    checkpoint = read_checkpoint(FOLDER / "model.pt")
    recipe, text = read_recipe(FOLDER / "recipe.toml")
    assert checkpoint.network.description() == runpy.run_path(str(FOLDER / "model.py"))["network"]()
    assert checkpoint.provenance["recipe"] == text
    assert checkpoint.provenance["dataset"] == recipe.dataset
    data = dataset(recipe.dataset)
    assert checkpoint.contract == checkpoint.network.contract(data.dt, data.encoding)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_accuracies_are_those_of_the_file_and_the_card(split: str) -> None:
    checkpoint = read_checkpoint(FOLDER / "model.pt")
    said, part = checkpoint.provenance[split], load_dataset("digits", split)
    smooth, swapped = checkpoint.network, hard(checkpoint.network).double()
    # another CPU may round one close decision of the smooth net another way
    assert accuracy(smooth, part) == pytest.approx(said["surrogate"], abs=1.5 / said["n"])
    assert accuracy(swapped, part) == pytest.approx(said["hard"], abs=0.5 / said["n"])
    assert said["n"] == len(part.labels)
    card = (FOLDER / "card.md").read_text(encoding="utf-8").replace("*", "")
    row = f"| {split} | {said['surrogate']:.2%} | {said['hard']:.2%} | {said['n']} |"
    assert row.replace("%", " %") in card


def test_the_hard_network_decides_at_least_95_percent_and_every_layer_spikes() -> None:
    swapped = hard(read_checkpoint(FOLDER / "model.pt").network).double()
    test = load_dataset("digits", "test")
    assert accuracy(swapped, test) >= 0.95
    spikes = swapped.spikes(torch.tensor(test.events))
    assert all(layer.sum() > 1000 for layer in spikes.values())


def test_the_nir_file_is_the_checkpoint() -> None:
    checkpoint = read_checkpoint(FOLDER / "model.pt")
    graph, same = nir.read(FOLDER / "model.nir"), to_nir(checkpoint.network, checkpoint.contract)
    stated = contract_from_json(graph.metadata[METADATA_KEY], "model.nir")  # of version 1
    assert stated == contract_from_json(same.metadata[METADATA_KEY], "the checkpoint")
    assert graph.edges == same.edges
    for name, node in same.nodes.items():
        for key, value in vars(node).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(getattr(graph.nodes[name], key), value)
