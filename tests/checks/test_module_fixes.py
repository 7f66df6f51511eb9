"""Tests of fixes of Python models: those offered fix the conflict, cost what they say, and change no model."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.render.findings import format_check_report
from archscope.report import Finding, Fix
from tests.checks import broken_modules as broken
from tests.record.side_effects import object_state, process_state

pytestmark = pytest.mark.moves_rng
FILE = Path(broken.__file__)

IMAGE = (1, 16, 32, 32)
CURED: dict[str, tuple[Callable[[], nn.Module], Any, list[str]]] = {
    "projected": (broken.Projected, IMAGE, ["`out_channels=32`", "`out_channels=31`"]),
    "turned": (broken.Turned, IMAGE, ["`out_channels=32`", "`out_channels=31`"]),
    "strided": (broken.Strided, IMAGE, ["`stride=1`"]),
    "unstrided": (broken.Unstrided, IMAGE, ["`stride=2`", "`stride=1`"]),
    "even": (broken.Even, (1, 8, 100), ["`kernel_size=3`"]),
    "grouped": (
        broken.Grouped,
        (1, 3, 8, 8),
        ["`in_channels=90` and `groups=9`", "`out_channels=96`", "`in_channels=90` and `groups=1`"],
    ),
    "squeeze": (lambda: broken.Squeeze(32, 4), (1, 32, 8, 8), ["`in_channels=reduced`", "`out_channels=4`"]),
    "squeezes": (broken.Squeezes, (1, 32, 8, 8), ["`in_channels=reduced`; also changes narrow.fc2"]),
    "downs": (broken.Downs, (1, 3, 65, 97), ["`ceil_mode=True`; also changes d2.pool"]),
    "batch_first": (broken.Crossed, [(2, 1, 16), (2, 23, 16)], ["`batch_first=True`"]),
    "flattened": (broken.Flattened, (1, 3, 32, 32), ["`in_features=400`"]),
    "norm": (lambda: broken.Flattened(400, 17), (1, 3, 32, 32), ["`num_features=16`"]),
    "looped": (broken.Looped, (2, 8), ["`in_features=9`", "`body.4`: `out_features=8`"]),
    "comprehended": (broken.Comprehended, (2, 8), ["`in_features=4`"]),
    "recurring": (broken.Recurring, (2, 9), ["`normalized_shape=9`; also changes norm (2 times)"]),
}
UNCURED: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "two mistakes in two layers": (lambda: broken.Strided(31), IMAGE),
    "a view": (broken.Viewed, (2, 13)),
    "two layers": (broken.Gate, (4, 30, 50)),
    "channels last": (broken.ChannelsLast, (1, 3, 62, 62)),
    "a table": (broken.Positions, (1, 3, 224, 224)),
}


def checked(model: Any, input: Any, **options: Any) -> tuple[Finding, ...]:
    (one,) = archscope.check(model, input=input, **options)
    return one.findings


def fixes(findings: tuple[Finding, ...]) -> list[Fix]:
    return [fix for finding in findings for fix in finding.fixes]


def text_of(fix: Fix) -> str:
    """The description without the call and its line."""
    return re.sub(r"^`.*` in `\w+`, line \d+: ", "", fix.description)


def imported(text: str, folder: Path) -> Any:
    path = folder / "fixed.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"fixed_{abs(hash(text))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CURED)
def test_the_first_fixes_are_those_that_were_meant(name: str) -> None:
    made, shape, wanted = CURED[name]
    found = fixes(checked(made(), shape))
    assert [text_of(fix) for fix in found][: len(wanted)] == wanted
    assert len(found) <= 3
    assert all(fix.checked for fix in found)


@pytest.mark.parametrize("name", UNCURED)
def test_what_no_single_layer_mends_has_no_fix(name: str) -> None:
    made, shape = UNCURED[name]
    findings = checked(made(), shape)
    assert any(finding.level == "error" for finding in findings)
    assert fixes(findings) == []


@pytest.mark.parametrize("name", CURED)
def test_the_fixed_source_has_no_such_conflict_and_the_stated_cost(name: str, tmp_path: Path) -> None:
    made, shape, _ = CURED[name]
    model = made()
    before = [finding for finding in checked(model, shape) if finding.level == "error"]
    for fix in before[0].fixes:
        if not fix.text:
            continue
        fixed = rebuilt(name, imported(fix.text, tmp_path))
        report = archscope.summarize(fixed, input=shape)
        assert [f for f in report.findings if f.level == "error"] == []
        if fix.params is not None:
            assert fix.params == report.total.params - sum(p.numel() for p in model.parameters())
        changed = [line for line in fix.edit.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]
        assert len(changed) == 2
    assert any(fix.text for fix in before[0].fixes)


def rebuilt(name: str, module: Any) -> nn.Module:
    """The model of a case, of the classes of another file."""
    mine = CURED[name][0]
    if isinstance(mine, type):
        return getattr(module, mine.__name__)()
    return {"squeeze": lambda: module.Squeeze(32, 4), "norm": lambda: module.Flattened(400, 17)}[name]()


def test_a_fix_says_the_call_the_function_and_the_line() -> None:
    (fix,) = fixes(checked(broken.Strided(), IMAGE))
    call = "nn.Conv2d(16, 16, 3, 2, 1)"
    line = 1 + FILE.read_text().split("class Strided")[0].count("\n") + 5
    assert call in FILE.read_text().splitlines()[line - 1]
    assert fix.description == f"`{call}` in `__init__`, line {line}: `stride=1`"
    assert Path(fix.file).samefile(FILE)
    assert "+        self.conv1 = nn.Conv2d(16, 16, 3, 1, 1)" in fix.edit.splitlines()
    assert fix.params == 0


def test_a_derived_class_is_fixed_where_its_layers_are_made() -> None:
    first, second = (fixes(checked(cls(), IMAGE))[0] for cls in (broken.Projected, broken.Turned))
    assert first.description == second.description
    assert first.edit == second.edit


def test_what_follows_from_a_conflict_has_no_fix() -> None:
    findings = [finding for finding in checked(broken.Growing(), (1, 24, 8, 8)) if finding.level == "error"]
    described = {finding.path: [text_of(fix) for fix in finding.fixes] for finding in findings}
    assert described == {"norm1": ["`out_channels=24`"], "conv1": [], "fc": []}


def test_independent_conflicts_both_have_theirs() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(6, 7), nn.Linear(8, 9))
    findings = [finding for finding in checked(model, (2, 4)) if finding.level == "error"]
    assert [text_of(finding.fixes[0])[:4] for finding in findings] == ["`1`:", "`2`:"]
    assert {text_of(fix) for fix in findings[1].fixes} == {"`2`: `in_features=7`", "`1`: `out_features=8`"}


# ------------------------------------------------------------ nothing is changed
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", CURED)
def test_the_model_is_as_it_was(name: str, train: bool) -> None:
    made, shape, _ = CURED[name]
    model = made().train(train)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    text = FILE.read_bytes()
    random, before, around = torch.random.get_rng_state(), object_state(model), process_state()
    assert fixes(checked(model, shape, train=train))
    after = object_state(model)
    assert [key for key in before | after if before.get(key, before) != after.get(key, after)] == []
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert {name: value for name, value in process_state().items() if around[name] != value} == {}
    assert torch.equal(torch.random.get_rng_state(), random)
    assert FILE.read_bytes() == text


def test_a_models_own_hooks_forbid_a_copy() -> None:
    model = broken.Strided()
    model.register_forward_hook(lambda *_: None)
    assert fixes(checked(model, IMAGE)) == []


# ------------------------------------------------------------ from a file
def test_a_target_in_a_file_gets_the_same_fixes() -> None:
    live = fixes(checked(broken.Projected(), IMAGE))
    loaded = fixes(checked(f"{FILE}:Projected", IMAGE))
    assert [fix.description for fix in loaded] == [fix.description for fix in live]
    assert [(fix.params, fix.macs) for fix in loaded] == [(fix.params, fix.macs) for fix in live]
    assert "broken_modules" not in sys.modules


def test_nobody_is_told_to_let_check_write_python() -> None:
    found = archscope.check(f"{FILE}:Projected", input=IMAGE)
    assert fixes(found[0].findings)
    assert "--fix" not in format_check_report(found)


def test_a_fix_on_meta_costs_what_it_costs_elsewhere() -> None:
    here, meta = (fixes(checked(f"{FILE}:Downs", (1, 3, 65, 97), device=device)) for device in ("cpu", "meta"))
    assert [(fix.description, fix.params, fix.macs) for fix in here] == [
        (fix.description, fix.params, fix.macs) for fix in meta
    ]
