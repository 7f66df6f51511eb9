"""Sheet → text of a given width: layers and targets are cut first, then the least columns go; numbers are never cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tabulate import tabulate

from archscope.render.sheet import Heading, Sheet, legible

GAP = 2
DOT = " · "
MOVED = ("backward_written", "backward_read", "written", "read")
TIMED = ("intensity", "bandwidth", "runs", "iqr", "graph", "rate", "best", "backward_time", "measured", "predicted")
LEAST_FIRST = (
    *(
        "place",
        "rows",
        "findings",
        "set",
        "state",
        *MOVED,
        "human",
        "from",
        "calls",
        "flops",
        "share",
        *TIMED,
        "output",
        "backward",
        "layer",
    ),
)
SHORTEST_LAYER, SHORTEST_FROM, SHORTEST_TARGET = 20, 12, 24


def text(sheet: Sheet, *, width: int = 80) -> str:
    """The sheet as plain text, no line wider than `width` as far as paths and numbers allow."""
    fitted, gone = fit(legible(sheet), width)
    left_out = [f"left out at this width ({width}): {', '.join(gone)}; {sheet.cure}"] if gone else []
    notes = [line for note in (*fitted.notes, *left_out) for line in hung(note, width)]
    parts = [wrapped(sheet.head, width), grid(fitted), [*wrapped(sheet.foot, width), *notes]]
    return "\n".join(gathered(parts)) + "\n" + sheet.found


def gathered(parts: Iterable[Sequence[str]]) -> list[str]:
    """The parts' lines; an empty line after the head."""
    head, table, foot = parts
    return [*head, *([""] if head else []), *table, *foot]


def wrapped(phrases: Sequence[str], width: int, dot: str = DOT) -> list[str]:
    """Phrases on lines no wider than `width`, broken between them (a single longer phrase between its words)."""
    lines: list[str] = []
    for phrase in phrases:
        joined = f"{lines[-1]}{dot}{phrase}" if lines else phrase
        if lines and len(joined) <= width:
            lines[-1] = joined
        elif len(phrase) > width and " " in phrase:
            lines += wrapped(phrase.split(" "), width, " ")
        else:
            lines.append(phrase)
    return lines


def hung(note: str, width: int) -> list[str]:
    """A note on lines no wider than `width`; where a gap of two blanks is in it, the lines below begin after that."""
    gap = note.rfind("  ") + 2 if "  " in note else 0
    first, *rest = wrapped(note[gap:].split(" "), width - gap, " ")
    return [note[:gap] + first, *(" " * gap + line for line in rest)]


def grid(sheet: Sheet) -> list[str]:
    laid = tabulate(
        everything(sheet),
        tablefmt="plain",
        colalign=["right" if heading.right else "left" for heading in sheet.headings],
        disable_numparse=True,
        preserve_whitespace=True,
    )
    return [line.rstrip() for line in laid.splitlines()]


# ------------------------------------------------------------ fitting
def fit(sheet: Sheet, width: int) -> tuple[Sheet, tuple[str, ...]]:
    """The sheet cut to `width`, and the headers of the columns that had to go.

    The least columns go first; then those that still find room come back, the most telling first.
    """
    gone: list[str] = []
    for name in LEAST_FIRST:
        if total_width(shortened(kept(sheet, gone), width)) <= width or len(sheet.headings) - len(gone) <= 2:
            break
        if position(sheet, name) is not None:
            gone.append(name)
    for name in reversed(gone[:]):
        rest = [other for other in gone if other != name]
        if total_width(shortened(kept(sheet, rest), width)) <= width:
            gone = rest
    headers = [heading.header for heading in sheet.headings if heading.name in gone and heading.header]
    return shortened(kept(sheet, gone), width), tuple(headers)


def kept(sheet: Sheet, gone: Sequence[str]) -> Sheet:
    """The sheet without some of its columns."""
    for name in gone:
        at = position(sheet, name)
        sheet = sheet if at is None else without(sheet, at)
    return sheet


def shortened(sheet: Sheet, width: int) -> Sheet:
    """Layer texts cut as far as needed and bearable, then the names of what a line reads."""
    for name, least in (("layer", SHORTEST_LAYER), ("from", SHORTEST_FROM), ("target", SHORTEST_TARGET)):
        at, excess = position(sheet, name), total_width(sheet) - width
        if at is None or excess <= 0:
            continue
        sheet = cut_to(sheet, at, max(widths(sheet)[at] - excess, least))
    return sheet


def cut_to(sheet: Sheet, at: int, width: int) -> Sheet:
    cut = sheet.headings[at].shorten
    if cut is None:
        return sheet
    rows = tuple((*row[:at], cut(row[at], width), *row[at + 1 :]) for row in sheet.rows)
    return replace(sheet, rows=rows)


def position(sheet: Sheet, name: str) -> int | None:
    return next((at for at, heading in enumerate(sheet.headings) if heading.name == name), None)


def without(sheet: Sheet, at: int) -> Sheet:
    headings: tuple[Heading, ...] = (*sheet.headings[:at], *sheet.headings[at + 1 :])
    rows = tuple((*row[:at], *row[at + 1 :]) for row in sheet.rows)
    return replace(sheet, headings=headings, rows=rows, total=(*sheet.total[:at], *sheet.total[at + 1 :]))


def widths(sheet: Sheet) -> list[int]:
    return [max(map(len, column)) for column in zip(*everything(sheet), strict=True)]


def everything(sheet: Sheet) -> list[tuple[str, ...]]:
    """Headers, rows and bottom line (tabulate would pad headers of its own, so they are a row)."""
    return [tuple(heading.header for heading in sheet.headings), *sheet.rows, *([sheet.total] if sheet.total else [])]


def total_width(sheet: Sheet) -> int:
    cells = widths(sheet)
    return sum(cells) + GAP * (len(cells) - 1)
