"""Variations of the public questions: similar mistakes are found too, and nothing unknown is claimed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from archscope.cli import cli

FILE = Path(__file__).parent / "question_modules.py"

ANSWERS = {
    "several inputs": (
        "Fused --input rgb=1x3x224x224 --input depth=1x1x112x112",
        ("a has 112 in H, from the input rgb", "rgb 112 high and wide or an input depth 224 high and wide fits"),
        ("project",),
    ),
    "the size of another map": ("Grid --input 1x3x33x40", ("an input 32 or 34 high fits",), ()),
    "a state of one direction": ("Gru --input 4x10x8", ("layers × directions 4", "a state of (4, 4, 16) fits"), ()),
    "a state of the other axis": ("Turned --input 4x10x8", ("layer-shape (layout)", "batch_first=True fits"), ()),
    "a mask of an encoder": (
        "Encoder --input x=4x9x8 --input mask=bool:4x9",
        ("product-shape", "src_key_padding_mask of the TransformerEncoder `stack`"),
        (),
    ),
    "a mask of pairs": (
        "Layer --input x=9x4x8 --input mask=bool:9x9",
        ("key_padding_mask is (batch, keys) = (4, 9)", "src_mask of the TransformerEncoderLayer `layer`"),
        (),
    ),
    "a mask of the memory": (
        "Whole --input x=4x9x8 --input y=4x7x8 --input mask=bool:4x9",
        ("memory_key_padding_mask of the Transformer `net`",),
        (),
    ),
    "a mask that fits nowhere": ("Encoder --input x=4x9x8 --input mask=bool:5x9", ("error forward",), ("takes this",)),
    "an unpacked size": ("Rows --input 1x1x64x100", ("h is 3, not 1", "an input 32 high fits"), ()),
    "multiples": (
        "Multiple --input 1x3x100x64",
        ("y.shape[-2] is 100, not a multiple of 32", "an input 96 or 128 high fits"),
        ("y.shape[-1] is",),
    ),
    "a size that fits nothing else": ("Blocked --input 1x3x32x32", ("h is 16, not 20",), ("fits",)),
    "a condition on more than sizes": ("Unclear --input 1x3x8x8", ("error forward",), ("is 3, not 4",)),
    "a given argument": (
        "Projected --arg width=8 --arg dim=16 --input 1x8",
        ("fix 1, checked (+1,024 parameters): `dim=32` for `Projected`, which is given 16",),
        (),
    ),
}
"""Kind → the target with its options, what is said, and what is not."""


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_neighbour_is_told_like_its_question(kind: str) -> None:
    asked, facts, never = ANSWERS[kind]
    target, *options = asked.split()
    result = CliRunner().invoke(cli, ["check", f"{FILE}:{target}", *options])
    text = " ".join(result.output.split())
    assert result.exit_code == 1, text
    assert [fact for fact in facts if fact not in text] == []
    assert [words for words in never if words in text] == []
