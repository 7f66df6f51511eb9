"""Tests of archscope.check: targets of every kind, baselines and budgets, selection of findings, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import archscope
from archscope.errors import UsageError
from archscope.report import Checked

NET = "input: [N, 3, 8, 8]\nlayers:\n  - Conv2d(4, 3)\n  - ReLU\n  - Flatten\n  - Linear({out})\n"
BLOCKS = """\
blocks:
  Lost:
    layers:
      - relu(x)
      - x + 1
"""
USER = "import:\n  blocks.yaml: [Lost]\ninput: [N, 3]\nlayers: [Lost, Linear(2)]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text(NET.format(out=10), encoding="utf-8")
    (tmp_path / "specs" / "b.yml").write_text(NET.format(out=20), encoding="utf-8")
    return tmp_path


def rules(checked: list[Checked]) -> list[list[str]]:
    return [[finding.rule for finding in item.findings] for item in checked]


@pytest.mark.parametrize("target", ["specs", Path("specs")])
def test_a_folder_is_a_target(folder: Path, target: Any) -> None:
    checked = archscope.check(target)
    assert [item.target for item in checked] == ["specs/a.yaml", "specs/b.yml"]
    assert [item.report.total.params for item in checked if item.report] == [112 + 1450, 112 + 2900]


@pytest.mark.parametrize("target", ["specs/a.yaml", Path("specs/a.yaml")])
def test_a_path_is_a_target(folder: Path, target: Any) -> None:
    assert [item.target for item in archscope.check(target, max_params=1)] == ["specs/a.yaml"]
    assert rules(archscope.check(target, max_params=1)) == [["budget-params"]]


@pytest.mark.moves_rng
def test_a_live_module_is_a_target_under_its_own_name() -> None:
    (item,) = archscope.check(nn.Linear(3, 4), input=(1, 3), max_params="15", max_macs=12)
    assert (item.target, rules([item])) == ("Linear", [["budget-params"]])


def test_budgets_and_selection(folder: Path) -> None:
    assert rules(archscope.check("specs", max_params="2k", max_macs="1G")) == [[], ["budget-params"]]
    assert rules(archscope.check("specs", max_params="2k", ignore="lint,budget-params")) == [[], []]
    assert rules(archscope.check("specs", max_params=1, max_macs=1, select=["budget-macs"])) == 2 * [["budget-macs"]]


def test_a_baseline_and_its_tolerance(folder: Path) -> None:
    reports = [archscope.summarize("./specs/a.yaml", device="meta").to_dict()]
    Path("base.json").write_text(json.dumps(reports), encoding="utf-8")
    same, unheld = archscope.check("specs", baseline="base.json")
    assert rules([same, unheld]) == [[], ["baseline-target"]]
    assert same.before is not None
    assert unheld.before is None
    Path("specs/a.yaml").write_text(NET.format(out=11), encoding="utf-8")
    (grown,) = archscope.check("specs/a.yaml", baseline=Path("base.json"))
    assert rules([grown]) == [["baseline-params", "baseline-macs"]]
    assert [str(finding.place) for finding in grown.findings] == 2 * ["specs/a.yaml:6:5"]
    assert rules(archscope.check("specs/a.yaml", baseline="base.json", tolerance="10%")) == [[]]
    assert rules(archscope.check("specs/a.yaml", baseline="base.json", tolerance=0.1)) == [[]]


def test_comments_speak_in_the_file_they_stand_in(folder: Path) -> None:
    Path("net.yaml").write_text(USER, encoding="utf-8")
    Path("blocks.yaml").write_text(BLOCKS, encoding="utf-8")
    assert rules(archscope.check("net.yaml")) == [["unused-value"]]
    Path("blocks.yaml").write_text(BLOCKS.replace("relu(x)", "relu(x)  # archscope: ignore[unused-value]"))
    assert rules(archscope.check("net.yaml")) == [[]]
    Path("blocks.yaml").write_text(f"# archscope: ignore[lint]\n{BLOCKS}", encoding="utf-8")
    assert rules(archscope.check("net.yaml")) == [[]]
    Path("blocks.yaml").write_text(f"# archscope: ignore[unused-valu]\n{BLOCKS}", encoding="utf-8")
    assert rules(archscope.check("net.yaml")) == [["unused-value", "unknown-rule"]]
    Path("blocks.yaml").write_text(BLOCKS, encoding="utf-8")
    Path("net.yaml").write_text(f"# archscope: ignore[lint]\n{USER}", encoding="utf-8")
    assert rules(archscope.check("net.yaml")) == [["unused-value"]]


def test_mistakes_in_a_spec_are_kept(folder: Path) -> None:
    Path("net.yaml").write_text("input: [N, 3]\nlayers: [Lin(2)]  # archscope: ignore[lint]\n", encoding="utf-8")
    assert rules(archscope.check("net.yaml", select="lint")) == [["spec"]]
    Path("net.yaml").write_text("input: [N, 3]\nlayer: [Flatten]\n", encoding="utf-8")
    assert rules(archscope.check("net.yaml", select="lint")) == [["spec"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": "lnit"}, "there is no rule 'lnit'"),
        ({"ignore": ["spec"]}, "mistakes in a spec cannot be ignored"),
        ({"max_params": "5 apples"}, "max_params: '5 apples' is not a figure"),
        ({"max_macs": -1}, "max_macs: -1 is not a limit"),
        ({"tolerance": 2}, "tolerance: 2 is not a tolerance"),
        ({"baseline": "no.json"}, "no.json: the baseline cannot be read: no such file or directory"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_cannot_be_asked_is_refused(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, TypeError)) as raised:
        archscope.check("specs/a.yaml", **options)
    assert message in str(raised.value)


def test_an_empty_folder_is_refused(folder: Path) -> None:
    (folder / "none").mkdir()
    with pytest.raises(UsageError, match=r"no \.yaml file in none"):
        archscope.check("none")
