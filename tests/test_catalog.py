"""A plain name is ours, a path is the user's; both are found wherever the package lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from sast_compile import catalog
from sast_compile.catalog import locate_target, model_names, shipped, suggestion, target_names
from sast_compile.errors import CompileError

ROOT = Path(__file__).parents[1]


def test_a_checkout_holds_targets_and_models_beside_the_package() -> None:
    assert shipped("targets") == ROOT / "targets"
    assert shipped("models") == ROOT / "models"
    assert "loihi2" in target_names()
    assert "digits" in model_names()
    assert all(locate_target(name).is_file() for name in target_names())


def test_a_wheel_holds_them_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sast_compile"
    (package / "targets").mkdir(parents=True)
    (package / "targets" / "mychip.toml").touch()
    (tmp_path / "targets").mkdir()  # someone else's folder in site-packages
    monkeypatch.setattr(catalog, "PACKAGE", package)
    assert target_names() == ["mychip"]
    assert locate_target("mychip") == package / "targets" / "mychip.toml"


def test_an_empty_installation_lists_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "PACKAGE", tmp_path / "sast_compile")
    assert target_names() == []
    assert model_names() == []


@pytest.mark.parametrize("path", ["./loihi2", "folder/loihi2", "loihi2.toml", "/a b/ü.toml"])
def test_a_path_is_the_users(path: str) -> None:
    assert locate_target(path) == Path(path)


def test_a_file_called_as_a_shipped_target_does_not_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loihi2").touch()
    monkeypatch.chdir(tmp_path)
    assert locate_target("loihi2").parent == ROOT / "targets"


@pytest.mark.parametrize("name", ["", "loihi", "Loihi2", "..", "xyz"])
def test_an_unknown_name_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(CompileError, match="unknown target") as caught:
        locate_target(name)
    assert "loihi2" in str(caught.value)
    assert ".toml" in str(caught.value)


def test_the_nearest_name_is_suggested_or_all_are_listed() -> None:
    known = ("verify", "run", "inspect")
    assert suggestion("verfy", known) == "did you mean `verify`?"
    assert suggestion("qqq", known) == "known: verify, run, inspect"
