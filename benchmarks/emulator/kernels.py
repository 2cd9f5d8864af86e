"""Micro-kernels as LLVM IR, compiled as they stand: what this machine can do at best.

Every kernel is one function (data, items, times): ``times`` passes over ``items`` blocks of
``data``, with values carried from block to block in registers and stored at the end, so that
nothing of it can be left out. LLVM's optimiser is not run; its code generator is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llvmlite import binding, ir

Value: TypeAlias = Any  # llvmlite has no types
Body: TypeAlias = Callable[[ir.IRBuilder, Value, list[Value]], list[Value]]  # of one block
Kernel: TypeAlias = Callable[[int, int, int], None]  # address, items, times

I8, I16, I32, I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
F32, POINTER = ir.FloatType(), ir.PointerType()
ALIGNED = 64


def widest() -> int:
    """The bytes of this machine's widest vectors of integers."""
    return 64 if binding.get_host_cpu_features().get("avx512bw") else 32


class Kernels:
    """The kernels of this machine; ``bytes`` of a vector, ``sums`` vectors held in registers."""

    def __init__(self) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        self.bytes = widest()
        self.sums = 16 if self.bytes == 64 else 8  # of 32 or 16 registers

    def adds(self) -> tuple[Kernel, int]:
        """int16 additions in registers, and how many a block makes."""
        type_ = ir.VectorType(I16, self.bytes // 2)

        def body(code: ir.IRBuilder, _: Value, sums: list[Value]) -> list[Value]:
            for _ in range(ROUNDS):  # each sum takes its neighbour's: no closed form
                sums = [code.add(a, b) for a, b in zip(sums, [*sums[1:], sums[0]], strict=True)]
            return sums

        count = self.sums * ROUNDS * type_.count
        return self._compiled(body, [type_] * self.sums), count

    def byte_rows(self) -> tuple[Kernel, int]:
        """Sums of rows of int8 weights: per vector a load and add, a shift, an add.

        A lane of 16 bits is two weights: one sum takes the lane, one its upper byte, from which the
        lower follows in the end. The count is that of weights in a block, which is one row.
        """
        type_, rows = ir.VectorType(I16, self.bytes // 2), self.sums // 2
        eight = ir.Constant(type_, [8] * type_.count)

        def body(code: ir.IRBuilder, block: Value, sums: list[Value]) -> list[Value]:
            both, upper = sums[:rows], sums[rows:]
            lanes = [_load(code, block, type_, at) for at in range(rows)]
            both = [code.add(s, lane) for s, lane in zip(both, lanes, strict=True)]
            shifted = [code.ashr(lane, eight) for lane in lanes]
            upper = [code.add(s, high) for s, high in zip(upper, shifted, strict=True)]
            return [*both, *upper]

        width = rows * self.bytes
        return self._compiled(body, [type_] * self.sums, width), width

    def reads(self) -> tuple[Kernel, int]:
        """Loads, and the bytes of a block."""
        type_ = ir.VectorType(I64, self.bytes // 8)
        loads = 8

        def body(code: ir.IRBuilder, block: Value, sums: list[Value]) -> list[Value]:
            lanes = [_load(code, block, type_, at) for at in range(loads)]
            return [code.or_(s, lane) for s, lane in zip(sums, lanes, strict=True)]

        width = loads * self.bytes
        return self._compiled(body, [type_] * loads, width), width

    def neurons(self, guarded: bool) -> tuple[Kernel, int, int]:
        """Loihi's neuron: u, v (int32) and its current (int16); neurons and bytes of a block.

        The leaks are float multiplications (rounding toward zero would cost no more), which are
        exact for 24 bits. ``guarded``: u wraps once, v saturates.
        """
        lanes = self.bytes // 4
        whole, real = ir.VectorType(I32, lanes), ir.VectorType(F32, lanes)
        short = ir.VectorType(I16, lanes)

        def constant(type_: Value, value: float) -> Value:
            return ir.Constant(type_, [value] * lanes)

        def decayed(code: ir.IRBuilder, x: Value, factor: float) -> Value:
            product = code.fmul(code.sitofp(x, real), constant(real, factor))
            return code.fptosi(product, whole)

        def beyond(code: ir.IRBuilder, x: Value, how: str, end: int, instead: Value) -> Value:
            return code.select(code.icmp_signed(how, x, constant(whole, end)), instead, x)

        def body(code: ir.IRBuilder, block: Value, fired: list[Value]) -> list[Value]:
            u, v = (_load(code, block, whole, at) for at in (0, 1))
            current = code.sext(_load(code, block, short, 4), whole)
            u = code.add(decayed(code, u, 0.75), code.shl(current, constant(whole, 6)))
            if guarded:
                turn = constant(whole, 1 << 24)
                u = beyond(code, u, ">", 1 << 23, code.sub(u, turn))
                u = beyond(code, u, "<", 1 - (1 << 23), code.add(u, turn))
            v = code.add(decayed(code, v, 0.9375), u)
            if guarded:
                for how, end in ((">", (1 << 23) - 1), ("<", 1 - (1 << 23))):
                    v = beyond(code, v, how, end, constant(whole, end))
            spikes = code.icmp_signed(">", v, constant(whole, 4149 << 6))
            _store(code, u, block, 0)
            _store(code, code.select(spikes, constant(whole, 0), v), block, 1)
            bits = code.zext(code.bitcast(spikes, ir.IntType(lanes)), I64)
            return [code.xor(fired[0], bits)]

        width = 3 * self.bytes  # u, v, and half a vector of currents
        return self._compiled(body, [I64], width), lanes, width

    def _compiled(self, body: Body, carried: Sequence[Value], width: int = 0) -> Kernel:
        """``body`` once for every block of ``width`` bytes."""
        module = ir.Module()
        module.triple = binding.get_default_triple()
        type_ = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
        function = ir.Function(module, type_, "run")
        data, items, times = function.args
        entry = ir.IRBuilder(function.append_basic_block())

        def one_pass(code: ir.IRBuilder, _: Value, values: list[Value]) -> list[Value]:
            def block(code: ir.IRBuilder, item: Value, values: list[Value]) -> list[Value]:
                offset = code.mul(item, ir.Constant(I64, width))
                return body(code, code.gep(data, [offset], source_etype=I8), values)

            return _looped(code, items, values, block)

        zeros = [ir.Constant(t, None) for t in carried]
        for at, value in enumerate(_looped(entry, times, zeros, one_pass)):
            _store(entry, value, data, at)
        entry.ret_void()
        return self._loaded(str(module))

    def _loaded(self, text: str) -> Kernel:
        features = binding.get_host_cpu_features().flatten()
        machine = binding.Target.from_default_triple().create_target_machine(
            cpu=binding.get_host_cpu_name(), features=features, opt=3
        )
        engine = binding.create_mcjit_compiler(binding.parse_assembly(text), machine)
        engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        kernel: Any = kind(engine.get_function_address("run"))
        kernel.engine = engine  # lives as long as the kernel
        return kernel  # type: ignore[no-any-return]


ROUNDS = 8  # of additions in one block


def _looped(code: ir.IRBuilder, count: Value, first: list[Value], body: Body) -> list[Value]:
    """The values that ``body`` hands on, ``count`` (at least 1) times; ``code`` goes on behind."""
    before = code.block
    turn, after = (code.function.append_basic_block() for _ in range(2))
    code.branch(turn)
    code.position_at_end(turn)
    index = code.phi(I64)
    carried = [code.phi(value.type) for value in first]
    values = body(code, index, list(carried))
    following = code.add(index, ir.Constant(I64, 1))
    latch = code.block
    code.cbranch(code.icmp_signed("<", following, count), turn, after)
    code.position_at_end(after)
    for phi, start, value in zip(
        [index, *carried], [ir.Constant(I64, 0), *first], [following, *values], strict=True
    ):
        phi.add_incoming(start, before)
        phi.add_incoming(value, latch)
    return values


def _load(code: ir.IRBuilder, block: Value, type_: Value, at: int) -> Value:
    """The vector ``at`` of the block."""
    place = code.gep(block, [ir.Constant(I64, at)], source_etype=type_)
    loaded = code.load(place, typ=type_)
    loaded.align = 32
    return loaded


def _store(code: ir.IRBuilder, value: Value, block: Value, at: int) -> None:
    place = code.gep(block, [ir.Constant(I64, at)], source_etype=value.type)
    code.store(value, place).align = 32 if isinstance(value.type, ir.VectorType) else 8
