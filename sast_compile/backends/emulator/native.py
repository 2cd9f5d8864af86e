"""LLVM IR as a function of this machine, through llvmlite: compiled once, kept on disk.

The object code is kept in the user's cache folder (`$SAST_CACHE`) under the hash of the IR, of the
processor with its features and of LLVM's version. A cache that cannot be written is done without.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import binding

from sast_compile.backends.emulator.processor import Processor
from sast_compile.errors import CompileError
from sast_compile.files import cache_folder, write_whole

KEPT = 200  # object files
LEVEL = 1  # of optimisation: 3 takes twice as long and gains nothing here


def compiled(text: str, processor: Processor) -> Callable[..., int]:
    """The function ``run`` of the module ``text``; it may be called from several threads."""
    _initialized()
    machine, kept = _machine(processor), _Kept(text, processor)
    module = binding.parse_assembly(text)
    if not kept.path.exists():
        _optimized(module, machine)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.set_object_cache(kept.stored, kept.found)
    engine.finalize_object()
    address = engine.get_function_address("run")
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    kind = ctypes.CFUNCTYPE(number, pointer, number, number, number, pointer, number, number)
    function: Any = kind(address)
    function.engine = engine  # lives as long as the function
    return function  # type: ignore[no-any-return]


class _Kept:
    """The object code of one module on disk."""

    def __init__(self, text: str, processor: Processor) -> None:
        parts = (text, processor.name, processor.features, llvmlite.__version__)
        self.key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        self.path = cache_folder() / "emulator" / f"{self.key}.o"

    def stored(self, module: Any, data: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, data)
            _bounded(self.path.parent)
        except (OSError, CompileError):
            return  # a read-only home costs time, not the result

    def found(self, module: Any) -> bytes | None:
        try:
            return self.path.read_bytes()
        except OSError:
            return None


def _bounded(folder: Path) -> None:
    """No more than `KEPT` files: those that were used longest ago go."""
    files = sorted(folder.glob("*.o"), key=lambda p: p.stat().st_mtime)
    for path in files[:-KEPT]:
        path.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _initialized() -> None:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


def _machine(processor: Processor) -> Any:
    triple = processor.triple or binding.get_default_triple()
    target = binding.Target.from_triple(triple)
    return target.create_target_machine(cpu=processor.name, features=processor.features, opt=3)


def _optimized(module: Any, machine: Any) -> None:
    """What is emitted is vectors already: to look for more of them would only take time."""
    options = binding.create_pipeline_tuning_options(speed_level=LEVEL)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
