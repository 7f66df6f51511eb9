"""Golden cases of broken networks: a spec, followed by the findings of check with their first fixes as comments.

cases/NAME.yaml → spec | findings        `python -m tests.checks.golden` rewrites the findings; review them
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import archscope
from archscope.render.findings import format_findings
from archscope.report import Finding

FOLDER = Path(__file__).parent / "cases"
MARK = "# --- found\n"
WIDTH = 112


@dataclass(frozen=True)
class Case:
    """One file of the folder. name: as used in messages."""

    name: str
    spec: str
    golden: str

    def __str__(self) -> str:
        return self.name.removesuffix(".yaml")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def cases() -> list[Case]:
    return [Case(path.name, *parted(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("*.yaml"))]


def parted(content: str) -> tuple[str, str]:
    spec, _, golden = content.partition(MARK)
    return spec, "".join(f"{line.removeprefix('# ').removeprefix('#')}\n" for line in golden.splitlines())


@cache
def checked(case: Case) -> tuple[Finding, ...]:
    """Return the findings of a case."""
    with inside(FOLDER):
        return tuple(f for one in archscope.check(case.name, texts={case.name: case.spec}) for f in one.findings)


def shown(findings: tuple[Finding, ...]) -> str:
    return format_findings([replace(finding, fixes=finding.fixes[:1]) for finding in findings], width=WIDTH)


def update() -> None:
    for case in cases():
        lines = [f"# {line}".rstrip() for line in shown(checked(case)).splitlines()]
        (FOLDER / case.name).write_text("\n".join([case.spec + MARK.rstrip(), *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    update()
