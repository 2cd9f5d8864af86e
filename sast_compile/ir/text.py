"""The text form of a program, printed and parsed back to an equal program.

::

    program two_neurons
      x = input {shape=(3,)} : u1[3]
      a = dense x@1 {weight=@w0; exponent=1} : s6[2] * 0.125
      return a
    @w0 : s5[2,3] * 0.25 = [[2, -4, 6], [8, 0, -10]]

Attributes are separated by ``;`` or line ends; types are printed for the reader and checked when
they are parsed. Lines that begin with ``;`` are comments. A constant of more than 64 elements
prints as its SHA-256 and must then be handed to `parse_program`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec
import numpy as np

from sast_compile.errors import BadFile, TypeMismatch
from sast_compile.ir.neuron import Record, Ref
from sast_compile.ir.ops import Op
from sast_compile.ir.program import Edge, Node, Program, check
from sast_compile.ir.types import Array, Const, Element, Float, Int, Scale, TensorType

MAX_INLINE = 64
MAX_DEPTH = 32
TOKEN = re.compile(r"\s*(?:([\w.+\-]+)|('[^'\n]*')|([@{}()\[\]=:;,*]))")


def print_program(program: Program) -> str:
    """The canonical text of ``program``."""
    lines = [f"program {program.name}"]
    lines += [_node(node, program.types[node.name]) for node in program.nodes]
    lines += [f"  return {', '.join(program.outputs)}"]
    lines += [f"@{name} : {const.type} = {_data(const)}" for name, const in program.consts.items()]
    return "\n".join(lines) + "\n"


def parse_program(text: str, arrays: Mapping[str, Array] | None = None) -> Program:
    """The program that ``text`` prints; raises BadFile or TypeMismatch, saying where.

    ``arrays`` holds the data of the constants that are printed as their SHA-256 only.
    """
    source = "\n".join("" if ln.lstrip().startswith(";") else ln for ln in text.splitlines())
    return check(_Parser(source, arrays or {}).program())


def digest(const: Const) -> str:
    """SHA-256 of the type and the little-endian bytes of a constant."""
    data = np.ascontiguousarray(const.data, dtype=const.data.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{const.type}\n".encode() + data.tobytes()).hexdigest()


def _node(node: Node, type_: TensorType) -> str:
    inputs = ", ".join(map(str, node.inputs))
    head = " ".join(filter(None, [f"  {node.name} =", _tag(node.op), inputs]))
    attributes = _attributes(node.op)
    one_line = f"{head} {{{'; '.join(attributes)}}} : {type_}"
    if len(one_line) <= 100:
        return one_line
    body = "".join(f"      {attribute}\n" for attribute in attributes)
    return f"{head} {{\n{body}    }} : {type_}"


def _attributes(record: Record) -> list[str]:
    defaults = dict(
        zip(record.__struct_fields__[::-1], record.__struct_defaults__[::-1], strict=False)
    )
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    return [
        f"{name}={_value(value)}"
        for name, value in values.items()
        if defaults.get(name, msgspec.UNSET) != value or type(defaults.get(name)) is not type(value)
    ]


def _value(value: object) -> str:
    if isinstance(value, Ref):
        return f"@{value.name}"
    if isinstance(value, Record):
        return f"{_tag(value)}({', '.join(_attributes(value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, value))}{',' if len(value) == 1 else ''})"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _tag(record: Record) -> str:
    return str(record.__struct_config__.tag)


def _data(const: Const) -> str:
    return (
        f"sha256 '{digest(const)}'" if const.data.size > MAX_INLINE else repr(const.data.tolist())
    )


class _Parser:
    """Recursive descent over tokens; each method consumes what it is named after."""

    def __init__(self, source: str, arrays: Mapping[str, Array]) -> None:
        self.source, self.arrays, self.position = source, arrays, 0
        self.token = ""
        self.advance()

    def program(self) -> Program:
        self.expect("program")
        name, nodes, outputs = self.word(), [], list[str]()
        stated: dict[str, TensorType] = {}
        while self.token != "return":
            node, type_ = self.node()
            nodes.append(node)
            if type_ is not None:
                stated[node.name] = type_
        self.expect("return")
        outputs.append(self.word())
        while self.accept(","):
            outputs.append(self.word())
        program = Program(name, tuple(nodes), tuple(outputs), self.consts())
        for node_name, type_ in stated.items():
            if program.types[node_name] != type_:
                raise TypeMismatch(f"is {program.types[node_name]}, not {type_}", where=node_name)
        return program

    def node(self) -> tuple[Node, TensorType | None]:
        name = self.word()
        self.expect("=")
        tag, inputs = self.word(), list[Edge]()
        while self.token not in ("{", ":", "return") and not self.at_node():
            inputs.append(self.edge())
            if not self.accept(","):
                break
        fields = self.fields("}", (";",)) if self.accept("{") else {}
        try:
            op: Op = msgspec.convert({"type": tag, **fields}, Op)
        except (msgspec.ValidationError, ValueError) as error:
            raise BadFile(f"{tag}: {error}", where=f"program text, {name}") from None
        return Node(name, op, tuple(inputs)), self.type() if self.accept(":") else None

    def at_node(self) -> bool:
        following = TOKEN.match(self.source, self.position)
        return following is not None and following.group(3) == "="

    def edge(self) -> Edge:
        name = self.word()
        return Edge(name, self.integer()) if self.accept("@") else Edge(name)

    def consts(self) -> dict[str, Const]:
        consts: dict[str, Const] = {}
        for name, const in iter(self.const, None):
            if name in consts:
                raise BadFile(f"constant @{name} is defined twice")
            consts[name] = const
        return consts

    def const(self) -> tuple[str, Const] | None:
        if not self.token:
            return None
        self.expect("@")
        name = self.word()
        self.expect(":")
        type_ = self.type()
        self.expect("=")
        if not self.accept("sha256"):
            return name, self.literal(name, type_)
        wanted = self.string()
        if name not in self.arrays:
            raise BadFile(f"the data of constant @{name} is missing")
        const = self.filled(name, type_, self.arrays[name])
        if digest(const) != wanted:
            raise BadFile(f"the data of constant @{name} is not what was printed: its hash differs")
        return name, const

    def literal(self, name: str, type_: TensorType) -> Const:
        return self.filled(name, type_, self.value(0))

    def filled(self, name: str, type_: TensorType, value: object) -> Const:
        try:
            return Const(type_, np.asarray(value))
        except (TypeMismatch, TypeError, ValueError, OverflowError) as error:
            raise BadFile(str(error), where=f"program text, @{name}") from None

    def fields(self, end: str, separators: tuple[str, ...], depth: int = 0) -> dict[str, object]:
        fields: dict[str, object] = {}
        while not self.accept(end):
            key = self.word()
            self.expect("=")
            if key in fields or key == "type":
                raise self.error(f"attribute {key} may not stand here (again)")
            fields[key] = self.value(depth + 1)
            for separator in separators:
                self.accept(separator)
        return fields

    def value(self, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH}")
        if self.accept("@"):
            return {"type": "ref", "name": self.word()}
        for opening, closing in ("()", "[]"):
            if self.accept(opening):
                return self.items(closing, depth)
        if self.token.startswith("'"):
            return self.string()
        word = self.word()
        if self.accept("("):
            return {"type": word, **self.fields(")", (",",), depth)}
        return self.atom(word)

    def items(self, closing: str, depth: int) -> list[object]:
        items: list[object] = []
        while not self.accept(closing):
            items.append(self.value(depth + 1))
            if not self.accept(",") and self.token != closing:
                raise self.error(f"expected , or {closing}")
        return items

    def atom(self, word: str) -> object:
        named = {"none": None, "true": True, "false": False}
        if word in named:
            return named[word]
        if re.fullmatch(r"[+-]?\d{1,30}", word):
            return int(word)
        if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+)(e[+-]?\d+)?", word):
            return float(word)
        raise self.error(f"{word} is no value")

    def type(self) -> TensorType:
        element = self.element(self.word())
        self.expect("[")
        shape: list[int] = []
        while not self.accept("]"):
            shape.append(self.integer())
            self.accept(",")
        return TensorType(tuple(shape), element, self.scale() if self.accept("*") else 1.0)

    def element(self, word: str) -> Element:
        if not re.fullmatch(r"[su]\d{1,2}|f64", word):
            raise self.error(f"{word} is no element type (s8, u1, f64)")
        bits = int(word[1:])
        return Float() if word[0] == "f" else Int(bits, signed=word[0] == "s")

    def scale(self) -> Scale:
        value = self.value(0)
        if isinstance(value, list) and all(isinstance(v, float) for v in value):
            return tuple(value)
        if not isinstance(value, float):
            raise self.error("a scale is a float or a tuple of floats")
        return value

    def word(self) -> str:
        if not self.token or self.token[0] in "'@{}()[]=:;,*":
            raise self.error("expected a name or number")
        return self.advance()

    def string(self) -> str:
        if not self.token.startswith("'"):
            raise self.error("expected a string")
        return self.advance()[1:-1]

    def integer(self) -> int:
        word = self.word()
        if not re.fullmatch(r"-?\d{1,18}", word):
            raise self.error(f"{word} is no integer")
        return int(word)

    def accept(self, token: str) -> bool:
        if self.token != token:
            return False
        self.advance()
        return True

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.error(f"expected {token}")

    def advance(self) -> str:
        """Moves to the next token and returns the one that was current."""
        current = self.token
        match = TOKEN.match(self.source, self.position)
        if match is None:
            if self.source[self.position :].strip():
                raise self.error("unknown character")
            self.token = ""
        else:
            self.token, self.position = match.group().strip(), match.end()
        return current

    def error(self, what: str) -> BadFile:
        line = self.source.count("\n", 0, self.position) + 1
        found = repr(self.token) if self.token else "the end"
        return BadFile(f"{what}, found {found}", where=f"program text, line {line}")
