"""Writes what the documentation shows anew: `python -m tests.docs.update`. Review the difference before you keep it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import mock

import torch

from tests.docs import picture
from tests.docs.pages import LIST, PAGES, blocks, lay_out, listed, lists, rewritten


def updated(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        if block.language == "console":
            with tempfile.TemporaryDirectory() as folder:
                lay_out(Path(folder), block)
                os.chdir(folder)
                fence = f"```console{f' {block.info}' if block.info else ''}\n"
                text = text.replace(f"{fence}{block.text}```", f"{fence}{rewritten(block.text)}```", 1)
                os.chdir(page.parent)
    words = lists()
    return LIST.sub(lambda match: match[1] + listed(words[match[2]]) + match[4], text)


def main() -> None:
    with mock.patch.object(torch.cuda, "is_available", return_value=False):
        for page in PAGES:
            page.write_text(updated(page), encoding="utf-8")
        picture.PICTURE.write_text(picture.current(), encoding="utf-8")


if __name__ == "__main__":
    main()
