"""The interpreter against the vendors' equations of `chip_equations.py`, on random nets.

Parameters and inputs lean to the edges of their registers, and every test demands that each
remarkable thing (a wrap, a saturation, a tie ..) did happen.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import numpy.typing as npt
from chip_equations import (
    Expected,
    HiaerNet,
    LoihiNet,
    Matrix,
    McuNet,
    SpeckNet,
    XyloNet,
    float_net,
    hiaer_net,
    loihi_net,
    mcu_net,
    speck_net,
    xylo_net,
)

from sast_compile.backends.reference import run
from sast_compile.ir.text import parse_program
from sast_compile.trace import Tally, Trace

STEPS = 24


def loihi_text(p: LoihiNet) -> str:
    n, inputs = len(p.weight), len(p.weight[0])
    return f"""
program loihi
  x = input {{shape=({inputs},)}}
  a = dense x@1 {{weight=@w; exponent={p.exponent}}}
  r = dense s@1 {{weight=@r; exponent={p.exponent}}}
  i = add a, r
  s = neuron i {{
      shape=({n},)
      synapses=(state(decay=mul_shift(decay={p.du}, offset=1), gain=64,
                      clamp=clamp(rule='wrap_once', low=-8388607, high=8388608)),)
      voltage=state(decay=mul_shift(decay={p.dv}), bias={p.bias}, bias_exponent={p.bias_exponent},
                    clamp=clamp(rule='saturate', low=-8388607, high=8388607))
      fire=fire(compare='>', threshold={p.vth}, unit=64)
      reset=reset(kind='zero')
      start=1
    }}
  return s
@w : s9[{n},{inputs}] = {p.weight}
@r : s9[{n},{n}] = {p.recurrent}
"""


def test_loihi() -> None:
    random, seen = Random(1), Counter[str]()
    for _ in range(100):
        n, inputs = random.randint(1, 4), random.randint(1, 5)
        weights = [-256, -2, 0, 2, 64, 254]
        net = LoihiNet(
            weight=matrix(random, n, inputs, weights),
            recurrent=matrix(random, n, n, weights),
            exponent=random.choice([-4, -1, 0, 0, 1, 7]),
            du=random.choice([0, 1, 410, 2048, 4094, 4095, 4095]),
            dv=random.choice([0, 1, 128, 2048, 4095]),
            vth=random.choice([1, 2, 64, 300, 131071]),
            bias=random.choice([0, 0, 64, -64, 4095, -4096]),
            bias_exponent=random.choice([0, 0, 7, -2]),
        )
        columns = events(random, inputs, 1)
        seen += compare(loihi_text(net), columns, loihi_net(net, columns))
    assert_all_seen(
        seen,
        "spikes, ties, negatives, u wrapped up, u wrapped down, v saturated low, v saturated high",
    )


def xylo_text(p: XyloNet) -> str:
    n, inputs = len(p.weight[0][0]), len(p.weight[0])
    range16 = "low=-32768, high=32767"
    saturate = f"clamp(rule='saturate', {range16})"
    synapse = ", ".join(
        f"state(decay=bit_shift(dash={dash}, min_step=1), decays='last', adds='each',"
        f" clamp={saturate})"
        for dash in p.dash_syn
    )
    terms = "".join(
        f"""
  i{k} = terms x {{weight=@w{k}; exponent={p.shift}}}
  r{k} = terms s@1 {{weight=@r{k}; exponent={p.shift}}}
  j{k} = join i{k}, r{k}"""
        for k in (0, 1)
    )
    consts = "\n".join(
        f"@w{k} : s8[{n},{inputs}] = {transposed(p.weight[k])}\n"
        f"@r{k} : s8[{n},{n}] = {transposed(p.recurrent[k])}"
        for k in (0, 1)
    )
    return f"""
