"""A target file that names another one (``inherits``), written out whole.

Tables are merged key by key, everything else is replaced. The result is TOML again: an artifact
that carries it needs no other file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sast_compile.catalog import locate_target
from sast_compile.errors import BadFile, CompileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEY = "inherits"
Reader: TypeAlias = Callable[[Path, str], str]


def inherited(text: str, path: Path, where: str, read: Reader) -> str:
    """``text`` itself, or the whole target if it inherits from another.

    ``read(path, name)`` gives the text of a parent. A parent is a shipped target's name, or a path
    that counts from the folder of the file that names it. Raises BadFile for a parent that does not
    exist (with the nearest name), is no TOML, or inherits from its own child.
    """
    table = _table(text)
    if table is None or KEY not in table:  # `parse_target` says what is wrong with no TOML
        return text
    return _written(_whole(table, path, where, read, [path]))


def _whole(
    table: Mapping[str, Any], path: Path, where: str, read: Reader, seen: list[Path]
) -> dict[str, Any]:
    """``table`` over its parents' tables; ``seen`` are the files on the way here."""
    own = {key: value for key, value in table.items() if key != KEY}
    if KEY not in table:
        return own
    name = table[KEY]
    parent = _parent(name, path, where)
    if any(_same(parent, earlier) for earlier in seen):
        chain = " -> ".join(p.name for p in (*seen, parent))
        raise BadFile(f"inherits from itself: {chain}", where=where)
    above = _table(read(parent, name))
    if above is None:
        raise BadFile(f"inherits from {name}, which is no TOML", where=where)
    return _merged(_whole(above, parent, name, read, [*seen, parent]), own)


def _parent(name: object, path: Path, where: str) -> Path:
    if not isinstance(name, str):
        raise BadFile(
            f"`{KEY}` is {type(name).__name__}, not the name or path of a target", where=where
        )
    try:
        found = locate_target(name)
    except CompileError as error:
        raise BadFile(f"`{KEY}`: {error.what}", where=where, hint=error.hint) from None
    is_path = os.sep in name or name.endswith(".toml")
    return path.parent / found if is_path else found


def _same(a: Path, b: Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def _table(text: str) -> dict[str, Any] | None:
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    return table


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``: tables key by key, all else replaced; in the order of ``below``."""
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        merged[key] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _written(table: Mapping[str, Any]) -> str:
    """``table`` as TOML: what has no header first, then each table under its own."""
    plain = {k: v for k, v in table.items() if not isinstance(v, dict)}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in plain.items()]
    for name, inner in table.items():
        if isinstance(inner, dict):
            lines += ["", f"[{_key(name)}]"]
            lines += [f"{_key(k)} = {_value(v)}" for k, v in inner.items()]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if key.replace("_", "").isascii() and key.replace("_", "").isalnum() else _text(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return f"{{ {', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())} }}"
        case _:  # whole numbers, floats and times read back as they print
            return str(value)


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
