"""Small mistakes that an expert sees at once: the cause, the names in the walk, and the line that a fix changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import archscope
from archscope.report import Finding

HEAD = """\
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
"""


@dataclass(frozen=True)
class Mistake:
    """made: the lines of `__init__`; run: those of `forward`. fixed: the intended line; "" if unknown. words: parts of
    the finding's text."""

    made: str
    run: str
    input: tuple[int, ...]
    cause: str
    fixed: str
    words: tuple[str, ...]

    def written(self, folder: Path) -> str:
        body = "".join(f"        {line}\n" for line in self.made.splitlines())
        run = "".join(f"        {line}\n" for line in self.run.splitlines())
        path = folder / "net.py"
        path.write_text(f"{HEAD}{body}\n    def forward(self, x):\n{run}", encoding="utf-8")
        return f"{path}:Net"


TWO = "self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)\nself.head = nn.Conv2d(8, 5, 1)"
LEVELS = """\
self.c3 = nn.Conv2d(3, 16, {kernel}, stride=2, padding=1)
self.c4 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
self.p3, self.p4 = nn.Conv2d(16, 12, 1), nn.Conv2d(32, 12, 1)"""
PYRAMID = """\
c3 = self.c3(x)
return self.p3(c3) + F.interpolate(self.p4(self.c4(c3)), scale_factor=2)"""
PATCHES = """\
self.patches = nn.Conv2d(3, 32, 8, stride=8)
self.token = nn.Parameter(torch.zeros(1, 1, 32))"""
MISTAKES = {
    "cat along the height": Mistake(
        TWO,
        "return self.head(torch.relu(torch.cat([self.a(x), self.b(x)], dim=2)))",
        (1, 3, 8, 8),
        "layout",
        "return self.head(torch.relu(torch.cat([self.a(x), self.b(x)], dim=1)))",
        ("cat along dim=1 before it gives in_channels=8", "joins (1, 4, 8, 8) and (1, 4, 8, 8) along dim 2"),
    ),
    "cat along the batch": Mistake(
        TWO,
        "return self.head(torch.cat([self.a(x), self.b(x)]))",
        (2, 3, 8, 8),
        "layout",
        "return self.head(torch.cat([self.a(x), self.b(x)], dim=1))",
        ("cat along dim=1 before it gives in_channels=8",),
    ),
    "features along the length": Mistake(
        "self.one, self.head = nn.Linear(8, 8), nn.Linear(16, 2)",
        "return self.head(torch.cat((self.one(x), x), dim=1))",
        (2, 5, 8),
        "layout",
        "return self.head(torch.cat((self.one(x), x), dim=2))",
        ("cat along dim=2 before it gives in_features=16",),
    ),
    "cat along a dimension that is not there": Mistake(
        TWO,
        "return self.head(torch.cat([self.a(x), self.b(x)], dim=4))",
        (2, 3, 8, 8),
        "layout",
        "return self.head(torch.cat([self.a(x), self.b(x)], dim=1))",
        ("there is no dimension 4 in (2, 4, 8, 8) and (2, 4, 8, 8)",),
    ),
    "a token joined along the batch": Mistake(
        PATCHES,
        "y = self.patches(x).flatten(2).transpose(1, 2)\nreturn torch.cat([self.token, y], dim=0)",
        (1, 3, 64, 96),
        "layout",
        "return torch.cat([self.token, y], dim=1)",
        ("cat along dim=1 fits",),
    ),
    "a transposition of a dimension that is not there": Mistake(
        PATCHES,
        "return self.patches(x).flatten(2).transpose(1, 3)",
        (1, 3, 64, 96),
        "layout",
        "",
        ("transpose: there is no dimension 3 in (1, 32, 96)", "its dimensions go from 0 to 2"),
    ),
    "a permutation of too few dimensions": Mistake(
        PATCHES,
        "return self.patches(x).permute(0, 2, 1)",
        (1, 3, 64, 96),
        "layout",
        "",
        ("permute orders 3 dimensions, its input (1, 32, 8, 12) has 4",),
    ),
    "an odd level": Mistake(
        LEVELS.format(kernel=5),
        PYRAMID,
        (1, 3, 32, 48),
        "off-by-one",
        "self.c3 = nn.Conv2d(3, 16, 5, stride=2, padding=2)",
        ("c3", "32×48 → 15×23"),
    ),
    "a level of another name": Mistake(
        LEVELS.format(kernel=3),
        PYRAMID.replace("self.p3(c3)", "self.p3(x)"),
        (1, 3, 32, 48),
        "source",
        "return self.p3(c3) + F.interpolate(self.p4(self.c4(c3)), scale_factor=2)",
        ("Conv2d says in_channels=16",),
    ),
}


def first(target: str, **options: object) -> Finding:
    (checked,) = archscope.check(target, **options)
    return checked.findings[0]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_reported_and_fixed(name: str, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    found = first(mistake.written(tmp_path), input=mistake.input)
    text = "\n".join([found.message, found.help, *(f"{link.path} {link.text}" for link in found.walk)])
    assert found.cause == mistake.cause
    assert [word for word in mistake.words if word not in text] == []
    added = [line[1:].strip() for fix in found.fixes[:1] for line in fix.edit.splitlines() if line[:1] == "+"]
    assert [line for line in added if not line.startswith("++")] == ([mistake.fixed] if mistake.fixed else [])


def test_steps_of_a_forward_have_their_lines(tmp_path: Path) -> None:
    run = "y = self.patches(x)\ny = y.flatten(2)\ny = y.transpose(1, 2)\nreturn self.head(y.flatten(1))"
    mistake = Mistake(f"{PATCHES}\nself.head = nn.Linear(30, 4)", run, (1, 3, 64, 96), "channels", "", ())
    found = first(mistake.written(tmp_path), input=mistake.input)
    lines = [link.place.line for link in found.walk if link.path == "forward" and link.place is not None]
    assert [line - lines[0] for line in lines] == [0, 1, 2]


POSITIONS = """\
input: [N, 3, 64, 96]
layers:
  - Conv2d(32, 8, stride=8)
  - flatten(2)
  - transpose(1, 2)
  - cat([Parameter(1, 1, 32).expand(N, -1, -1), prev], dim=1)
"""


@pytest.mark.parametrize("wrong", ["  - flatten(3)\n", ""])
def test_images_that_were_to_be_flattened(wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(POSITIONS.replace("  - flatten(2)\n", wrong), encoding="utf-8")
    found = first(str(path))
    assert found.cause == "layout"
    assert any("leaves 32×8×12 as it is" in link.text for link in found.walk) == bool(wrong)
    assert found.fixes[0].text == POSITIONS
