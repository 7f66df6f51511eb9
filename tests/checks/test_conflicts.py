"""Conflicts of a run, from hand-drawn traces: what is said, in which words, in which columns."""

from __future__ import annotations

from dataclasses import replace

from archscope.checks import conflicts
from archscope.errors import Span
from archscope.report import Report
from archscope.trace import Failure, Mismatch, Operand, Site, Value
from tests.sketches import Sketch, conv


def mismatched(**more: object) -> Report:
    net = Sketch("net.yaml", x=(1, 64, 56, 56))
    main = conv(net, "layer2.0.main.3", net["x"], 128, 3, pad=1, stride=2)
    site = Site("layer2.0.add", "main + x", "step", "", Span("net.yaml", 12, 5), strict=True)
    fault = Mismatch(site, "add", "add", (main, net["x"]), (1, 2, 3), row=1)
    report = net.report([main], mismatches=(replace(fault, **more),))
    return replace(report, findings=conflicts(report.trace))


def test_a_residual_mismatch_names_both_sides_and_the_axes() -> None:
    (finding,) = mismatched().findings
    assert (finding.rule, finding.level, finding.path) == ("residual-shape", "error", "layer2.0.add")
    assert finding.place == Span("net.yaml", 12, 5)
    assert finding.message == (
        "the two sides of this residual cannot be added: main (1, 128, 28, 28) from layer2.0.main.3, "
        "shortcut (1, 64, 56, 56) from x; they differ in C (128, 64), H (28, 56) and W (28, 56)"
    )
    assert finding.details == (
        "main      layer2.0.main.3 Conv2d 128, 3×3, stride 2, pad 1    1  128   28   28",
        "shortcut  x                                                   1   64   56   56",
        "                                                                 ^^^   ^^   ^^",
    )


def test_other_operands_are_an_add_shape() -> None:
    a, b, c = (Operand(name, Value(-1, (1, size), "float32", 4)) for name, size in (("a", 2), ("b", 3), ("c", 2)))
    found = mismatched(site=Site("merge", "add", "step", "", strict=True), operands=(a, b, c), axes=(1,))
    (finding,) = found.findings
    assert finding.rule == "add-shape"
    assert finding.message == "add cannot combine these: a (1, 2), b (1, 3), c (1, 2); they differ in dim 1 (2, 3, 2)"


def test_branches_go_by_the_names_they_have_beside_the_add() -> None:
    a, b = (Operand(f"merge.{name}", Value(-1, (1, size), "float32", 4)) for name, size in (("a", 2), ("b", 3)))
    (finding,) = mismatched(
        site=Site("merge.add", "a + b", "step", "", strict=True), operands=(a, b), axes=(1,)
    ).findings
    assert "a (1, 2) from merge.a, b (1, 3) from merge.b" in finding.message


def test_operands_of_different_ranks() -> None:
    operands = (Operand("main", Value(90, (1, 2), "float32", 8)), Operand("x", Value(91, (1, 2, 2), "float32", 16)))
    (finding,) = mismatched(operands=operands, axes=()).findings
    assert finding.message.endswith("main (1, 2), shortcut (1, 2, 2) from x; they have 2, 3 dimensions")


def test_a_failure_names_the_step_and_what_it_was_given() -> None:
    net = Sketch("net.py:Net", x=(1, 3, 8, 8))
    y = conv(net, "0", net["x"], 4, 3)
    failure = Failure(Site("fc", "Linear", "layer", "10"), "linear", (y,), "mat1 and mat2 shapes cannot be multiplied")
    report = net.report([], failure=failure)
    (finding,) = conflicts(report.trace)
    assert (finding.rule, finding.level, finding.path) == ("forward", "error", "fc")
    assert finding.message == (
        "linear failed on (1, 4, 6, 6) float32 from 0: mat1 and mat2 shapes cannot be multiplied"
    )
    assert len(report.rows) == 1
