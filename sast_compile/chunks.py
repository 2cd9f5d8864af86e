"""Sets of samples in chunks, so that what a run takes in memory has a bound.

Only samples are divided, and no sample reaches another, so a chunk's size changes no value. Whoever
runs a chunk keeps its sums and lets its record go before the next one is made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from sast_compile.errors import CompileError
from sast_compile.execute import slow_because
from sast_compile.ir.ops import Conv2d, lookup
from sast_compile.ir.population import kept_as
from sast_compile.ir.program import Program
from sast_compile.ir.types import TensorType, storage
from sast_compile.samples import Samples
from sast_compile.trace import Record

Told: TypeAlias = Callable[[int], None]  # hears how many more samples are done
MAX_MEMORY = "2GiB"  # unless the user names another bound
UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMG]i?B|)")
OPTION = "--max-memory"


def bytes_of(text: str, option: str = OPTION) -> int:
    """The bytes that ``text`` names, like 2GiB or 500MB; CompileError if it names none."""
    found = BYTES.fullmatch(text.strip())
    if found is None or found[2] not in UNITS:
        units = ", ".join(filter(None, UNITS))
        raise CompileError(
            f"{text!r} is no size of memory", where=option, hint=f"a number of bytes, or of {units}"
        )
    return int(float(found[1]) * UNITS[found[2]])


def in_units(size: int) -> str:
    """``size`` bytes, as a person reads them."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "") if size >= UNITS[unit] or not unit)
    return f"{size / UNITS[unit]:.1f} {unit}" if unit else f"{size} bytes"


def chunks(samples: Samples, size: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of each chunk of ``size`` samples, the last one perhaps smaller."""
    for begin in range(0, samples.count, size):
        yield begin, min(begin + size, samples.count)


def chunk_size(samples: Samples, sample: int, most: int | None) -> int:
    """How many samples of ``sample`` bytes each (`sample_bytes`) a chunk of ``most`` bytes has.

    CompileError with the numbers if not even one fits. Where no one named a bound (None) it is
    `MAX_MEMORY`, and a larger sample goes by itself.
    """
    if most is None:
        return max(1, min((bytes_of(MAX_MEMORY) - samples.held) // sample, samples.count))
    size = (most - samples.held) // sample
    if size < 1:
        held = f" beside {in_units(samples.held)} of events in memory" if samples.held else ""
        raise CompileError(
            f"one sample takes {in_units(sample)}{held}; {in_units(most)} are allowed",
            where=OPTION,
            hint=f"at least {samples.held + sample} (bytes)"
            + (", or events from a .npy, of which only parts are read" if samples.held else ""),
        )
    return min(size, samples.count)


def fits_whole(samples: Samples, sample: int, most: int, what: str) -> None:
    """CompileError with the numbers unless all samples fit into ``most`` bytes at once."""
    size = chunk_size(samples, sample, most)
    if size < samples.count:
        needed = samples.held + samples.count * sample
        raise CompileError(
            f"{what} of {samples.count:,} samples takes {in_units(needed)}; {in_units(most)} are "
            "allowed",
            where=OPTION,
            hint=f"--samples {size}, --record outputs, or {OPTION} {needed}",
        )


def sample_bytes(
    program: Program, samples: Samples, record: Record, interpreted: bool = False
) -> int:
    """What one sample takes at most while it is run, in bytes: an estimate from above.

    By `execute`'s choice of back end, or, where ``interpreted``, by the interpreter in any case.

    - events: as they are cut, and a narrow copy in the order and type that a back end reads; for
      the interpreter, which computes in 64 bits, a wide one
    - record: every value that is kept, and once more in a back end's own order
    - the interpreter's wires: those of this step and of as many past ones as a delay asks for, and
      what a convolution spreads out to multiply
    """
    slow = interpreted or slow_because(program) is not None
    events = sum(
        math.prod(stored.shape[1:]) * (2 * stored.width + (17 if slow else 3))
        for stored in samples.inputs.values()
    )
    kept = 2 * samples.steps * record_bytes(program, record)
    return events + kept + (_wires(program) if slow else 0)


def record_bytes(program: Program, record: Record) -> int:
    """What a back end keeps of one step of one sample, in bytes; see `Trace`."""
    kept = dict.fromkeys(program.outputs if record == "outputs" else
                         (*program.neurons, *program.outputs))  # fmt: skip
    size = sum(_bytes(program.types[name]) for name in kept)
    if record == "states":
        for op in program.neurons.values():
            size += math.prod(op.shape) * sum(
                kept_as(state).itemsize for _, state in op.named_states()
            )
    return size


def _bytes(type_: TensorType) -> int:
    return type_.size * storage(type_.element).itemsize


def _wires(program: Program) -> int:
    """The interpreter's values of one sample between two steps, and within one."""
    past = max((e.delay for node in program.nodes for e in node.inputs), default=0)
    values = sum(type_.size for type_ in program.types.values()) * (2 + past)
    states = sum(math.prod(op.shape) * len(op.named_states()) for op in program.neurons.values())
    return 8 * (values + 4 * states + 3 * max(_fields(program), default=0))


def _fields(program: Program) -> Iterator[int]:
    """The elements that each convolution spreads out: for every output all that it sees."""
    for node in program.nodes:
        if isinstance(node.op, Conv2d):
            outputs, *kernel = lookup(node.op.weight, program.consts).type.shape
            yield program.types[node.name].size // outputs * math.prod(kernel)
