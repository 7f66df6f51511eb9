"""Tests of the text of conflicts: facts, columns, equal results on every device, for specs and models.

hand-written traces · golden cases (cpu = meta = cuda) · a spec and the same PyTorch module
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archscope
from archscope.conflicts.messages import find_conflicts
from archscope.errors import Span
from archscope.report import Finding, Report
from archscope.trace import Failure, Location, Mismatch, Operand, Value
from tests.checks.golden import FOLDER, Case, cases, checked, inside, shown
from tests.sketches import Sketch, conv


def mismatched(**more: object) -> Report:
    net = Sketch("net.yaml", x=(1, 64, 56, 56))
    main = conv(net, "layer2.0.main.3", net["x"], 128, 3, pad=1, stride=2)
    site = Location("layer2.0.add", "main + prev", "step", "", Span("net.yaml", 12, 5), strict=True)
    fault = Mismatch(site, "add", "add", (main, net["x"]), (1, 2, 3), row=1)
    report = net.report([main], mismatches=(replace(fault, **more),))
    return replace(report, findings=find_conflicts(report.index))


def test_a_residual_mismatch_names_both_sides_and_the_axes() -> None:
    (finding,) = mismatched().findings
    assert (finding.rule, finding.level, finding.path) == ("residual-shape", "error", "layer2.0.add")
    assert finding.place == Span("net.yaml", 12, 5)
    assert finding.message == (
        "the two sides of this residual cannot be added: main (1, 128, 28, 28) from layer2.0.main.3, "
        "shortcut (1, 64, 56, 56) from x; they differ in C (128, 64), H (28, 56) and W (28, 56)"
    )
    assert finding.details == (
        "main      layer2.0.main.3 Conv2d (line 10)    1  128   28   28",
        "shortcut  x                                   1   64   56   56",
        "                                                 ^^^   ^^   ^^",
    )


def test_other_operands_are_an_add_shape() -> None:
    a, b, c = (Operand(name, Value(-1, (1, size), "float32", 4)) for name, size in (("a", 2), ("b", 3), ("c", 2)))
    found = mismatched(site=Location("merge", "add", "step", "", strict=True), operands=(a, b, c), axes=(1,))
    (finding,) = found.findings
    assert finding.rule == "add-shape"
    assert finding.message == "add cannot combine these: a (1, 2), b (1, 3), c (1, 2); they differ in dim 1 (2, 3, 2)"


def test_branches_go_by_the_names_they_have_beside_the_add() -> None:
    a, b = (Operand(f"merge.{name}", Value(-1, (1, size), "float32", 4)) for name, size in (("a", 2), ("b", 3)))
    (finding,) = mismatched(
        site=Location("merge.add", "a + b", "step", "", strict=True), operands=(a, b), axes=(1,)
    ).findings
    assert "a (1, 2) from merge.a, b (1, 3) from merge.b" in finding.message


def test_operands_of_different_ranks() -> None:
    operands = (Operand("main", Value(90, (1, 2), "float32", 8)), Operand("x", Value(91, (1, 2, 2), "float32", 16)))
    (finding,) = mismatched(operands=operands, axes=()).findings
    assert finding.message.endswith("main (1, 2), shortcut (1, 2, 2) from x; they have 2, 3 dimensions")


def test_a_failure_names_the_step_and_what_it_was_given() -> None:
    net = Sketch("net.py:Net", x=(1, 3, 8, 8))
    y = conv(net, "0", net["x"], 4, 3)
    failure = Failure(
        Location("fc", "Linear", "layer", "10"), "linear", (y,), "mat1 and mat2 shapes cannot be multiplied"
    )
    report = net.report([], failure=failure)
    (finding,) = find_conflicts(report.index)
    assert (finding.rule, finding.level, finding.path) == ("forward", "error", "fc")
    assert finding.message == (
        "linear failed on (1, 4, 6, 6) float32 from 0: mat1 and mat2 shapes cannot be multiplied"
    )
    assert len(report.rows) == 1


# ------------------------------------------------------------ golden cases
CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_check_says_of_a_broken_net(case: Case) -> None:
    assert shown(checked(case)) == case.golden


def test_a_case_can_fail() -> None:
    case = replace(CASES[0], spec=CASES[0].spec.replace("Conv2d(16", "Conv2d(24"))
    assert shown(checked(case)) != case.golden


def test_every_rule_and_every_cause_has_a_case() -> None:
    found = {(finding.rule, finding.cause) for case in CASES for finding in checked(case) if finding.cause}
    assert found >= {
        *(("residual-shape", cause) for cause in ("channels", "stride", "off-by-one", "layout", "batch")),
        *(("concat-shape", cause) for cause in ("channels", "stride", "off-by-one", "spatial-size", "source")),
        *(("layer-shape", cause) for cause in ("channels", "layout", "input-size", "kernel-size")),
        *((rule, "channels") for rule in ("add-shape", "multiply-shape", "product-shape")),
        *(("add-shape", cause) for cause in ("input-size", "off-by-one")),
        *(("view-shape", cause) for cause in ("layout", "divisibility")),
    }


def finding_facts(findings: tuple[Finding, ...]) -> list[tuple]:
    """Return the whole text of a conflict."""
    return [
        (f.rule, f.message, f.path, f.place, f.details, f.cause, f.walk, f.help, f.also, f.likely) for f in findings
    ]


def ran(case: Case, device: str) -> Report:
    with inside(FOLDER):
        return archscope.summarize(case.name, texts={case.name: case.spec}, device=device)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_words_are_the_same_on_cpu_and_meta(case: Case) -> None:
    report = ran(case, "cpu")
    assert report.trace.failure is None
    assert finding_facts(report.findings) == finding_facts(ran(case, "meta").findings)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_words_are_the_same_on_cuda(case: Case) -> None:
    assert finding_facts(ran(case, "cuda").findings) == finding_facts(ran(case, "meta").findings)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_line_of_a_finding_stands(case: Case) -> None:
    """Carets are below the sizes that differ, links lie in the file, and no message of torch is in the text."""
    for finding in (finding for finding in checked(case) if finding.cause):
        assert finding.place is not None
        for link in finding.walk:
            assert link.place is None or 1 <= link.place.line <= case.spec.count("\n")
        for line in (line for line in finding.details if set(line) <= {" ", "^"}):
            sizes = finding.details[: finding.details.index(line)]
            for start, end in marks(line):
                assert all(row[start:end].strip().isdigit() for row in sizes)
        assert "must match the size" not in finding.message


def marks(line: str) -> list[tuple[int, int]]:
    """Where the carets of a line begin and end."""
    ends, start = [], 0
    for word in line.split():
        start = line.index(word, start)
        ends.append((start, start + len(word)))
        start += len(word)
    return ends


def names(case_name: str) -> list[tuple[str, bool]]:
    case = next(case for case in CASES if str(case) == case_name)
    return [(finding.path, finding.likely) for finding in checked(case) if finding.cause]


def test_independent_conflicts_are_all_found_and_none_is_doubted() -> None:
    assert names("several_independent") == [("one.add", False), ("two", False), ("three.add", False)]


def test_a_conflict_behind_another_on_the_same_axis_is_doubted() -> None:
    assert names("concat_rounding") == [("4", False), ("6", True)]
    assert names("norms_told") == [("batch", False), ("group", False), ("layer", False)]


def test_one_mistake_of_a_block_is_one_finding() -> None:
    case = next(case for case in CASES if str(case) == "repeated_block")
    (finding,) = checked(case)
    assert (finding.path, finding.also) == ("stage.0.add", ("stage.3.add",))


class Looped(nn.Module):
    """One layer, called in a loop: its mistake has one path, and the addition behind it has none."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + self.f(x)
        return x


