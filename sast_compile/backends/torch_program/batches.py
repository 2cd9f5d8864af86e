"""Samples in batches that fit the device, put together as the trace of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from sast_compile.backends.torch_program.device import free_memory
from sast_compile.backends.torch_program.machine import Batch, OnDevice
from sast_compile.backends.torch_program.memory import bytes_of_a_sample
from sast_compile.backends.torch_program.schedule import Plan
from sast_compile.errors import CompileError
from sast_compile.ir.events import Events, checked
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.trace import Layer, Record, Tally, Trace


def run_batches(
    program: Program,
    events: Events,
    record: Record,
    device: torch.device,
    max_memory: int | None = None,
) -> Trace:
    """The trace of ``program``, from as many samples at a time as ``max_memory`` bytes hold."""
    batch = checked(program, events)
    samples, steps = next(iter(batch.values())).shape[:2]
    # a caller's autocast would halve the bits of products; it is the thread's, and set back
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        on = _on_device(Plan(program, steps, record), device)
        need, room = bytes_of_a_sample(on), free_memory(device)
        size = (room if max_memory is None else max_memory) // need
        if not size and max_memory is not None:
            raise _too_large(on, need, max_memory)
        return _put_together(samples, _parts(on, batch, samples, max(1, size)))


def _on_device(plan: Plan, device: torch.device) -> OnDevice:
    try:
        return OnDevice(plan, device)
    except torch.cuda.OutOfMemoryError:
        raise CompileError(
            f"{device} has no room for its weights: {free_memory(device) / 1e6:,.1f} MB are free",
            where=plan.program.name,
            hint="end what else uses the device, or run it on the cpu",
        ) from None


def _parts(
    on: OnDevice, batch: Mapping[str, Array], samples: int, size: int
) -> Iterator[tuple[slice, Mapping[str, Layer]]]:
    """Every batch's layers; a batch that does not fit is halved, and so are those behind it."""
    first = 0
    while first < samples:
        part = slice(first, min(first + size, samples))
        found = _fitting(on, {name: data[part] for name, data in batch.items()})
        if found is not None:
            first = part.stop
            yield part, found
        elif part.stop - first == 1:
            raise _too_large(on, bytes_of_a_sample(on), free_memory(on.device))
        else:
            size = (part.stop - first) // 2


def _fitting(on: OnDevice, events: Mapping[str, Array]) -> Mapping[str, Layer] | None:
    """The layers of one batch; None if the device has no room for it."""
    try:
        return Batch(on, events).layers()
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()  # what is left may be in pieces of the failed size
        return None


def _too_large(on: OnDevice, need: int, room: int) -> CompileError:
    plan = on.plan
    return CompileError(
        f"one sample of {plan.steps} steps takes about {need / 1e6:,.1f} MB on {on.device}, "
        f"and {room / 1e6:,.1f} MB may be taken",
        where=plan.program.name,
        hint=f"fewer steps at a time, or a smaller record than {plan.record}",
    )


def _put_together(samples: int, parts: Iterator[tuple[slice, Mapping[str, Layer]]]) -> Trace:
    """The batches' layers as those of all samples, each in arrays made once."""
    whole: dict[str, Layer] = {}
    for part, layers in parts:
        for name, layer in layers.items():
            total = whole.get(name) or _empty(layer, samples)
            total.spikes[part] = layer.spikes
            for state, values in layer.states.items():
                total.states[state][part] = values
            tally = (total.tally or Tally()) + layer.tally if layer.tally else None
            whole[name] = Layer(total.spikes, total.states, tally)
    return Trace(whole)


def _empty(layer: Layer, samples: int) -> Layer:
    """Arrays like those of ``layer`` for ``samples`` samples."""

    def like(values: Array) -> Array:
        return np.empty((samples, *values.shape[1:]), values.dtype)

    return Layer(like(layer.spikes), {s: like(values) for s, values in layer.states.items()})
