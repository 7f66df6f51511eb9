"""Project settings: the `[tool.archscope]` section of the nearest pyproject.toml, read into a Config.

[tool.archscope]
specs = ["specs"]             # folders and files of specs, from this file's folder
select = ["spec", "conflict"] # rules and families of rules that count; all of them without it
ignore = ["dropped-pixels"]
max-params = "5M"             # budgets of every target
max-macs = "1G"
baseline = "baseline.json"    # the file that targets are compared with,
tolerance = "2%"              # and how far they may differ, either way
object = "64x64"              # the object size that a receptive field must cover: height x width
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from archscope import units
from archscope.errors import Span, UsageError, did_you_mean
from archscope.plain_files import read_plain_file

CONFIG_FILE = "pyproject.toml"
SECTION_HEADER = re.compile(r"^\s*\[tool\.archscope\]\s*(?:#.*)?$", re.MULTILINE)
SIZE_PATTERN = re.compile(r"\s*([1-9]\d{0,9})\s*[x×,]\s*([1-9]\d{0,9})\s*")
QUOTED_OR_COMMENT = re.compile(r""""[^"]*"|'[^']*'|#.*""")
MAX_CONFIG_BYTES, MAX_KEY_PARTS = 1 << 20, 500
"""The maximum size of the file, and of parts in a dotted key (tomllib takes quadratic time in their number)."""


@dataclass(frozen=True)
class Config:
    """The values of `[tool.archscope]`; None or () for keys that are absent. Paths are as written in the file.

    file: the pyproject.toml that was read; empty where there is none.
    """

    specs: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    max_params: units.WrittenFigure | None = None
    max_macs: units.WrittenFigure | None = None
    tolerance: Decimal | None = None
    baseline: str | None = None
    object: tuple[int, int] | None = None
    file: str = ""

    def resolve_path(self, path: str) -> str:
        """Return a path of this file relative to the folder of the pyproject.toml."""
        return os.path.join(os.path.dirname(self.file), path)


def find_config(folder: Path) -> Config:
    """Return the configuration of the nearest pyproject.toml in `folder` or above it; an empty one if there is none.

    Raises UsageError with file, line and help for an unknown key, an invalid value, or a file that is not valid TOML.
    """
    start = folder.resolve()
    path = next((above / CONFIG_FILE for above in (start, *start.parents) if (above / CONFIG_FILE).is_file()), None)
    return parse_config(read_config_text(path), str(path)) if path else Config()


def read_config_text(path: Path) -> str:
    try:
        return read_plain_file(path, most=MAX_CONFIG_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot be read: {reason}", place=Span(str(path), 0, 0)) from None


def parse_config(text: str, file: str) -> Config:
    """Return the `[tool.archscope]` section of the text of a pyproject.toml."""
    whole = Span(file, 0, 0)
    if any(QUOTED_OR_COMMENT.sub("", line).count(".") > MAX_KEY_PARTS for line in text.splitlines()):
        raise UsageError(f"a key of more than {MAX_KEY_PARTS} parts", "a shorter one", whole)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not valid TOML: {error}", place=whole) from None
    except (ValueError, RecursionError) as error:  # int() limits the number of digits, tomllib the depth
        deep = isinstance(error, RecursionError)
        fact = "values are nested too deep" if deep else "a number has too many digits"
        raise UsageError(f"{fact} to be read", "a shorter one", whole) from None
    section = document.get("tool", {})
    section = section.get("archscope", {}) if isinstance(section, Mapping) else {}
    if not isinstance(section, Mapping):
        raise UsageError(f"tool.archscope is {units.short_repr(section)}", "write a section: [tool.archscope]", whole)
    values = {
        key.replace("-", "_"): parse_key_value(key, value, key_span(text, file, key)) for key, value in section.items()
    }
    return Config(**values, file=file)


def key_span(text: str, file: str, key: str) -> Span:
    """Return the place of a key in the file; the file as a whole if the key is not found."""
    section = SECTION_HEADER.search(text)
    line = re.compile(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=", re.MULTILINE)
    found = line.search(text, section.end()) if section else None
    if not found:
        return Span(file, 0, 0)
    start = found.end() - len(found[0].lstrip())
    return Span(file, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))


def parse_key_value(key: str, value: Any, where: Span) -> Any:
    """Return the parsed value of a key. Raises UsageError for an unknown key or an invalid value."""
    if key not in KEY_PARSERS:
        suggestion = did_you_mean(key, KEY_PARSERS) or f"keys: {', '.join(KEY_PARSERS)}"
        raise UsageError(f"unknown key {key!r} in [tool.archscope]", suggestion, where)
    read_value, example = KEY_PARSERS[key]
    try:
        return read_value(value)
    except ValueError as error:
        said = str(error) or f"{units.short_repr(value)} is not a valid value for it"
        raise UsageError(f"{key}: {said}", f"for example {key} = {example}", where) from None


# ------------------------------------------------------------ parsers of values: raise ValueError
def parse_word_list(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise ValueError(f"{units.short_repr(value)} is not a list of texts")
    return tuple(value)


def parse_word(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{units.short_repr(value)} is not a text")
    return value


def parse_image_size(value: Any) -> tuple[int, int]:
    """Return `"64x64"` as (64, 64)."""
    match = SIZE_PATTERN.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"{units.short_repr(value)} is not height x width")
    return int(match[1]), int(match[2])


KEY_PARSERS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "specs": (parse_word_list, '["specs"]'),
    "select": (parse_word_list, '["spec", "conflict"]'),
    "ignore": (parse_word_list, '["dropped-pixels"]'),
    "max-params": (units.parse_limit, '"5M"'),
    "max-macs": (units.parse_limit, '"1G"'),
    "tolerance": (units.parse_tolerance, '"2%"'),
    "baseline": (parse_word, '"baseline.json"'),
    "object": (parse_image_size, '"64x64"'),
}
