"""Recipes: read strictly, every wrong key named."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from sast_compile.errors import BadFile, CompileError
from sast_compile.training.recipe import Hardware, Recipe, controls, read_recipe, recipe_from_toml

GOOD = """
dataset = "digits"
seed = 0
epochs = 40
batch = 64
learning_rate = 4e-3
rho = 0.05
"""


def test_a_good_recipe_is_a_frozen_value() -> None:
    recipe = recipe_from_toml(GOOD, "recipe.toml")
    assert recipe == Recipe(
        dataset="digits", seed=0, epochs=40, batch=64, learning_rate=4e-3, rho=0.05
    )
    with pytest.raises(AttributeError):
        recipe.rho = 1.0  # type: ignore[misc]


def test_the_text_comes_with_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert read_recipe(path) == (recipe_from_toml(GOOD, "here"), GOOD)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rho", "roh", r"field `r\w+`.*; hint: the keys are dataset, seed, epochs"),
        ("seed = 0", "", "missing required field `seed`"),
        ("0.05", '"0.05"', r"Expected `float`, got `str` - at `\$.rho`"),
        ("0.05", "-0.05", r"Expected `float` >= 0.* - at `\$.rho`"),
        ("0.05", "nan", r"\$.rho"),
        ("40", "0", r"Expected `int` >= 1 - at `\$.epochs`"),
        ("40", "true", r"Expected `int`, got `bool` - at `\$.epochs`"),
        ("40", "4.5", r"\$.epochs"),
        ("4e-3", "0", r"\$.learning_rate"),
        ("batch = 64", "batch = ", "is not TOML: Invalid value"),
        ("batch = 64", "epochs = 64", "is not TOML: Cannot overwrite a value"),
    ],
)
def test_a_wrong_key_or_value_is_named(old: str, new: str, message: str) -> None:
    with pytest.raises(BadFile, match="here.toml: .*" + message):
        recipe_from_toml(GOOD.replace(old, new), "here.toml")


def test_missing_and_foreign_files_are_one_message(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    with pytest.raises(BadFile, match="there is no such file"):
        read_recipe(path)
    path.write_bytes(b"\x89PNG\xff")
    with pytest.raises(BadFile, match="cannot be read"):
        read_recipe(path)
    with pytest.raises(BadFile, match="cannot be read"):
        read_recipe(tmp_path)


def test_controls_differ_only_in_what_their_name_says() -> None:
    recipe = replace(recipe_from_toml(GOOD, "here"), rho_warmup=0.5)
    made = controls(recipe)
    assert made["sast"] == recipe
    assert made["plain"] == replace(recipe, method="plain", rho=0.0, rho_warmup=0.0)
    assert made["compute_matched"] == replace(made["plain"], epochs=60)  # half of them climb
    assert made["annealed"] == replace(made["plain"], slope_end=10.0)
    assert made["straight_through"].method == "straight_through"
    with pytest.raises(CompileError, match="nothing to be compared with"):
        controls(made["plain"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('method = "plain"', "rho = 0.05 is SAM's"),
        ("activity_weight = 1.0", "belong together"),
        ("[augment]\nshift = -1", "shift"),
    ],
)
def test_what_contradicts_itself_is_refused(more: str, message: str) -> None:
    with pytest.raises(BadFile, match=message):
        recipe_from_toml(GOOD + more, "here.toml")


def test_a_recipe_without_hardware_is_hashed_as_ever_and_may_be_sent_to_a_process() -> None:
    recipe = recipe_from_toml(GOOD, "here")
    assert b"hardware" not in msgspec.json.encode(recipe)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert not pickle.loads(pickle.dumps(recipe)).hardware


def test_hardware_is_a_table_of_its_own() -> None:
    recipe = recipe_from_toml(GOOD + '[hardware]\ntarget = "loihi2"\nbits = 4', "here")
    assert recipe.hardware == Hardware(target="loihi2", bits=4, epochs=10)
    assert controls(recipe)["compute_matched"].hardware == replace(recipe.hardware, epochs=20)
    for wrong in ("bits = 1", "bits = 9", "bits = 4\nbit = 3"):
        with pytest.raises(BadFile, match="hardware"):
            recipe_from_toml(GOOD + f'[hardware]\ntarget = "loihi2"\n{wrong}', "here")
