"""Expectations of a spec: shapes are compared when it is compiled, figures by the report (language, 7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from archscope.api import summarize
from archscope.spec.spec_types import Expectation
from tests.compile.written import plan, refused, steps


def expected(text: str) -> list[Expectation]:
    return list(plan(text).expected)


def on_step(check: str, line: str = "Conv2d(6, 3)", shape: str = "N, 4, 8, 6") -> str:
    head = "params: {width: 6}\n"
    return f"input: [{shape}]\n{head}layers:\n  - y: {line}\n    expect: {check}\n"


@pytest.mark.parametrize(
    ("check", "met"),
    [
        ("{shape: [N, 6, 6, 4]}", True),
        ("{shape: [1, 6, 6, 4]}", True),
        ("{shape: [N, _, 6, _]}", True),
        ("{shape: [_, _, _, _]}", True),
        ("{shape: [N, width, width, width - 2]}", True),
        ("{shape: [N, 6, 6, 5]}", False),
        ("{shape: [N, 6, 6]}", False),
        ("{shape: [N, 6, 6, 4, 1]}", False),
        ("{shape: [_, _, _]}", False),
        ("{preserves: shape}", False),
        ("{preserves: channels}", False),
        ("{preserves: size}", False),
    ],
)
def test_shapes_are_compared_when_the_net_is_compiled(check: str, met: bool) -> None:
    (one,) = expected(on_step(check))
    assert (one.path, one.met, one.got) == ("y", met, "(1, 6, 6, 4)")


@pytest.mark.parametrize(
    ("line", "shape", "channels", "size"),
    [
        ("Conv2d(4, 3, padding=1)", True, True, True),
        ("Conv2d(4, 3)", False, True, False),
        ("Conv2d(5, 3, padding=1)", False, False, True),
        ("Conv2d(5, 3)", False, False, False),
        ("Flatten", False, False, False),
    ],
)
def test_preserves(line: str, shape: bool, channels: bool, size: bool) -> None:
    for word, met in (("shape", shape), ("channels", channels), ("size", size)):
        (one,) = expected(on_step(f"{{preserves: {word}}}", line))
        assert (one.key, one.met) == ("preserves", met), word


@pytest.mark.parametrize(
    ("figure", "least", "most"),
    [
        ("222", 222, 222),
        ("222_000", 222_000, 222_000),
        ("width * 37", 222, 222),
        ("12.4M", 12_350_000, 12_450_000),
        ("1.81G", 1_805_000_000, 1_815_000_000),
        ("3K", 2_500, 3_500),
        ("{min: 1M, max: 2M}", 1_000_000, 2_000_000),
        ("{max: 2000}", None, 2000),
        ("{min: width}", 6, None),
    ],
)
@pytest.mark.parametrize("key", ["params", "macs"])
def test_figures_are_equal_to_the_digits_written(key: str, figure: str, least: int | None, most: int | None) -> None:
    (one,) = expected(on_step(f"{{{key}: {figure}}}"))
    assert (one.met, one.least, one.most) == (None, least, most)


def test_expectations_have_their_paths() -> None:
    spec = """
input: [N, 4, 8, 8]
blocks:
  Basic():
    input: [N, C, H, W]
    layers:
      - inner: Conv2d(C, 3, padding=1)
        expect: {shape: [N, C, H, W]}
    expect: {preserves: shape}
layers:
  - stage: Basic
    repeat: 2
    expect: {preserves: channels}
  - residual: Basic
expect: {shape: [N, 4, 8, 8], macs: 1M}
"""
    found = [(e.path, e.key, e.met) for e in expected(spec)]
    assert sorted(found) == sorted(
        [
            ("", "shape", True),
            ("", "macs", None),
            ("stage", "preserves", True),
            ("stage.0", "preserves", True),
            ("stage.0.inner", "shape", True),
            ("stage.1", "preserves", True),
            ("stage.1.inner", "shape", True),
            ("main", "preserves", True),
            ("main.inner", "shape", True),
        ]
    )


def test_expectations_of_a_variant_replace_those_of_the_file() -> None:
    spec = """
input: [N, 4]
params: {width: 3}
variants:
  a: {expect: {params: 15}}
  b: {width: 5}
layers:
  - Linear(width)
expect: {shape: [N, width], params: 25}
"""
    assert {e.key: e.least for e in plan(spec, variant="a").expected} == {"shape": None, "params": 15}
    assert {e.key: e.least for e in plan(spec, variant="b").expected} == {"shape": None, "params": 25}


def test_steps_that_are_not_built_have_no_expectations() -> None:
    spec = "input: [N, 4]\nlayers:\n  - do: Linear(3)\n    when: False\n    expect: {shape: [N, 9]}\n  - ReLU\n"
    assert expected(spec) == []


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("{shape: [N, clases, 1, 1]}", "unknown name 'clases'"),
        ("{shape: [N, 8 / 3, 1, 1]}", "a size is a whole number or _"),
        ("{params: 7 / 2}", "a count is a whole number or a figure, not 3.5"),
    ],
)
def test_what_cannot_be_expected(check: str, message: str) -> None:
    (problem,) = refused(on_step(check))
    assert message in problem


# The report settles the figures


@pytest.mark.moves_rng
@pytest.mark.parametrize(
    ("checks", "unmet"),
    [
        ("{params: 20, macs: 16, shape: [N, 4]}", []),
        ("{params: 21}", ["params"]),
        ("{macs: 17}", ["macs"]),
        ("{macs: {max: 16}, params: {min: 20}}", []),
        ("{macs: {max: 15}}", ["macs"]),
        ("{params: {min: 21}}", ["params"]),
        ("{shape: [N, 5], params: 19, macs: 1}", ["shape", "params", "macs"]),
        ("{preserves: shape}", []),
    ],
)
@pytest.mark.parametrize("where", ["file", "step"])
def test_the_report_says_what_is_not_met(tmp_path: Path, where: str, checks: str, unmet: list[str]) -> None:
    text = steps("Linear(4)", shape="N, 4") + f"expect: {checks}\n"
    if where == "step":
        text = f"input: [N, 4]\nlayers:\n  - do: Linear(4)\n    expect: {checks}\n  - Linear(9)\n"
    path = tmp_path / "net.yaml"
    path.write_text(text)
    findings = [f for f in summarize(str(path), device="meta").findings if f.level == "error"]
    assert len(findings) == len(unmet)
    for finding, key in zip(findings, unmet, strict=True):
        assert key in finding.rule + finding.message
