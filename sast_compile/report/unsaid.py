"""What a file of a framework cannot say, and what the framework's preset takes instead."""

from __future__ import annotations

from collections.abc import Sequence

from sast_compile.errors import CompileError
from sast_compile.files import read_whole
from sast_compile.frontend.exporters import contradiction, neurons_of
from sast_compile.frontend.nir_file import load_nir, stated_contract
from sast_compile.frontend.nir_kinds import kind_of
from sast_compile.losses import LOSSES
from sast_compile.presets import PRESETS, named_contract


def unsaid(path: str, name: str, dt: float | None, settings: Sequence[str]) -> tuple[str, ...]:
    """One sentence for each choice that the `.nir` at ``path`` leaves to the preset ``name``.

    Nothing for a file that states its own contract. First comes what the framework's exporter would
    never have written, if there is any.
    """
    if name not in PRESETS:
        return ()
    preset = PRESETS[name]
    try:
        loaded = load_nir(read_whole(path), path)
        if stated_contract(loaded.graph, path) is not None:
            return ()
        neurons = neurons_of(loaded.graph)
    except CompileError:
        return ()  # what is wrong with the file is among its problems
    set_ = {setting.partition("=")[0].rpartition(".")[2] for setting in settings}
    kinds = {kind_of(node) for node in neurons.values()}
    found = [
        f"this file cannot say {loss.what}; {preset.framework}'s default is {loss.default}"
        f" ({loss.otherwise})"
        for loss in LOSSES.get(name, ())
        if not set_ & set(loss.fields) and (not loss.kinds or kinds & set(loss.kinds))
    ]
    against = contradiction(neurons, name, named_contract(name, dt).dt)
    if against is not None:
        found.insert(0, f"not as {preset.framework} writes it: {against}")
    return tuple(found)