@pytest.mark.moves_rng
def test_a_place_that_is_come_through_again_is_named_once() -> None:
    findings = archscope.summarize(Looped(), input=(2, 8)).findings
    assert [(finding.rule, finding.path, finding.also) for finding in findings[:2]] == [
        ("layer-shape", "f", ()),
        ("residual-shape", "", ()),
    ]


# ------------------------------------------------------------ models
class Down(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu = nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.relu(self.conv1(x))) + x


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.pool = nn.Conv2d(16, 8, 3, padding=1), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.wide(x), self.pool(x)], dim=1)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool, self.narrow, self.gate = nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.narrow(self.pool(x)))


class Headed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.flat, self.fc = nn.Conv2d(16, 4, 3), nn.Flatten(), nn.Linear(196, 10)
        self.out = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.fc(self.flat(self.conv(x))))


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(12), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x))


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 32), nn.Linear(8, 16), nn.Linear(8, 32)

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))


SPECS_AND_MODULES: list[tuple[str, Callable[[], nn.Module]]] = [
    (
        "- conv1: Conv2d(32, 3, stride=2, padding=1)\n- relu: ReLU\n- conv2: Conv2d(32, 3, padding=1)\n- prev + x\n",
        Down,
    ),
    ("- wide: Conv2d(8, 3, padding=1)\n- pool: MaxPool2d(2)(x)\n- cat([wide, pool], dim=1)\n", Joined),
    ("- pool: AdaptiveAvgPool2d(1)\n- narrow: Conv2d(8, 1)\n- gate: Sigmoid\n- x * gate\n", Gated),
    ("- conv: Conv2d(4, 3)\n- flat: Flatten\n- fc: Linear(196, 10)\n- out: Linear(12, 3)\n", Headed),
    ("- norm: BatchNorm2d(12)\n- conv: Conv2d(4, 1)\n", Normed),
    ("- q: Linear(32)\n- k: Linear(16)(x)\n- v: Linear(32)(x)\n- scaled_dot_product_attention(q, k, v)\n", Attending),
]


