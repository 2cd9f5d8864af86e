"""``--emit``: the compiled net in another tool's format, beside the .sast file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sast_compile.artifact import SUFFIX, Artifact, save_artifact
from sast_compile.backends.netx import net_bytes
from sast_compile.catalog import suggestion
from sast_compile.errors import CompileError
from sast_compile.files import write_whole
from sast_compile.ir.program import Program


class Emitter(NamedTuple):
    """Another format: the suffix of its files, and a program as the bytes of one."""

    suffix: str
    bytes_of: Callable[[Program], bytes]


EMITTERS = {"netx": Emitter(".net", net_bytes)}


def emitter_of(name: str | None, out: str | None, stop_after: str | None) -> Emitter | None:
    """The emitter that ``--emit`` names, if any; CompileError if the options do not fit it."""
    if name is None:
        for known, emitter in EMITTERS.items():
            if out is not None and out.lower().endswith(emitter.suffix):
                raise CompileError(
                    f"the compiled file is a {SUFFIX} file", where=out, hint=f"add --emit {known}"
                )
        return None
    if name not in EMITTERS:
        raise CompileError(f"unknown format {name!r}", hint=suggestion(name, EMITTERS))
    if stop_after is not None:
        raise CompileError("--emit needs the whole program: leave out --stop-after")
    return EMITTERS[name]


def write_all(
    artifact: Artifact, out: str | None, emitter: Emitter | None, model: str
) -> tuple[str, str | None]:
    """Where the .sast file and the emitted one were written; none of them if one does not fit.

    ``out`` names either of the two, the other lies beside it. Raises CompileError if the emitted
    file would replace the model.
    """
    path = out or artifact.default_name()
    if emitter is None:
        save_artifact(artifact, path)
        return path, None
    if path.lower().endswith(emitter.suffix):
        path = os.fspath(Path(path).with_suffix(SUFFIX))
    emitted = out if out and out != path else os.fspath(Path(path).with_suffix(emitter.suffix))
    if os.path.realpath(emitted) == os.path.realpath(model):
        raise CompileError("would replace the model", where=emitted, hint="name another with -o")
    data = emitter.bytes_of(artifact.program)
    save_artifact(artifact, path)
    write_whole(emitted, data)
    return path, emitted
