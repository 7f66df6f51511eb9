"""Specs and live models, changed by a seed: numbers, names and lines of good specs; layers with other arguments."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.strategies import COUNTS, HUGE, LISTS, ODD

SPECS = Path(__file__).parents[2] / "specs"
NUMBERS = (*COUNTS, *HUGE, *ODD, *LISTS)
INPUTS = ((2, 4, 8, 8), (2, 8), (4,), (), (2, 4, 8), (0, 4, 8, 8), (1, 2, 4, 4, 4))


def changed_spec(seed: int) -> str:
    """A spec that comes with the package, with one to three things of it changed."""
    dice = Random(seed)
    files = sorted(SPECS.rglob("*.yaml"))
    text = dice.choice(files).read_text("utf-8")
    for _ in range(dice.randint(1, 3)):
        text = dice.choice(CHANGES)(text, dice)
    return text


def other_number(text: str, dice: Random) -> str:
    return replaced(text, r"(?<![\w.])\d+(?![\w.])", dice.choice(NUMBERS), dice)


def other_name(text: str, dice: Random) -> str:
    words = re.findall(r"[A-Za-z_]\w{2,}", text)
    return replaced(text, r"[A-Za-z_]\w{2,}", dice.choice(words), dice)


def other_sign(text: str, dice: Random) -> str:
    return replaced(text, r"[-+*/,:()\[\]]", dice.choice("-+*/,:()[]{}'\"#&!|>%@"), dice)


def without_line(text: str, dice: Random) -> str:
    lines = text.splitlines()
    del lines[dice.randrange(len(lines))]
    return "\n".join(lines) + "\n"


def line_elsewhere(text: str, dice: Random) -> str:
    lines = text.splitlines()
    lines.insert(dice.randrange(len(lines)), dice.choice(lines))
    return "\n".join(lines) + "\n"


def other_indent(text: str, dice: Random) -> str:
    lines = text.splitlines()
    at = dice.randrange(len(lines))
    lines[at] = dice.choice((" ", "  ", "")) + lines[at].removeprefix("  ")
    return "\n".join(lines) + "\n"


CHANGES = (other_number, other_number, other_name, other_sign, without_line, line_elsewhere, other_indent)


def replaced(text: str, pattern: str, by: str, dice: Random) -> str:
    """One place that the pattern matches, replaced."""
    places = list(re.finditer(pattern, text))
    if not places:
        return text
    place = dice.choice(places)
    return text[: place.start()] + by + text[place.end() :]


def live_model(seed: int) -> tuple[Any, Any] | None:
    """A module of layers with odd arguments, and the shape of an input; None where torch does not make it."""
    from torch import nn

    from archscope.torch_layers.signatures import constructor_signature, torch_layers

    dice, layers = Random(seed), []
    for _ in range(dice.randint(1, 3)):
        cls = dice.choice(list(torch_layers().values()))
        needed = [p.name for p in constructor_signature(cls).parameters.values() if p.default is p.empty]
        try:
            layers.append(cls(**{name: dice.choice((1, 2, 4, 8, (2, 2), 3)) for name in needed}))
        except Exception:  # noqa: BLE001 - torch's constructors raise what they like
            return None
    model = nn.Sequential(*layers)
    for module in model.modules():  # as an author might have done by mistake
        for name in [name for name, value in vars(module).items() if type(value) is int]:
            if dice.random() < 0.2:
                value = dice.choice((0, -1, 1, 7, 10**4, 10**9, 2**62, None, "a", 1.5))
                hangs = isinstance(module, nn.MaxPool1d) and type(value) is int and value > 10**4  # in torch itself
                setattr(module, name, 7 if hangs else value)
    return model, dice.choice(INPUTS)
