"""Tests of indices outside of their table, from inputs with a range in the spec and from arange."""

from __future__ import annotations

from pathlib import Path

import pytest

import archscope
from tests.checks.lint.nets import finding_keys, of_steps

TOKENS = "{shape: [N, 12], dtype: int64, high: 100}"
COLUMNS = "a: Embedding({0}, 8)(x[:, 0]); b: Embedding({1}, 8)(x[:, 1]); a + b"


@pytest.mark.parametrize(
    ("steps", "paths"),
    [
        ("Embedding(50, 8)", ["0"]),
        ("Embedding(99, 8)", ["0"]),
        ("Embedding(100, 8)", []),
        ("EmbeddingBag(50, 8)", ["0"]),
        ("embedding(x, Parameter(50, 8))", ["0"]),
        ("one_hot(50)", ["0"]),
        ("one_hot(100)", []),
        ("view(N, 3, 4); flip(2); transpose(1, 2); flatten(1); unsqueeze(1); Embedding(50, 8)", ["5"]),
        ("'x[:, :-1]'; Embedding(50, 8)", ["1"]),
        ("'cat([zeros(N, 1, dtype=int64), x], dim=1)'; Embedding(50, 8)", ["1"]),
        ("x % 50; Embedding(50, 8)", []),
        ("clamp(max=49); Embedding(50, 8)", []),
        (COLUMNS.format(50, 100), []),  # the range is that of the largest column
        (COLUMNS.format(50, 60), ["a", "b"]),
        ("a: Embedding(100, 8); a + Embedding(12, 8)(arange(12))", []),
        ("a: Embedding(100, 8); a + Embedding(8, 8)(arange(12))", ["1"]),
        ("a: Embedding(100, 8); a + Embedding(8, 8)(arange(12).unsqueeze(0).expand(N, -1))", ["1"]),
        ("a: Embedding(100, 8); a[:, :4] + Embedding(8, 8)(arange(12)[:4])", []),
        ("a: Embedding(100, 8); a + Embedding(8, 8)(arange(12) // 2)", []),
    ],
)
def test_tables_that_are_too_small(steps: str, paths: list[str], tmp_path: Path) -> None:
    found = [one for one in finding_keys(of_steps(tmp_path, TOKENS, steps)) if one[0] == "index-range"]
    assert found == [("index-range", "error", path) for path in paths]


def test_an_unknown_range_is_no_finding(tmp_path: Path) -> None:
    assert of_steps(tmp_path, "int64[N, 12]", "Embedding(1, 8)") == ()


def test_the_same_is_found_in_blocks_of_every_variant(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(
        f"input: {TOKENS.replace('100', 'vocab')}\nparams: {{vocab: 100}}\nvariants: {{a: {{}}, b: {{vocab: 200}}}}\n"
        'blocks:\n  Words(n): ["Embedding(n, 8)", LayerNorm]\nlayers: [Words(100)]\n',
        encoding="utf-8",
    )
    found = {one.target.rpartition(":")[2]: finding_keys(one.findings) for one in archscope.check(str(file))}
    assert found == {"a": [], "b": [("index-range", "error", "0.0")]}
