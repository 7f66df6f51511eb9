"""No option is ignored in silence: it works, or is refused with exit code 2 and what works instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import archscope
from archscope.errors import UsageError
from tests.commands import rows, run

SPEC = """\
params: {width: 4}
input: [N, 3, 16, 16]
variants:
  small: {width: 8}
  large: {width: 16}
layers:
  - Conv2d(width, 3)
  - repeat: 2
    do:
      - Conv2d(width, 3, padding=1)
      - ReLU
  - Flatten
  - Linear(10)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    ("arguments", "help"),
    [
        ("flops --compare net.yaml --by type", "leave --compare out"),
        ("flops --compare net.yaml --by module", "leave --compare out"),
        ("flops --compare net.yaml --depth 2", "leave --compare out"),
        ("flops --compare net.yaml --expand", "leave --compare out"),
        ("flops --compare net.yaml --columns share", "columns: target"),
        ("flops --compare net.yaml --sort field", "columns: target"),
        ("flops --compare net.yaml --sort macs --format json", "--format csv"),
        ("flops --compare net.yaml --against tiny", "it compares small, large"),
        ("flops --compare a=net.yaml:small a=net.yaml:large", "a name for each"),
        ("flops --compare --cross-check net.yaml", "ask for one of them"),
        ("flops --cross-check net.yaml --by type", "leave --cross-check out"),
        ("flops --cross-check net.yaml --sort macs", "leave --cross-check out"),
        ("flops --cross-check net.yaml --columns path", "leave --cross-check out"),
        ("flops net.yaml --against small", "--compare --against small"),
        ("flops a=net.yaml", "--compare"),
        ("flops net.yaml --columns params_ratio", "columns: path"),
        ("flops net.yaml --by type --depth 2", "--by module"),
        ("flops net.yaml --by depth --expand", "--by module"),
        ("flops net.yaml --format json --columns path", "--format csv"),
        ("summary net.yaml --format json --sort macs", "--format csv"),
        ("summary net.yaml --format json --depth 1", "--format csv"),
        ("summary net.yaml --format json --expand", "--format csv"),
        ("summary net.yaml --columns path,backward", "--train records it"),
        ("summary net.yaml --sort backward_read", "--train records it"),
        ("summary net.yaml --set width=3 --arg width=4", "--set for a spec, --arg for Python"),
        ("check net.yaml --diff --format json", "leave one of them out"),
        ("check net.yaml --diff --level note", "leave one of them out"),
        ("check net.yaml --fix --arg width=4", "leave --set, --arg and --input out"),
        ("time net.yaml --format json --by type", "--format csv"),
        ("time net.yaml --by type --depth 2", "--by module"),
        ("time net.yaml --no-rows --sort time", "or --no-rows"),
        ("time net.yaml --compile --depth 1", "or --compile"),
        ("time net.yaml --columns backward_time", "--train records it"),
    ],
)
def test_what_would_have_no_effect_is_refused_with_a_cure(arguments: str, help: str) -> None:
    result = run(*arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "help: " in result.stderr
    assert help in " ".join(result.stderr.split())


def test_a_comparison_is_sorted_and_has_the_columns_that_are_chosen() -> None:
    found = rows("flops", "--compare", "net.yaml", "--sort", "macs", "--columns", "label,macs,macs_ratio")
    assert [row["label"] for row in found] == ["large", "small"]
    assert list(found[0]) == ["label", "macs", "macs_ratio"]
    table = run("flops", "--compare", "net.yaml", "--sort", "macs", "--columns", "target,flops").stdout.splitlines()
    assert [line.split()[0] for line in table[2:]] == ["FLOPs", "large", "small"]


def test_ratios_are_columns_against_the_first_or_another() -> None:
    first, second = rows("flops", "--compare", "net.yaml")
    assert (first["macs_ratio"], first["params_ratio"]) == ("1.0", "1.0")
    assert float(second["macs_ratio"]) == int(second["macs"]) / int(first["macs"])
    turned, base = rows("flops", "--compare", "net.yaml", "--against", "large")
    assert (base["macs_ratio"], float(turned["macs_ratio"])) == ("1.0", int(first["macs"]) / int(second["macs"]))
    document = json.loads(run("flops", "--compare", "net.yaml", "--against", "large", "--format", "json").stdout)
    assert (document["against"], document["targets"][1]["ratios"]["macs"]) == ("large", 1.0)
    assert "ratio: ÷ large" in run("flops", "--compare", "net.yaml", "--against", "large").stdout


def test_targets_may_have_names() -> None:
    found = rows("flops", "--compare", "big=net.yaml:large", "net.yaml:small", "both=net.yaml")
    assert [row["label"] for row in found] == ["big", "small", "both:small", "both:large"]
    compared = archscope.compare({"a": "net.yaml:small", "b": "net.yaml:large"}, against="b")
    assert (compared.labels, compared.changes(1)[0].ratio) == (("a", "b"), 1.0)
    with pytest.raises(UsageError, match="it compares a"):
        archscope.compare({"a": "net.yaml:small"}, against="zzz")


def test_csv_is_sorted_and_flops_expands() -> None:
    for command in ("summary", "flops"):
        macs = [int(row["macs"]) for row in rows(command, "net.yaml", "--sort", "macs")]
        assert macs == sorted(macs, reverse=True) != [int(row["macs"]) for row in rows(command, "net.yaml")]
    folded, whole = (run("flops", "net.yaml", "--depth", "2", *more).stdout for more in ((), ("--expand",)))
    assert "×2" in folded
    assert "×2" not in whole
