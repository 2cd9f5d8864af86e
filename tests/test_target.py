"""A chip's file is read strictly: what is wrong is named, with its key and the way out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sast_compile.catalog import shipped, target_names
from sast_compile.errors import BadFile, CompileError
from sast_compile.target import SCHEMA, load_target, parse_target, read_target_text

TEXT = read_target_text("loihi2")


def refusal(text: str) -> str:
    with pytest.raises(BadFile) as caught:
        parse_target(text, "chip.toml")
    message = str(caught.value)
    assert message.startswith("chip.toml: ")
    assert "\n" not in message
    return message


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


@pytest.mark.parametrize("name", target_names())
def test_a_shipped_chip_is_called_as_its_file_and_cites_its_numbers(name: str) -> None:
    target = load_target(name)
    assert (target.name, target.schema) == (name, SCHEMA)
    tables = ("time", "weights", "threshold", "bias", "reset")
    assert all(getattr(target, table).source for table in tables)
    assert target.neurons.voltage.source
    if target.resources is None:
        return  # nothing to place
    assert target.resources.source
    numbers = {f for f in msgspec.structs.asdict(target.resources) if f not in ("source",)}
    assert set(target.resources.unverified) <= numbers


def test_a_chip_of_the_user_is_read_like_ours(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(changed('name = "loihi2"', 'name = "mine"'), encoding="utf-8")
    mine, ours = load_target(str(path)), load_target("loihi2")
    assert mine == msgspec.structs.replace(ours, name="mine")


def test_it_is_frozen() -> None:
    with pytest.raises(AttributeError):
        load_target("loihi2").name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("unit = 64", "unitt = 64", ["unknown key `unitt`", "`threshold`", "mean `unit`?"]),
        ("title =", "titel =", ["unknown key `titel`", "did you mean `title`?"]),
        ("[threshold]", "[thresholds]", ["unknown key `thresholds`", "mean `threshold`?"]),
        ("cores = 128\n", "", ["missing key `cores`", "`resources`"]),
        ("scope = ", "zzzzzzzz = ", ["unknown key `zzzzzzzz`", "`neurons`"]),
        ('"mul_shift", bits = 12', '"mul_shift", bits = "12"', ["Expected `int`, got `str`"]),
        ('"mul_shift", bits = 12', '"mul_shift", bits = "12"', ["neurons.synapse.decay.bits"]),
        ("bits = [1, 2, 3", "bits = [1, 2.5, 3", ["got `float`", "`weights.bits[1]`"]),
        ('compare = ">"', 'compare = "=>"', ["'=>'", "`threshold.compare`", "one of >, >="]),
        ('native = ["zero"]', 'native = ["soft"]', ["`reset.native[0]`", "zero, subtract"]),
        ('"toward_zero"', '"up"', ["neurons.synapse.decay.rounding", "floor, half_even"]),
        ('"wrap_once"', '"wraps"', ["neurons.synapse.clamp.rule", "saturate, wrap, wrap_once"]),
        ('scope = "population"', 'scope = "core"', ["`neurons.scope`", "population, neuron"]),
        ('"oracle"', '"rumour"', ["`evidence[1]`", "recorded, oracle, documented"]),
    ],
)
def test_an_error_names_the_key_and_the_way_out(old: str, new: str, words: list[str]) -> None:
    message = refusal(changed(old, new))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("low = 1\n", "low = 131072\n", "low = 131072 exceeds high = 131071, at `threshold`"),
        ("exponent_low = 0 #", "exponent_low = 9 #", "exponent_low = 9 exceeds exponent_high = 7"),
        ('"wrap_once", low = -8388607', '"wrap_once", low = 1', "does not contain 0"),
        ("bits = [1, 2, 3, 4, 5, 6, 7, 8]", "bits = []", "length >= 1, at `weights.bits`"),
        ("cores = 128", "cores = 0", "`int` >= 1, at `resources.cores`"),
        ("unit = 64", "unit = 0", "`int` >= 1, at `threshold.unit`"),
        ("gain = 64", "gain = 0", "`int` >= 1, at `neurons.synapse.gain`"),
        ("connection_latency = 1", "connection_latency = -1", "at `time.connection_latency`"),
        ("mantissa_bits = 13", "mantissa_bits = 999999999999", "`int` <= 62, at `bias.mantissa"),
        ("exponent_high = 7", "exponent_high = 99999999999", "`int` <= 62, at `weights.expon"),
        ("signed = true", "signed = false", "one signed grid, and at most one unsigned"),
        ('name = "loihi2"', 'name = "../../loihi2"', "at `name`"),
        ("[weights.grids.mixed]", "[weights.grids.mixed]\nextra = 1", "unknown key `extra`"),
    ],
)
def test_numbers_that_make_no_chip_are_refused(old: str, new: str, words: str) -> None:
    assert words in refusal(changed(old, new))


def test_passes_may_not_be_empty() -> None:
    start, end = TEXT.index("passes = ["), TEXT.index("]", TEXT.index("passes = ["))
    assert "at `passes`" in refusal(TEXT[:start] + "passes = [" + TEXT[end:])


@pytest.mark.parametrize("text", ["[time", "name = ", "\x00", "a = 1\na = 2", "[" * 5000])
def test_what_is_no_toml_is_refused(text: str) -> None:
    assert "is no TOML" in refusal(text)


def test_another_schema_is_refused() -> None:
    assert "schema 'sast-target/2' is not" in refusal(changed(SCHEMA, "sast-target/2"))
    assert f'missing key `schema`; hint: schema = "{SCHEMA}"' in refusal("")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"there is no such file; hint: shipped, by name: .*loihi2"):
        load_target(str(tmp_path / "none.toml"))
    with pytest.raises(BadFile, match="cannot be read: Is a directory"):
        load_target(f"{tmp_path}/")
    (tmp_path / "utf16.toml").write_bytes(TEXT.encode("utf-16"))
    with pytest.raises(BadFile, match="is no text in UTF-8"):
        load_target(str(tmp_path / "utf16.toml"))
    (tmp_path / "empty.toml").write_bytes(b"")
    with pytest.raises(BadFile, match="is empty"):
        load_target(str(tmp_path / "empty.toml"))


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(CompileError, match=r"unknown target 'loihi'; hint: did you mean `loihi2`"):
        load_target("loihi")


def test_the_shipped_folder_holds_data_only() -> None:
    assert {path.suffix for path in shipped("targets").iterdir()} == {".toml"}
