"""sast-compile: from torch to a neuromorphic chip, with proof that both compute the same spikes.

::

    import sast_compile

    compiled = sast_compile.compile_model("models/digits/model.pt", target="loihi2", bits=8)
    sast_compile.save_artifact(compiled.artifact, "digits.loihi2.8b.sast")

    artifact = sast_compile.load_artifact("digits.loihi2.8b.sast")
    print(sast_compile.print_program(artifact.program))
    print(sast_compile.verify(artifact, samples=100).verdict)

Each name is imported when it is first used: `import sast_compile` itself loads no other package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sast_compile.artifact import Artifact, load_artifact, save_artifact
    from sast_compile.compile import compile_model
    from sast_compile.contract import Contract
    from sast_compile.errors import CompileError
    from sast_compile.frontend.neuron_maps import register_neuron
    from sast_compile.ir.program import Program
    from sast_compile.ir.text import parse_program, print_program
    from sast_compile.module_export import export
    from sast_compile.target import Target, load_target
    from sast_compile.verification import verify

from sast_compile.version import __version__ as __version__

__all__ = [
    "Artifact",
    "CompileError",
    "Contract",
    "Program",
    "Target",
    "compile_model",
    "export",
    "load_artifact",
    "load_target",
    "parse_program",
    "print_program",
    "register_neuron",
    "save_artifact",
    "verify",
]

_HOMES = {
    "Artifact": "artifact",
    "CompileError": "errors",
    "Contract": "contract",
    "Program": "ir.program",
    "Target": "target",
    "compile_model": "compile",
    "export": "module_export",
    "load_artifact": "artifact",
    "load_target": "target",
    "parse_program": "ir.text",
    "print_program": "ir.text",
    "register_neuron": "frontend.neuron_maps",
    "save_artifact": "artifact",
    "verify": "verification",
}


def __getattr__(name: str) -> object:
    """The public name ``name``, imported now and kept (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from sast_compile.errors import BackendUnavailable

        raise BackendUnavailable(
            f"{name} needs torch, which is not installed here",
            where=__name__,
            hint="pip install sast-compile[torch]",
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
