"""Sheet → a Markdown table with its sentences around it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tabulate import tabulate

from archscope.errors import one_line
from archscope.render.sheet import Sheet, legible

INDENT = "&nbsp;&nbsp;"
MARKS = re.compile(r"[\\|*_<\[`&~]")
BLOCK = re.compile(r"^(\s*(?:\d{1,9}(?=[.)](?:\s|$)))?)([#>+=.)-])")


def text(sheet: Sheet) -> str:
    """Headline in bold, table, bottom line in bold, sentences; what Markdown would read as markup is escaped."""
    sheet = legible(sheet)
    rows = [[escaped(cell) for cell in row] for row in sheet.rows]
    rows += [[f"**{escaped(cell)}**" if cell else "" for cell in sheet.total]] if sheet.total else []
    table = tabulate(
        rows,
        headers=[escaped(heading.header) for heading in sheet.headings],
        tablefmt="pipe",
        colalign=["right" if heading.right else "left" for heading in sheet.headings],
        disable_numparse=True,
    )
    title, *facts = map(escaped, sheet.head or ("",))
    head = " · ".join([f"**{title}**", *facts]) if title else ""
    return paragraphs(
        [head, table, sentence(" · ".join(sheet.foot)), *map(sentence, sheet.notes), fenced(sheet.found.splitlines())]
    )


def escaped(cell: str) -> str:
    """The cell with its indentation kept and nothing in it that Markdown would take for markup."""
    words = MARKS.sub(r"\\\g<0>", one_line(cell).lstrip(" "))
    return INDENT * ((len(cell) - len(cell.lstrip(" "))) // 2) + words


def sentence(words: str) -> str:
    """The words as a paragraph: what would make a heading, a list or a quotation of it is escaped too."""
    return BLOCK.sub(r"\1\\\2", escaped(words))


def fenced(lines: Iterable[str], *, language: str = "text") -> str:
    """The lines as they are, as code; nothing where there is none."""
    body = "\n".join(lines)
    fence = "`" * max(3, longest_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}" if body else ""


def longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def paragraphs(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
