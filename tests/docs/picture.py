"""The picture at the head of the README: its broken block with line numbers, and what `archscope check` says of it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from tests.docs.pages import PAGES, ROOT, Block, blocks, lay_out, played

PICTURE = ROOT / "docs" / "check.svg"
SPEC = "net.yaml"
SIZE, ADVANCE, LEADING, MARGIN = 13, 7.8, 19, 16
INK, PALE, RED, GREEN, BLUE = "#1f2328", "#818b98", "#cf222e", "#116329", "#0550ae"
COLOURS = (
    (re.compile(r"\S+ error .*"), RED),
    (re.compile(r"[\s^]*\^[\s^]*"), RED),
    (re.compile(r"\s+\+ .*"), GREEN),
    (re.compile(r"\s+(help|fix \d).*"), BLUE),
    (re.compile(r"\$ .*"), PALE),
)
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>A residual block whose two sides do not fit, and what archscope check says of it</title>
<rect x="0.5" y="0.5" width="{inner_width}" height="{inner_height}" rx="8" fill="#ffffff" stroke="#d1d9e0"/>
<rect x="1" y="{top}" width="{band}" height="{leading}" fill="#ffebe9"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{size}">
{texts}
</g>
</svg>
"""


def broken_block() -> Block:
    """The README's spec with a mistake."""
    return next(block for block in blocks(PAGES[0]) if block.file == SPEC)


def told() -> str:
    """What `archscope check` says of it."""
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder), broken_block())
        os.chdir(folder)
        try:
            (turn,) = played(f"$ archscope check {SPEC}\n")
        finally:
            os.chdir(here)
    return f"$ {turn.command}\n{turn.output}"


def colour(line: str) -> str:
    return next((found for pattern, found in COLOURS if pattern.fullmatch(line)), INK)


def text(row: int, line: str, shade: str, indent: int = 0) -> str:
    """One line of text; its length is fixed, so that columns stand below each other in any font."""
    x, y = MARGIN + indent * ADVANCE, MARGIN + LEADING * (row + 1) - 5
    length = f'textLength="{len(line) * ADVANCE:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.1f}" y="{y}" {length} fill="{shade}" xml:space="preserve">{escape(line)}</text>'


def texts(spec: list[str], answer: list[str]) -> Iterator[str]:
    for row, line in enumerate(spec):
        yield text(row, str(row + 1), PALE)
        yield text(row, line, INK, indent=3)
    for row, line in enumerate(answer, start=len(spec) + 1):
        if line:
            yield text(row, line, colour(line))


def picture(spec: str, answer: str) -> str:
    """The SVG. The line of the spec that the first finding names is marked."""
    lines, said = spec.splitlines(), answer.splitlines()
    named = re.search(rf"{re.escape(SPEC)}:(\d+):", answer)
    assert named is not None
    columns = max(map(len, [*said, *lines]))
    width, height = round(2 * MARGIN + columns * ADVANCE), 2 * MARGIN + LEADING * (len(lines) + 1 + len(said))
    top = MARGIN + LEADING * (int(named[1]) - 1)
    return SVG.format(
        width=width,
        height=height,
        inner_width=width - 1,
        inner_height=height - 1,
        top=top,
        band=width - 2,
        leading=LEADING,
        size=SIZE,
        texts="\n".join(texts(lines, said)),
    )


def current() -> str:
    """The picture as it should be now."""
    return picture(broken_block().text, told())