program xylo
  x = input {{shape=({inputs},); bits=4}}{terms}
  s = neuron j0, j1 {{
      shape=({n},)
      synapses=({synapse})
      voltage=state(decay=bit_shift(dash={p.dash_mem}, min_step=1), adds='increment',
                    bias={p.bias}, clamp={saturate})
      fire=fire(compare='>=', threshold={p.vth}, limit={p.most})
      reset=reset(kind='subtract', amount={p.vth})
    }}
  return s
{consts}
"""


def test_xylo() -> None:
    random, seen = Random(2), Counter[str]()
    for _ in range(50):
        n, inputs = random.randint(1, 3), random.randint(1, 3)
        # one sign in some nets: both synapses drive v into the same end
        weights = random.choice([[-128, -1, 0, 1, 127], [-128, -3, 0], [0, 5, 127]])
        net = XyloNet(
            weight=(matrix(random, inputs, n, weights), matrix(random, inputs, n, weights)),
            recurrent=(matrix(random, n, n, weights), matrix(random, n, n, weights)),
            shift=random.choice([0, 0, 2, 7]),
            dash_syn=(random.choice([1, 2, 15]), random.choice([1, 4])),
            dash_mem=random.choice([0, 1, 4, 15]),
            bias=random.choice([0, 0, 5, -32768, 32767]),
            vth=random.choice([1, 127, 1000, 32767]),
            most=random.choice([31, 31, 1]),
        )
        columns = events(random, inputs, 15)
        seen += compare(xylo_text(net), columns, xylo_net(net, columns))
    assert_all_seen(
        seen,
        "spikes, ties, negatives, I saturated low, I saturated high, v saturated low, "
        "v saturated high, leak wrapped, several spikes, capped",
    )


def speck_text(p: SpeckNet) -> str:
    n, inputs = len(p.weight), len(p.weight[0])
    reset = "kind='zero'" if p.to_zero else f"kind='subtract', amount={p.theta}"
    return f"""
program speck
  x = input {{shape=({inputs},); bits=3}}
  a = dense x {{weight=@w}}
  s = neuron a {{
      shape=({n},)
      voltage=state(bias=@b, clamp=clamp(rule='forbid', low=-32768, high=32767))
      fire=fire(compare='>=', threshold={p.theta}, limit=32767)
      reset=reset({reset}, floor={p.min_v})
    }}
  return s
@w : s8[{n},{inputs}] = {p.weight}
@b : s8[{n}] = {p.bias}
"""


def test_speck() -> None:
    random, seen = Random(3), Counter[str]()
    for index in range(100):
        n, inputs = random.randint(1, 4), random.randint(1, 5)
        net = SpeckNet(
            weight=matrix(random, n, inputs, [-128, -7, 0, 9, 127]),
            bias=[random.choice([0, 0, -128, 3, 127]) for _ in range(n)],
            theta=random.choice([1, 9, 127, 254, 5000]),
            min_v=random.choice([-1, -127, -5000]),
            to_zero=index % 2 == 0,
        )
        columns = events(random, inputs, 7)
        seen += compare(speck_text(net), columns, speck_net(net, columns))
    assert_all_seen(seen, "spikes, ties, negatives, floored, several spikes")


def hiaer_text(p: HiaerNet) -> str:
    n, inputs = len(p.weight), len(p.weight[0])
    return f"""
program hiaer
  x = input {{shape=({inputs},); bits=16}}
  a = dense x {{weight=@w}}
  r = dense s@1 {{weight=@r}}
  i = add a, r
  s = neuron i {{
      shape=({n},)
      voltage=state(decay=bit_shift(dash={p.leak}),
                    clamp=clamp(rule='forbid', low={-(2**34)}, high={2**34 - 1}))
      fire=fire(compare='>', threshold={p.theta})
      reset=reset(kind='zero', when='before_decay')
    }}
  return s
@w : s16[{n},{inputs}] = {p.weight}
@r : s16[{n},{n}] = {p.recurrent}
"""


def test_hiaer() -> None:
    random, seen = Random(4), Counter[str]()
    for _ in range(80):
        n, inputs = random.randint(1, 4), random.randint(1, 4)
        weights = random.choice([[-32768, -5, -1, 0, 1, 3, 32767], [-32768], [32767]])
        net = HiaerNet(
            weight=matrix(random, n, inputs, weights),
            recurrent=matrix(random, n, n, weights),
            theta=random.choice([0, 3, 32767, 2**33]),
            leak=random.choice([0, 1, 4, 63]),
        )
        # graded input far beyond the chip's, so that the upper bits of v are used
        columns = events(random, inputs, random.choice([1, 4095]))
        seen += compare(hiaer_text(net), columns, hiaer_net(net, columns))
    assert_all_seen(seen, "spikes, ties, negatives, crept up, beyond 32 bits")


def mcu_text(p: McuNet) -> str:
    n, inputs = len(p.weight), len(p.weight[0])
    reset = "kind='subtract', amount=@theta" if p.subtract else "kind='zero'"
    return f"""
program mcu
  x = input {{shape=({inputs},); bits=8}}
  a = dense x {{weight=@w; exponent={p.exponent}}}
  s = neuron a {{
      shape=({n},)
      voltage=state(decay=mul_shift(decay=@decay, bits=15, rounding='half_even'), bias={p.bias},
                    clamp=clamp(rule='saturate', low={-(2**31)}, high={2**31 - 1}))
      fire=fire(compare='>=', threshold=@theta)
      reset=reset({reset})
    }}
  return s