def without_places(findings: tuple[Finding, ...]) -> list[tuple]:
    """Return what does not depend on the author's source."""
    return [
        (f.rule, f.message, list(map(unplaced, f.details)), f.cause, [(x.path, x.text) for x in f.walk], f.likely)
        for f in findings
    ]


def unplaced(line: str) -> list[str]:
    """The words of a line, without where something stands."""
    return re.sub(r" \((line \d+|\S+:\d+)\)", "", line).split()


@pytest.mark.moves_rng
@pytest.mark.parametrize(("layers", "module_class"), SPECS_AND_MODULES, ids=lambda part: getattr(part, "__name__", ""))
def test_a_spec_and_its_module_have_the_same_findings(layers: str, module_class: Callable[[], nn.Module]) -> None:
    spec = archscope.summarize("net.yaml", texts={"net.yaml": f"input: [N, 16, 8, 8]\nlayers:\n{layers}"}, device="cpu")
    model = archscope.summarize(module_class(), input=(1, 16, 8, 8))
    assert spec.findings
    assert without_places(spec.findings) == without_places(model.findings)


class Short(nn.Module):
    """Fewer values than keys, which the kernel of the CPU does not notice."""

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x[:, :, 1:])


def test_what_a_kernel_does_not_notice_is_a_conflict() -> None:
    (finding,) = archscope.summarize(Short(), input=(1, 2, 5, 4)).findings
    assert (finding.rule, finding.cause) == ("product-shape", "channels")
    assert finding.message.endswith("key and value must be of one length")
    text = "input: [N, 2, 5, 4]\nlayers:\n  - scaled_dot_product_attention(x, x, x[:, :, 1:])\n"
    for device in ("cpu", "meta"):
        (same,) = archscope.summarize("net.yaml", texts={"net.yaml": text}, device=device).findings
        assert same.message == finding.message


class Careful(nn.Module):
    """Tries what does not fit, and does without."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            return x + x[:, :2]
        except RuntimeError:
            return x.relu()


def test_what_a_model_catches_itself_is_no_conflict() -> None:
    report = archscope.summarize(Careful(), input=(1, 4, 8, 8))
    assert (report.findings, report.trace.mismatches) == ((), ())
    assert [row.short_name for row in report.trace.rows] == ["getitem", "relu"]


class Own(nn.Module):
    """Values that a model makes itself stand for themselves."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(1, 3, 8, 8) + x


def test_a_value_that_the_model_made_is_shown_as_it_is() -> None:
    (finding,) = archscope.summarize(Own(), input=(1, 4, 8, 8)).findings
    assert "(1, 3, 8, 8)" in finding.message
    assert finding.message.endswith("they differ in C (3, 4)")
