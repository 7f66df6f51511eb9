"""Tests of other batch and image sizes: a net that fits by coincidence gives a warning, others give none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.analysis import module_at_other_sizes
from archscope.report import Finding
from tests.checks import other_sizes_modules as modules
from tests.networks.test_twins import PAIRS, Pair

FILE = Path(modules.__file__)
IMAGE, TOKENS, SEQUENCE = (1, 3, 8, 8), ("int64", (1, 7)), (1, 5, 8)
SQUARE = {"WidthTwice": IMAGE, "RootOfTokens": IMAGE, "Turned": IMAGE, "Volume": (1, 1, 6, 6, 6)}
ONE = {
    **dict.fromkeys(("HardView", "Grouped", "Squeezed", "Refuses"), IMAGE),
    "OneSequence": TOKENS,
    "HiddenOfOne": SEQUENCE,
}
GOOD: dict[str, Any] = {
    **dict.fromkeys(("Fixed", "Positions", "Detector", "Windows", "ByValue", "Counting"), IMAGE),
    "SequenceFirst": (5, 1, 8),
    "WithState": [SEQUENCE, (1, 1, 16), (1, 1, 16)],
    "Unbatched": (1, 8, 8),
    "Loss": [IMAGE, ("int64", (1,))],
    "EveryToken": TOKENS,
    "Prototype": (1, 8),
    "ChannelsLast": (1, 8, 8, 3),
    "Frames": (4, 3, 8, 8),
}
each_way = pytest.mark.parametrize("live", [False, True], ids=["named", "live"])


def found(target: Any, **options: Any) -> list[Finding]:
    """The errors, and the warnings of other sizes."""
    (checked,) = archscope.check(target, **options)
    return [one for one in checked.findings if one.level == "error" or one.rule in ("one-batch", "square-only")]


def of(name: str, live: bool) -> Any:
    return made(getattr(modules, name)) if live else f"{FILE}:{name}"


def made(make: Callable[[], nn.Module]) -> nn.Module:
    """A module whose weights leave the random state alone."""
    with torch.random.fork_rng():
        return make()


def spec(folder: Path, text: str) -> str:
    path = folder / "net.yaml"
    path.write_text(text)
    return str(path)


# ------------------------------------------------------------ modules
@each_way
@pytest.mark.parametrize(("name", "input"), SQUARE.items(), ids=list(SQUARE))
def test_square_only(name: str, input: Any, live: bool) -> None:
    (finding,) = found(of(name, live), input=input)
    assert (finding.rule, finding.level) == ("square-only", "warning")
    assert finding.message.startswith("at 6×12×6: " if name == "Volume" else "at 8×16: ")
    assert finding.help
    assert finding.cause in ("view-shape", "residual-shape", "add-shape")


@each_way
@pytest.mark.parametrize(("name", "input"), ONE.items(), ids=list(ONE))
def test_one_batch(name: str, input: Any, live: bool) -> None:
    (finding,) = found(of(name, live), input=input)
    assert (finding.rule, finding.level) == ("one-batch", "warning")
    assert "at a batch of 2" in finding.message
    assert finding.help


@each_way
@pytest.mark.parametrize(("name", "input"), GOOD.items(), ids=list(GOOD))
def test_good_modules(name: str, input: Any, live: bool) -> None:
    assert found(of(name, live), input=input) == []


def test_their_own_words() -> None:
    (finding,) = found(of("Refuses", False), input=IMAGE)
    assert "one image at a time" in finding.message
    assert finding.cause == "forward"


def test_another_batch_than_the_one_given() -> None:
    """At the given one it is an error as ever."""
    (finding,) = found(of("Refuses", False), input=IMAGE, batch=3)
    assert (finding.level, finding.rule) == ("error", "forward")
    assert found(of("Windows", False), input=IMAGE, batch=3) == []


def test_a_given_landscape_is_tried_at_no_other() -> None:
    assert [one.level for one in found(of("WidthTwice", False), input=(1, 3, 8, 16))] == ["error"]


def test_nothing_is_left_and_nothing_is_printed_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with torch.random.fork_rng():
        model = modules.Counting()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    assert found(model, input=IMAGE) == []
    assert capsys.readouterr().out == "running\n"
    assert model.calls == 0
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("batch", [None, 1])
def test_heavy_modules_have_a_twin_on_meta(batch: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shares nothing that a run could change; the module keeps its weights, and the list that its layer keeps."""
    monkeypatch.setattr(module_at_other_sizes, "LIGHT_MACS", 0)
    monkeypatch.setattr(module_at_other_sizes, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(module_at_other_sizes, "MAX_RERUN_SECONDS", 60.0)
    with torch.random.fork_rng():
        model = modules.Heavy(batch)
    weights = list(model.rnn._flat_weights)
    assert [one.rule for one in found(model, input=(1, 64, 8, 8))] == (["one-batch"] if batch else [])
    assert all(one is other for one, other in zip(weights, model.rnn._flat_weights, strict=True))
    assert not any(weight.is_meta for weight in weights)


def test_what_cannot_run_on_meta_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_at_other_sizes, "LIGHT_MACS", 0)
    monkeypatch.setattr(module_at_other_sizes, "QUICK_SECONDS", 0.0)
    assert found(of("ByValue", False), input=IMAGE) == []


