"""LLVM IR as a function of this machine, through llvmlite: compiled once, kept on disk.

The object code is kept (`objects.py`) under the hash of the IR, of the processor with its features
and of LLVM's version.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import llvmlite
from llvmlite import binding

from sast_compile.backends.emulator.machine import objects
from sast_compile.backends.emulator.machine.processor import Processor

LEVEL = 1  # of optimisation: 3 takes twice as long and gains nothing here


def compiled(text: str, processor: Processor) -> Callable[..., int]:
    """The function ``run`` of the module ``text``; it may be called from several threads."""
    _initialized()
    machine, key = _machine(processor), _key(text, processor)
    module, kept = binding.parse_assembly(text), objects.load(key)
    if kept is None:
        _optimized(module, machine)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.set_object_cache(lambda _, code: objects.store(key, code), lambda _: kept)
    engine.finalize_object()
    address = engine.get_function_address("run")
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    kind = ctypes.CFUNCTYPE(number, pointer, number, number, number, pointer, number, number)
    function: Any = kind(address)
    function.engine = engine  # lives as long as the function
    return function  # type: ignore[no-any-return]


def assembled(text: str, processor: Processor) -> bytes:
    """The object code of the module ``text``, for any machine that LLVM knows."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module, machine = binding.parse_assembly(text), _machine(processor)
    _optimized(module, machine)
    return bytes(machine.emit_object(module))


def _key(text: str, processor: Processor) -> str:
    """What the object code depends on."""
    parts = (text, repr(processor), llvmlite.__version__, str(LEVEL))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


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
