"""In which form the events of each input come, and where they are in the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sast_compile.backends.emulator.populations.widths import weight_bits
from sast_compile.ir.ops import Dense, Flatten, lookup
from sast_compile.ir.program import Program

Form: TypeAlias = Literal["dense", "sparse"]
ENTRIES: Mapping[Form, int] = {"dense": 1, "sparse": 2}  # arrays of the table


@dataclass(frozen=True)
class Given:
    """Where the events of one input are in the table: an array, or the two of a list."""

    entry: int
    form: Form
    as_list: bool = False  # whether all who hear it take the list itself


def given(program: Program, forms: Mapping[str, Form], recorded: set[str]) -> dict[str, Given]:
    """Every input's, in the program's order; ``recorded``: whose elements are wanted as well."""
    found: dict[str, Given] = {}
    entry = 0
    for name in program.inputs:
        form = forms[name]
        only = form == "sparse" and name not in recorded and _only_matrices(program, name)
        found[name] = Given(entry, form, only)
        entry += ENTRIES[form]
    return found


def _only_matrices(program: Program, name: str) -> bool:
    """Whether all who read ``name``, past every flatten, are matrices of narrow weights."""
    return all(
        _only_matrices(program, node.name)
        if isinstance(node.op, Flatten)
        else isinstance(node.op, Dense)
        and weight_bits(lookup(node.op.weight, program.consts).data) is not None
        for node in program.consumers(name)
    )