@w : s16[{n},{inputs}] = {p.weight}
@decay : u15[{n}] = {p.decay}
@theta : s32[{n}] = {p.theta}
"""


def test_mcu() -> None:
    random, seen = Random(5), Counter[str]()
    for index in range(100):
        n, inputs = random.randint(1, 4), random.randint(1, 4)
        net = McuNet(
            weight=matrix(random, n, inputs, [-32768, -3, 0, 1, 5, 32767]),
            exponent=random.choice([0, 0, 3, 7, 15]),
            decay=[random.choice([0, 1, 8192, 16384, 32767]) for _ in range(n)],
            theta=[random.choice([1, 5, 100, 2**31 - 1]) for _ in range(n)],
            bias=random.choice([0, 1, -1, -(2**31), 2**31 - 1]),
            subtract=index % 2 == 0,
        )
        columns = events(random, inputs, random.choice([1, 3, 255]))
        seen += compare(mcu_text(net), columns, mcu_net(net, columns))
    assert_all_seen(seen, "spikes, ties, negatives, half, v saturated low, v saturated high")


def float_text(kind: str, weight: list[list[float]], alpha: float) -> str:
    compare, reset = {
        "snntorch": (">", "kind='subtract', when='after_decay', amount=1.0"),
        "sast": (">=", "kind='zero', when='before_decay'"),
    }[kind]
    n, inputs = len(weight), len(weight[0])
    return f"""
program {kind}
  x = input {{shape=({inputs},)}}
  a = dense x {{weight=@w}}
  s = neuron a {{
      shape=({n},)
      voltage=state(decay=factor(alpha={alpha!r}))
      fire=fire(compare='{compare}', threshold=1.0)
      reset=reset({reset})
    }}
  return s
@w : f64[{n},{inputs}] = {weight}
"""


def test_floats() -> None:
    random = Random(6)
    for kind in ("snntorch", "sast"):
        seen = Counter[str]()
        for _ in range(40):
            n, inputs = random.randint(1, 4), random.randint(1, 4)
            # multiples of 1/8 with alpha 1/2 or 1: no sum rounds, and ties do happen
            weight = [[random.randint(-8, 12) / 8 for _ in range(inputs)] for _ in range(n)]
            alpha = random.choice([0.5, 1.0])
            columns = events(random, inputs, 1)
            expected = float_net(kind, weight, alpha, columns)
            seen += compare(float_text(kind, weight, alpha), columns, expected)
        assert_all_seen(seen, "spikes, ties, negatives, twice in a row")


def matrix(random: Random, rows: int, columns: int, edges: list[int]) -> Matrix:
    """Values at the edges of a register and between them."""

    def value() -> int:
        if random.random() < 0.6:
            return random.choice(edges)
        return random.randint(min(edges), max(edges))

    return [[value() for _ in range(columns)] for _ in range(rows)]


def transposed(rows: Matrix) -> Matrix:
    return [list(column) for column in zip(*rows, strict=True)]


def events(random: Random, inputs: int, most: int) -> Matrix:
    density = random.choice([0.1, 0.5, 1.0])

    def value() -> int:
        return random.randint(1, most) if random.random() < density else 0

    return [[value() for _ in range(inputs)] for _ in range(STEPS)]


def compare(text: str, columns: Matrix, expected: Expected) -> Counter[str]:
    """What happened in a net, for which the interpreter computes every expected number.

    It runs twice: alone, and in a batch behind another sample, which must not touch it.
    """
    program = parse_program(text)
    alone = run(program, [columns], "states")
    batch = run(program, [columns[::-1], columns], "states")
    for name, rows in expected.rows.items():
        assert record(alone, name)[0].tolist() == rows, f"{name} of\n{text}"
        assert record(batch, name)[1].tolist() == rows, f"{name} in a batch of\n{text}"
    tally = alone["s"].tally
    assert tally is not None
    check_tally(tally, expected.seen)
    return expected.seen


def record(trace: Trace, name: str) -> npt.NDArray[np.generic]:
    return trace["s"].spikes if name == "s" else trace["s"].states[name]


def check_tally(tally: Tally, seen: Counter[str]) -> None:
    assert (tally.spikes, tally.ties, tally.negatives) == (
        seen["spikes"],
        seen["ties"],
        seen["negatives"],
    )
    for state in tally.clamped:
        if f"clamped {state}" in seen:
            assert tally.clamped[state] == seen[f"clamped {state}"]


def assert_all_seen(seen: Counter[str], names: str) -> None:
    missing = [name for name in names.split(", ") if seen[name] == 0]
    assert not missing, f"never happened: {missing}; {dict(seen)}"
