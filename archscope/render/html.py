"""Sheets as HTML fragments for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from archscope.render.table_content import Sheet, printable_sheet


def format_html(sheet: Sheet) -> str:
    """Return a paragraph, a table with aligned cells, and a paragraph for each line below; every text is escaped."""
    sheet = printable_sheet(sheet)
    sides = ["right" if heading.right else "left" for heading in sheet.headings]
    parts = [
        paragraph(" · ".join(sheet.head)),
        '<table class="archscope">',
        table_row([heading.header for heading in sheet.headings], sides, "th"),
        *(table_row(cells, sides, "td") for cells in sheet.rows),
        table_row(sheet.total, sides, "th") if sheet.total else "",
        "</table>",
        paragraph(" · ".join(sheet.foot)),
        *map(paragraph, sheet.notes),
        f"<pre>{escape(sheet.findings_text.rstrip())}</pre>" if sheet.findings_text else "",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def table_row(cells: Sequence[str], sides: Sequence[str], tag: str) -> str:
    styled = (
        f'<{tag} style="text-align: {side}; white-space: pre">{escape(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(styled)}</tr>"


def paragraph(phrase: str) -> str:
    return f"<p>{escape(phrase)}</p>" if phrase else ""
