"""Laws of the text form: it round-trips, hides no tampering, and hostile text is only refused."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_strategies import programs
from programs_runner import FOLDER, read_facts

from sast_compile.errors import BadFile, CompileError
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Dense, Input
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.ir.text import MAX_INLINE, parse_program, print_program
from sast_compile.ir.types import Const, Float, Int, TensorType

S9 = Int(9)
FILES = [path.read_text() for path in sorted(FOLDER.rglob("*.sast.txt"))]
CANONICAL = [read_facts(text).body for text in FILES if "; prints: same" in text]
examples = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@examples
@given(programs())
def test_printing_and_parsing_gives_the_same_program(program: Program) -> None:
    text = print_program(program)
    parsed = parse_program(text)
    assert parsed == program
    assert repr(parsed.nodes) == repr(program.nodes)  # 0 and 0.0 are equal, but not the same
    assert parsed.types == program.types
    assert print_program(parsed) == text


@pytest.mark.parametrize("text", CANONICAL)
def test_layout_does_not_matter(text: str) -> None:
    """Types of nodes and blanks are free, a line may end anywhere, a ; between attributes too."""
    program = parse_program(text)
    assert parse_program(re.sub(r"(?m)^((?!@).*) : [suf]\d+\[.*", r"\1", text)) == program
    assert parse_program(re.sub(r"([{}(),])", r"\n  \1  ", text)) == program
    assert parse_program(re.sub(r"(?<!\{)\n      ", "; ", text)) == program
    assert parse_program(text.replace("\n", "\r\n")) == program


# ---- constants by their hash


def wide_program(element: Int | Float = S9, scale: float = 0.25) -> Program:
    data = np.random.default_rng(0).integers(-256, 255, (3, MAX_INLINE))
    weight = Const(TensorType(data.shape, element, scale), data)
    nodes = (
        Node("x", Input(shape=(MAX_INLINE,))),
        Node("a", Dense(weight=Ref("w")), (Edge("x"),)),
    )
    return Program("wide", nodes, ("a",), {"w": weight})


@pytest.mark.parametrize("element", [Int(9), Int(33), Float()])
def test_a_large_constant_is_printed_as_its_hash(element: Int | Float) -> None:
    program = wide_program(element)
    text = print_program(program)
    assert re.search(r"= sha256 '[0-9a-f]{64}'", text)
    assert "[[" not in text
    arrays = {"w": program.consts["w"].data}
    assert parse_program(text, arrays) == program
    assert print_program(parse_program(text, arrays)) == text


def test_a_changed_constant_is_found() -> None:
    program = wide_program()
    text, data = print_program(program), program.consts["w"].data
    for index in [(0, 0), (1, 17), (2, MAX_INLINE - 1)]:
        changed = data.copy()
        changed[index] ^= 1
        with pytest.raises(BadFile, match="@w is not what was printed"):
            parse_program(text, {"w": changed})
    with pytest.raises(BadFile, match="@w"):
        parse_program(text, {"w": data.T})


def test_a_changed_scale_is_found() -> None:
    """The hash covers the type: the same integers at another scale are another constant."""
    text = print_program(wide_program())
    tampered = text.replace("* 0.25 = sha256", "* 0.5 = sha256").replace(": s16[3] * 0.25", "")
    with pytest.raises(BadFile, match="its hash differs"):
        parse_program(tampered, {"w": wide_program().consts["w"].data})


def test_a_missing_constant_is_named() -> None:
    with pytest.raises(BadFile, match="constant @w is missing"):
        parse_program(print_program(wide_program()))


def test_numpy_numbers_print_as_plain_ones() -> None:
    program = wide_program(scale=np.float64(0.1))
    assert "np." not in print_program(program)
    assert parse_program(print_program(program), {"w": program.consts["w"].data}) == program


# ---- hostile text


SNIPPETS = (
    *("{", "}", "(", ")", "[", "]", "=", ":", ";", ",", "@", "*", "'", "'a'", "\\", "\0", "é", "٣"),
    *("nan", "inf", "-inf", "1e999", "-1", "0", "0.0", "99", "1e-320", "none", "true", "program"),
    *("9" * 19, "9" * 30, "-" + "9" * 30, "9" * 400, "1." + "0" * 400, "s0", "u0", "s64", "s99"),
    *("u64", "f64", "f0", "return", "sha256", "input", "neuron", "state()", "clamp()", "s", "x@1"),
    *("(" * 40, "[" * 40, "a(b=" * 40, "@" * 40, "type='neuron'", "[[1], [2, 3]]", "x@-1", "x@99"),
    *("-62", "62", "63", "64", "1000000", "4611686018427387904", "'wrap'", "'forbid'", "'each'"),
)
TOKEN = re.compile(r"[\w.+\-]+|'[^'\n]*'|\S")


def mutated(random: Random, text: str) -> str:
    """``text`` with one to three of its tokens gone, doubled, swapped or replaced."""
    for _ in range(random.randint(1, 3)):
        tokens = list(TOKEN.finditer(text))
        if not tokens:
            return text
        one, other = random.choice(tokens), random.choice(tokens)
        new = {
            "gone": "",
            "doubled": f"{one.group()} {one.group()}",
            "swapped": other.group(),
            "replaced": random.choice(SNIPPETS),
        }[random.choice(["gone", "doubled", "swapped", "replaced", "replaced"])]
        text = text[: one.start()] + new + text[one.end() :]
    return text[: random.randrange(len(text) + 1)] if random.random() < 0.05 else text


def refused(text: str) -> bool:
    """Whether ``text`` is refused; anything but a CompileError is raised."""
    try:
        program = parse_program(text)
    except CompileError:
        return True
    assert parse_program(print_program(program)) == program  # what is accepted round-trips
    return False


def test_mutated_programs_are_refused_or_legal() -> None:
    random, seen = Random(0), Counter[bool]()
    for _ in range(2500):
        text = mutated(random, random.choice(FILES))
        try:
            seen[refused(text)] += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} from\n{text}") from error
    assert seen[True] > 500
    assert seen[False] > 100


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text() | st.text(alphabet="program x=input{}();:@,[]*'0123456789.-\n"))
def test_any_text_is_refused(text: str) -> None:
    assert refused(text)
    assert refused(f"program p\n{text}")


HEAD = "program p\n  x = input {shape=(2,)}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "program",
        "program p return",
        HEAD,
        f"{HEAD}  return",
        f"{HEAD}  return x,",
        f"{HEAD}  return x\n@w",
        f"{HEAD}  return x\n@w : s8[2] = [1, 2",
        f"{HEAD}  return x\n@w : s8[2] = [1, 'a']",
        f"{HEAD}  return x\n@w : s8[2] = [1, nan]",
        f"{HEAD}  return x\n@w : s8[2] = [1, {'9' * 30}]",
        f"{HEAD}  return x\n@w : s8[2] = [1, none]",
        f"{HEAD}  return x\n@w : f64[2] = ['1', '2']",
        f"{HEAD}  return x\n@w : s8[2] = {'[' * 5000}",
        f"{HEAD}  return x\n@w : s8[2] = {'a(b=' * 5000}",
        f"{HEAD}  return x\n@w : s8[2] = sha256",
        f"{HEAD}  return x\n@w : s8[2] = sha256 'x'",
        f"{HEAD}  return x\n@w : s0[1] = [0]",
        f"{HEAD}  return x\n@w : s65[1] = [0]",
        f"{HEAD}  return x\n@w : f32[1] = [0.5]",
        f"{HEAD}  return x\n@w : s8[0] = []",
        f"{HEAD}  return x\n@w : s8[2] * -1.0 = [1, 2]",
        f"{HEAD}  return x\n@w : s8[2] * 1e999 = [1, 2]",
        f"{HEAD}  return x\n@w : s8[2] * (0.5, 0.5, 0.5) = [1, 2]",
        f"{HEAD}  return x\n@w : s8[{'9' * 18}] = [1]",
        "program p\n  x = input {shape=(2,); bits=64}\n  return x",
        "program p\n  x = input {shape=(0,)}\n  return x",
        "program p\n  x = input {shape=2}\n  return x",
        "program p\n  x = input {shape=(2,) shape=(2,)}\n  return x",
        f"{HEAD}  a = dense x {{weight=@w; exponent=99999999}}\n  return a\n@w : s8[1,2]=[[1,2]]",
        f"{HEAD}  a = dense x@{'9' * 30} {{weight=@w}}\n  return a\n@w : s8[1,2]=[[1,2]]",
        f"{HEAD}  a = dense x@-1 {{weight=@w}}\n  return a\n@w : s8[1,2]=[[1,2]]",
        f"{HEAD}  j = join x\n  return y",
        f"{HEAD}  a = add\n  return a",
        f"{HEAD}  f = flatten x, x\n  return f",
        f"{HEAD}  return = flatten x\n  return return",
    ],
)
def test_hostile_text_is_refused(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("program p\n  x = input {shape=(2,)\n  return x", "line 3: expected =, found 'x'"),
        (HEAD, "line 2: expected a name or number, found the end"),
        (f"{HEAD}  a = input {{shape=?}}", "line 3: unknown character"),
        (f"{HEAD}  a = input {{shape=(2.5.1,)}}", "line 3: 2.5.1 is no value"),
    ],
)
def test_a_message_names_the_line(text: str, message: str) -> None:
    with pytest.raises(BadFile, match=re.escape(message)):
        parse_program(text)


def test_comments_may_stand_anywhere() -> None:
    text = "; one\nprogram p ; no comment\n"
    with pytest.raises(BadFile):
        parse_program(text)
    assert parse_program(f"; one\n{HEAD}  ; two = three\n  return x\n; four").outputs == ("x",)