def test_what_takes_too_long_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_at_other_sizes, "MAX_RERUN_SECONDS", 0.0)
    assert found(of("HardView", True), input=IMAGE) == []


@pytest.mark.law
@pytest.mark.parametrize("pair", PAIRS, ids=[pair.spec for pair in PAIRS])
def test_twins_of_the_specs(pair: Pair) -> None:
    assert found(made(pair.twin), args=(pair.example(),)) == []


# ------------------------------------------------------------ specs
ATTENTION = """
name: Attention
input: [N, 3, {height}, {width}]
params: {{size: 32}}
blocks:
  Spatial:
    inputs: {{x: [N, C, H, W]}}
    layers:
      - a: x.view(N, C, {positions})
      - softmax(a.transpose(1, 2) @ a, -1)
      - (a @ prev).view(N, C, {back})
layers:
  - Conv2d(8, 3, padding=1)
  - Spatial
  - mean([2, 3])
"""


@pytest.mark.parametrize(
    ("positions", "back", "rules"),
    [
        ("H * W", "H, W", []),
        ("H * H", "H, W", ["square-only"]),
        ("H * W", "H, H", ["square-only"]),
        ("1024", "32, 32", []),
    ],
)
def test_attention(tmp_path: Path, positions: str, back: str, rules: list[str]) -> None:
    text = ATTENTION.format(height=32, width=32, positions=positions, back=back)
    assert [one.rule for one in found(spec(tmp_path, text))] == rules


def test_sizes_that_the_spec_says_are_one(tmp_path: Path) -> None:
    text = ATTENTION.format(height="size", width="size", positions="H * H", back="H, W")
    assert found(spec(tmp_path, text)) == []


@pytest.mark.parametrize(
    ("input", "layers", "cause"),
    [
        ("[N, 3, 8, 8]", "Conv2d(8, 3, padding=1)|view(1, 512)|Linear(4)", "view-shape"),
        ("[N, 3, 8, 8]", "Conv2d(8, 3, padding=1)|AdaptiveAvgPool2d(1)|squeeze()", "view-shape"),
        ("'int64[N, 7]'", "Embedding(100, 16)|view(1, -1, 16)", "view-shape"),
        ("[N, 16]", "Linear(8)|cat([prev, zeros(1, 8)], 1)", "concat-shape"),
        ("[1, 3, 8, 8]", "Conv2d(8, 3, padding=1)|view(1, 512)|Linear(4)", ""),
        ("[N, 3, 8, 8]", "Conv2d(8, 3, padding=1)|view(N, 512)|Linear(4)", ""),
        ("'int64[N, 7]'", "Embedding(100, 16)|view(-1, 16)", ""),
        ("[N, 16]", "Linear(8)|mean(0, keepdim=True)", ""),
        ("[N, 3, 8, 8]", "Conv2d(8, 3, padding=1)|flatten(1)|Linear(4)", ""),
    ],
)
@pytest.mark.parametrize("given", [{}, {"batch": 1}, {"input": True}], ids=["", "batch", "input"])
def test_batches(tmp_path: Path, input: str, layers: str, cause: str, given: dict[str, Any]) -> None:
    shapes = {"[N, 16]": (1, 16), "'int64[N, 7]'": (1, 7)}
    options = {"input": shapes.get(input, IMAGE)} if "input" in given else given
    lines = "".join(f"  - {layer}\n" for layer in layers.split("|"))
    findings = found(spec(tmp_path, f"input: {input}\nlayers:\n{lines}"), **options)
    assert [(one.rule, one.level, one.cause) for one in findings] == (
        [("one-batch", "warning", cause)] if cause else []
    )


def test_it_can_be_ignored(tmp_path: Path) -> None:
    text = "input: [N, 4]\nlayers:\n  - Linear(8)\n  - view(1, 8)  # archscope: ignore[one-batch]\n"
    target = spec(tmp_path, text)
    assert found(target) == []
    Path(target).write_text(text.partition("  #")[0] + "\n")
    assert [one.rule for one in found(target)] == ["one-batch"]
    assert found(target, ignore="one-batch") == []
    assert found(target, ignore="lint") == []


def test_budgets_are_those_of_the_sizes_asked_for(tmp_path: Path) -> None:
    text = "input: [N, 3, 8, 8]\nlayers:\n  - Conv2d(8, 3, padding=1)\nexpect: {shape: [1, 8, 8, 8], macs: 13_824}\n"
    assert found(spec(tmp_path, text), max_macs=13_824) == []
