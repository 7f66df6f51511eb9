"""Sheets as Markdown tables with sentences around them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tabulate import tabulate

from archscope.errors import escape_one_line
from archscope.render.table_content import Sheet, printable_sheet

INDENT = "&nbsp;&nbsp;"
MARKUP_CHARACTERS = re.compile(r"[\\|*_<\[`&~]")
BLOCK_START = re.compile(r"^(\s*(?:\d{1,9}(?=[.)](?:\s|$)))?)([#>+=.)-])")


def format_markdown(sheet: Sheet) -> str:
    """Return the headline in bold, the table, the bottom line in bold, and sentences; Markdown markup in texts is
    escaped.
    """
    sheet = printable_sheet(sheet)
    rows = [[escape_markdown(cell) for cell in row] for row in sheet.rows]
    rows += [[f"**{escape_markdown(cell)}**" if cell else "" for cell in sheet.total]] if sheet.total else []
    table = tabulate(
        rows,
        headers=[escape_markdown(heading.header) for heading in sheet.headings],
        tablefmt="pipe",
        colalign=["right" if heading.right else "left" for heading in sheet.headings],
        disable_numparse=True,
    )
    title, *facts = map(escape_markdown, sheet.head or ("",))
    head = " · ".join([f"**{title}**", *facts]) if title else ""
    return join_paragraphs(
        [
            head,
            table,
            escape_paragraph(" · ".join(sheet.foot)),
            *map(escape_paragraph, sheet.notes),
            code_block(sheet.findings_text.splitlines()),
        ]
    )


def escape_markdown(cell: str) -> str:
    """Return the cell with its indentation kept and Markdown markup escaped."""
    words = MARKUP_CHARACTERS.sub(r"\\\g<0>", escape_one_line(cell).lstrip(" "))
    return INDENT * ((len(cell) - len(cell.lstrip(" "))) // 2) + words


def escape_paragraph(words: str) -> str:
    """Return the words as a paragraph; markup of headings, lists and quotations is escaped."""
    return BLOCK_START.sub(r"\1\\\2", escape_markdown(words))


def code_block(lines: Iterable[str], *, language: str = "text") -> str:
    """Return the lines as a code block; none if there are no lines."""
    body = "\n".join(lines)
    fence = "`" * max(3, longest_backtick_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}" if body else ""


def longest_backtick_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def join_paragraphs(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
