"""The whole measurement of one model folder: runs, table, CSV, picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from sast_compile.data import dataset
from sast_compile.files import write_whole
from sast_compile.report.gap.picture import picture
from sast_compile.report.gap.plan import SAST, configurations, read_plan
from sast_compile.report.gap.runs import Job, Told, run_all
from sast_compile.report.gap.table import Study, csv_text, markdown
from sast_compile.report.section import write_section
from sast_compile.target import load_target
from sast_compile.training.folder import device_named, read_description
from sast_compile.training.recipe import read_recipe


def study_folder(
    folder: Path,
    out: Path,
    *,
    seeds: int = 5,
    rhos: Sequence[float] | None = None,
    epochs: int | None = None,
    targets: Sequence[str] = (),
    data: Path | None = None,
    device: str = "auto",
    processes: int = 1,
    told: Told = lambda run: None,
) -> Study:
    """The study of ``folder``; runs that are in ``out`` already are taken from there.

    ``rhos`` and ``targets``, if given, overrule the folder's gap.toml.
    """
    plan = read_plan(folder)
    plan = replace(plan, targets=tuple(targets)) if targets else plan
    for name in plan.targets:
        load_target(name)  # a mistake is told before anything is trained
    recipe, _ = read_recipe(folder / "recipe.toml")
    named = configurations(recipe, plan, plan.rhos if rhos is None else rhos, epochs)
    description, chosen = read_description(folder), device_named(device)
    jobs = [
        Job(name, replace(one, seed=recipe.seed + at), description, plan.targets, plan.bits,
            out / "runs", data, chosen)
        for at in range(seeds)
        for name, one in named.items()
    ]  # fmt: skip
    runs = run_all(jobs, processes, told)
    simulated = dataset(recipe.dataset, data).simulated
    return Study(
        folder.resolve().name, recipe.dataset, simulated, named[SAST].rho, plan, tuple(runs)
    )


def write_study(study: Study, out: Path) -> str:
    """gap.md, gap.csv and, with matplotlib, gap.png lie in ``out``; returns the markdown."""
    drawn = picture(study)
    if drawn is not None:
        write_whole(out / "gap.png", drawn)
    text = markdown(study, None if drawn is None else "gap.png")
    write_whole(out / "gap.csv", csv_text(study).encode())
    write_whole(out / "gap.md", text.encode())
    return text


def write_into(study: Study, document: Path) -> None:
    """The study's section in ``document``, its picture in the folder ``pictures`` beside it."""
    drawn, name = picture(study), f"gap_{study.model}.png"
    if drawn is not None:
        (document.parent / "pictures").mkdir(parents=True, exist_ok=True)
        write_whole(document.parent / "pictures" / name, drawn)
    text = markdown(study, None if drawn is None else f"pictures/{name}")
    write_section(document, f"gap: {study.model}", text)
