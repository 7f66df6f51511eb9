"""Comparison of two texts of a file: unified diffs, the first changed line, line endings carried over."""

from __future__ import annotations

import difflib
import os
import re

from archscope.errors import escape_invisible

NEEDS_QUOTES = re.compile(r'[\n\t"\\]')


def unified_diff(before: str, after: str, file: str) -> str:
    """Return the change as a unified diff with two lines of context, as `patch` and `git apply` accept it."""
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    lines = difflib.unified_diff(old, new, quote_git_path(f"a/{file}"), quote_git_path(f"b/{file}"), n=2)
    return "".join(line if line[-1] == "\n" else f"{line}\n\\ No newline at end of file\n" for line in lines)


def quote_git_path(name: str) -> str:
    """Return a path as git writes it in a patch: in quotes, with octal escapes, if it has unprintable characters."""
    if escape_invisible(name) == name and not NEEDS_QUOTES.search(name):
        return name
    parts = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\{byte:03o}" for byte in os.fsencode(name)
    )
    return f'"{"".join(parts)}"'


def with_line_endings(text: str, like: str) -> str:
    """Return a text with the line endings of another one, line by line; new lines get the more frequent ending."""
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", each) for each in (like, text))
    usual = "\r\n" if 2 * like.count("\r\n") > like.count("\n") else "\n"
    plain = [line.replace("\r\n", "\n") for line in old]
    out: list[str] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, plain, new, autojunk=False).get_opcodes():
        out += old[i:j] if kind == "equal" else [line.replace("\n", usual) for line in new[k:m]]
    return "".join(out)


def first_change(before: str, after: str) -> tuple[int, int]:
    """Return the line and the column of the first line of `before` that `after` changes, or inserts a line before."""
    lines = before.splitlines()
    for number, (old, new) in enumerate(zip(lines, after.splitlines(), strict=False)):
        if old != new:
            return number + 1, len(old) - len(old.lstrip(" ")) + 1
    return len(lines), 1


def common_prefix_length(first: str, second: str) -> int:
    """Return the number of equal characters at the beginning."""
    limit = min(len(first), len(second))
    return next((at for at in range(limit) if first[at] != second[at]), limit)
