"""Sheets as text of a given width: layers and targets are cut first, then the least important columns are left out;
numbers are never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tabulate import tabulate

from archscope.render.table_content import Sheet, printable_sheet

COLUMN_GAP = 2
PHRASE_SEPARATOR = " · "
BYTE_COLUMNS = ("backward_written", "backward_read", "written", "read")
DROPPABLE_TIME_COLUMNS = (
    "intensity",
    "bandwidth",
    "runs",
    "iqr",
    "graph",
    "rate",
    "best",
    "backward_time",
    "measured",
    "predicted",
)
DROP_ORDER = (
    *(
        "place",
        "rows",
        "findings",
        "set",
        "state",
        *BYTE_COLUMNS,
        "human",
        "from",
        "calls",
        "flops",
        "share",
        *DROPPABLE_TIME_COLUMNS,
        "output",
        "backward",
        "layer",
    ),
)
MIN_LAYER_WIDTH, MIN_FROM_WIDTH, MIN_TARGET_WIDTH = 20, 12, 24


def format_table(sheet: Sheet, *, width: int = 80) -> str:
    """Return the sheet as plain text, no line wider than `width` as far as paths and numbers allow."""
    fitted, gone = fit_sheet(printable_sheet(sheet), width)
    left_out = [f"left out at this width ({width}): {', '.join(gone)}; {sheet.help}"] if gone else []
    notes = [line for note in (*fitted.notes, *left_out) for line in hanging_lines(note, width)]
    head = wrap_phrases(sheet.head, width)
    lines = [*head, *([""] if head else []), *table_lines(fitted), *wrap_phrases(sheet.foot, width), *notes]
    return "\n".join(lines) + "\n" + sheet.findings_text


def wrap_phrases(phrases: Sequence[str], width: int, dot: str = PHRASE_SEPARATOR) -> list[str]:
    """Return phrases on lines no wider than `width`, wrapped between phrases, and within one only if it is wider than
    the line.
    """
    lines: list[str] = []
    for phrase in phrases:
        joined = f"{lines[-1]}{dot}{phrase}" if lines else phrase
        if lines and len(joined) <= width:
            lines[-1] = joined
        elif len(phrase) > width and " " in phrase:
            lines += wrap_phrases(phrase.split(" "), width, " ")
        else:
            lines.append(phrase)
    return lines


def hanging_lines(note: str, width: int) -> list[str]:
    """Return a note on lines no wider than `width`; if it contains two spaces in a row, further lines are indented to
    that gap.
    """
    gap = note.rfind("  ") + 2 if "  " in note else 0
    first, *rest = wrap_phrases(note[gap:].split(" "), width - gap, " ")
    return [note[:gap] + first, *(" " * gap + line for line in rest)]


def table_lines(sheet: Sheet) -> list[str]:
    laid = tabulate(
        all_rows(sheet),
        tablefmt="plain",
        colalign=["right" if heading.right else "left" for heading in sheet.headings],
        disable_numparse=True,
        preserve_whitespace=True,
    )
    return [line.rstrip() for line in laid.splitlines()]


# ------------------------------------------------------------ fitting
def fit_sheet(sheet: Sheet, width: int) -> tuple[Sheet, tuple[str, ...]]:
    """Return the sheet cut to `width`, and the headers of the columns that were left out.

    The least important columns are left out first; then those that still fit are added again, the most important
    first.
    """
    gone: list[str] = []
    for name in DROP_ORDER:
        if (
            total_width(shorten_cells(without_columns(sheet, gone), width)) <= width
            or len(sheet.headings) - len(gone) <= 2
        ):
            break
        if column_position(sheet, name) is not None:
            gone.append(name)
    for name in reversed(gone[:]):
        rest = [other for other in gone if other != name]
        if total_width(shorten_cells(without_columns(sheet, rest), width)) <= width:
            gone = rest
    headers = [heading.header for heading in sheet.headings if heading.name in gone and heading.header]
    return shorten_cells(without_columns(sheet, gone), width), tuple(headers)


def without_columns(sheet: Sheet, gone: Sequence[str]) -> Sheet:
    """Return the sheet without some of its columns."""
    for name in gone:
        at = column_position(sheet, name)
        if at is not None:
            sheet = replace(
                sheet,
                headings=(*sheet.headings[:at], *sheet.headings[at + 1 :]),
                rows=tuple((*row[:at], *row[at + 1 :]) for row in sheet.rows),
                total=(*sheet.total[:at], *sheet.total[at + 1 :]),
            )
    return sheet


def shorten_cells(sheet: Sheet, width: int) -> Sheet:
    """Return the sheet with layer texts cut as far as necessary and acceptable, then the names of inputs."""
    for name, least in (("layer", MIN_LAYER_WIDTH), ("from", MIN_FROM_WIDTH), ("target", MIN_TARGET_WIDTH)):
        at, excess = column_position(sheet, name), total_width(sheet) - width
        cut = sheet.headings[at].shorten if at is not None and excess > 0 else None
        if at is None or cut is None:
            continue
        column_width = max(column_widths(sheet)[at] - excess, least)
        rows = tuple((*row[:at], cut(row[at], column_width), *row[at + 1 :]) for row in sheet.rows)
        sheet = replace(sheet, rows=rows)
    return sheet


def column_position(sheet: Sheet, name: str) -> int | None:
    return next((at for at, heading in enumerate(sheet.headings) if heading.name == name), None)


def column_widths(sheet: Sheet) -> list[int]:
    return [max(map(len, column)) for column in zip(*all_rows(sheet), strict=True)]


def all_rows(sheet: Sheet) -> list[tuple[str, ...]]:
    """Return headers, rows and bottom line (tabulate pads headers, so they are passed as a row)."""
    return [tuple(heading.header for heading in sheet.headings), *sheet.rows, *([sheet.total] if sheet.total else [])]


def total_width(sheet: Sheet) -> int:
    cells = column_widths(sheet)
    return sum(cells) + COLUMN_GAP * (len(cells) - 1)
