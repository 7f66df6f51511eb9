"""Every rendering equals its golden file, and tables fit the width that they are given.

After an intended change, `python -m tests.render.test_renderings --update` writes the files again; read the diff.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archscope.counters.differences import CrossCheck
from archscope.counters.explain import cross_check
from archscope.counters.result import CountedOp, CounterResult
from archscope.errors import Span
from archscope.render import (
    comparisons,
    crosschecks,
    findings,
    grids,
    html,
    json_csv,
    markdown,
    notebook_views,
    pull_request,
    table,
    table_content,
    timings,
)
from archscope.render.columns import COLUMN_NAMES, Column
from archscope.render.findings import fold_findings
from archscope.render.table_content import TableOptions
from archscope.render.timings import TIME_COLUMNS
from archscope.report import LEVELS, Checked, CostFigures, Finding, Fix, WalkStep
from archscope.report_comparison import compare_reports
from tests.checks.test_conflicts import mismatched
from tests.sketches import Sketch, awkward, residual_mnist, stages, trained
from tests.timed import grid, timed_awkward, timed_compiled, timed_meta, timed_mnist, timed_stages, timed_training

GOLDEN = Path(__file__).parent / "golden"
EVERYTHING = TableOptions(columns=COLUMN_NAMES, expand=True)


def bottleneck():
    """Return a comparison of the tutorial's two variants."""
    file = "specs/tutorials/bottleneck_1x1.yaml"
    direct, narrow = (Sketch(f"{file}:{variant}", x=(1, 192, 28, 28)) for variant in ("direct", "bottleneck"))
    y = direct.layer(
        "0", "Conv2d", "32, 5×5, pad 2", [direct["x"]], (1, 32, 28, 28), params=(153_600,), macs=120_422_400
    )
    z = narrow.layer("0", "Conv2d", "16, 1×1", [narrow["x"]], (1, 16, 28, 28), params=(3_072,), macs=2_408_448)
    z = narrow.layer("1", "Conv2d", "32, 5×5, pad 2", [z], (1, 32, 28, 28), params=(12_800,), macs=10_035_200)
    return compare_reports([direct.report([y]), narrow.report([z])])


EDIT = """\
--- net.yaml
+++ net.yaml
@@ -12,3 +12,6 @@
   - residual:
-      - Conv2d(128, 3)
+      main: Conv2d(128, 3)
+      shortcut:
+        - BatchNorm2d
"""


def checked() -> list[Checked]:
    """Return one target whose findings fill every field, and one without findings."""
    fix = Fix("project the shortcut", 8448, 6_422_528, True, EDIT, "net.yaml", "the whole text")
    walk = (
        WalkStep("main.0", "Conv2d 128, 3×3, stride 2: 64 → 128 channels, 56×56 → 28×28", Span("net.yaml", 14, 9)),
        WalkStep("stem.pool", "MaxPool2d 2: 112×112 → 56×56", Span("std/conv.yaml", 7, 3)),
        WalkStep("view", "view: 3 × 4 → 12"),
    )
    fault = replace(
        mismatched().findings[0], cause="stride", fixes=(fix, Fix("remove the residual", -12, None)), walk=walk
    )
    warning = Finding("unused-value", "warning", "nothing uses the value of this step", "layer1.0")
    note = Finding(
        "dropped-pixels", "note", "row 27 and column 27 of 28×28 are never read", "pool", Span("net.yaml", 3, 5)
    )
    return [Checked("net.yaml", (fault, warning, note)), Checked("fine.yaml", report=residual_mnist())]


def repeated() -> list[Checked]:
    """Return one finding in several variants and at several paths, with other numbers, and another sentence."""
    place = Span("blocks/block.yaml", 5, 7)
    faults = [
        Finding("add-shape", "error", f"add cannot combine {n} and {2 * n}", f"layer{n}.add", place) for n in (1, 2)
    ]
    other = Finding("add-shape", "error", "another sentence", "top", place)
    targets = ["specs/resnet.yaml:resnet18", "specs/resnet.yaml:resnet34", "specs/other.yaml:a", "net.py:Net"]
    many = replace(faults[0], also=tuple(f"layer{n}.add" for n in range(2, 12)))
    return [
        Checked(targets[0], (*faults, other)),
        Checked(targets[1], (faults[1], many)),
        Checked(targets[2], (faults[0],)),
        Checked(targets[3], (faults[0],)),
    ]


def against_baseline() -> list[Checked]:
    """Return targets compared with a baseline: unchanged, larger, unknown, new, failed or not run.

    Names and messages contain Markdown markup.
    """
    grown = Finding("baseline-params", "error", "41,514 parameters, 3,321 (8.7 %) more", "3.main_0", details=("a | b",))
    fence = Finding("forward", "error", "torch said `*no*` | _never_ <b>", details=("```", "a\\b"), help="see [there]")
    return [
        Checked("same.yaml", (), stages(), CostFigures(stages().total.params, stages().total.macs)),
        Checked("grown.yaml:a|b", (grown,), residual_mnist(), CostFigures(38_193, 2_013_185)),
        Checked("un_known.py:Net", (fence,), awkward(), CostFigures(9_877, 33_600)),
        Checked("new.yaml", (), residual_mnist()),
        Checked("broken.yaml", (Finding("spec", "error", "no such layer", place=Span("broken.yaml", 3, 5)),)),
        Checked("blocks.yaml"),
    ]


def crossed() -> CrossCheck:
    """Return a cross-check with counters that agree, count more or less, crash, cannot count, or are not installed."""
    ours = residual_mnist()
    products = tuple(CountedOp(row.path, "conv", row.macs) for row in ours.rows if row.macs)
    half, rest = products[0], products[1:]
    other = (CountedOp("", "grid_sampler", 9216), replace(half, macs=half.macs // 2 + 1), *rest)
    total = sum(count.macs for count in other)
    less = CounterResult("FlopCounterMode", "torch", "2.13.0", macs=sum(count.macs for count in rest), seconds=0.0231)
    seen = CounterResult("FlopCounterMode, unfused", "torch", "2.13.0", macs=ours.total.macs, counts=products)
    statements = [
        CounterResult("fvcore", "fvcore", "0.1.5", params=41_515, macs=total, seconds=1.5, counts=other),
        replace(less, counts=rest, unknown=(CountedOp(half.path, "aten.conv2d", 0),)),
        seen,
        CounterResult("torchinfo", "torchinfo", "1.8.0", status="crashed", error="RuntimeError: a | b <c>"),
        CounterResult(
            "deaf", "deaf", status="unable", error="deaf takes no model of a name as long as this one by name"
        ),
        CounterResult("absent", "absent", status="missing", error="not installed", help='pip install "absent"'),
    ]
    return cross_check(ours, 0.0125, statements, [row.path for row in ours.rows])


def table_at(width: int, make: Callable, *args: object) -> Callable[[], str]:
    return lambda: table.format_table(make(*args), width=width)


CASES: dict[str, Callable[[], str]] = {
    **{f"mnist.{width}.txt": table_at(width, table_content.summary_sheet, residual_mnist()) for width in (60, 80, 120)},
    **{f"stages.{width}.txt": table_at(width, table_content.summary_sheet, stages()) for width in (60, 80, 120)},
    **{f"awkward.{width}.txt": table_at(width, table_content.summary_sheet, awkward()) for width in (60, 80)},
    **{f"trained.{width}.txt": table_at(width, table_content.summary_sheet, trained()) for width in (60, 80, 120)},
    "trained.type.txt": table_at(120, table_content.flops_sheet, trained(), TableOptions(by="type")),
    "trained.columns.txt": table_at(
        80,
        table_content.summary_sheet,
        trained(),
        TableOptions(columns=("path", "read", "backward_read", "backward_written", "rows")),
    ),
    "stages.depth1.txt": table_at(80, table_content.summary_sheet, stages(), TableOptions(depth=1)),
    "stages.sorted.txt": table_at(80, table_content.summary_sheet, stages(), TableOptions(sort="macs", depth=2)),
    "stages.columns.txt": table_at(
        80, table_content.summary_sheet, stages(), TableOptions(columns=("path", "flops", "written"), depth=2)
    ),
    "awkward.everything.txt": table_at(200, table_content.summary_sheet, awkward(), EVERYTHING),
    "flops.module.txt": table_at(120, table_content.flops_sheet, stages()),
    "flops.type.txt": table_at(80, table_content.flops_sheet, awkward(), TableOptions(by="type")),
    "flops.depth.txt": table_at(80, table_content.flops_sheet, stages(), TableOptions(by="depth")),
    **{f"timed.{width}.txt": table_at(width, timings.timing_sheet, timed_mnist()) for width in (60, 80, 120)},
    **{f"timed.stages.{width}.txt": table_at(width, timings.timing_sheet, timed_stages()) for width in (80, 120)},
    **{f"timed.training.{width}.txt": table_at(width, timings.timing_sheet, timed_training()) for width in (80, 120)},
    "timed.type.txt": table_at(120, timings.timing_sheet, timed_training(), TableOptions(by="type")),
    "timed.awkward.txt": table_at(80, timings.timing_sheet, timed_awkward()),
    "timed.sorted.txt": table_at(80, timings.timing_sheet, timed_stages(), TableOptions(sort="time")),
    "timed.columns.txt": table_at(
        100, timings.timing_sheet, timed_mnist(), TableOptions(columns=("path", *TIME_COLUMNS))
    ),
    "timed.compiled.txt": table_at(80, timings.timing_sheet, timed_compiled()),
    "timed.meta.txt": table_at(80, timings.timing_sheet, timed_meta()),
    "timed.meta.md": lambda: markdown.format_markdown(timings.timing_sheet(timed_meta())),
    "timed.grid.txt": table_at(80, grids.grid_sheet, grid()),
    "timed.md": lambda: markdown.format_markdown(timings.timing_sheet(timed_mnist())),
    "timed.csv": lambda: timings.timing_csv(timed_awkward()),
    "timed.type.csv": lambda: timings.timing_csv(timed_training(), TableOptions(by="type")),
    "timed.grid.csv": lambda: grids.grid_csv(grid()),
    "timed.json": lambda: json_csv.format_json(timed_training().to_dict()),
    "crosscheck.80.txt": table_at(80, crosschecks.cross_check_sheet, crossed()),
    "crosscheck.120.txt": table_at(120, crosschecks.cross_check_sheet, crossed()),
    "crosscheck.md": lambda: markdown.format_markdown(crosschecks.cross_check_sheet(crossed())),
    "crosscheck.html": lambda: html.format_html(crosschecks.cross_check_sheet(crossed())),
    "crosscheck.csv": lambda: crosschecks.cross_check_csv(crossed()),
    "crosscheck.json": lambda: json_csv.format_json(crossed().to_dict()),
    "compare.80.txt": lambda: table.format_table(comparisons.comparison_sheet(bottleneck()), width=80),
    "compare.60.txt": lambda: table.format_table(comparisons.comparison_sheet(bottleneck()), width=60),
    "compare.unpriced.txt": table_at(
        120, comparisons.comparison_sheet, compare_reports([residual_mnist(), awkward(), stages()])
    ),
    "findings.txt": lambda: findings.format_check_report(checked()),
    "findings.60.txt": lambda: findings.format_check_report(checked(), width=60, level="note"),
    "findings.repeated.txt": lambda: findings.format_check_report(repeated()),
    "findings.md": lambda: pull_request.format_pull_request(checked()),
    "baseline.txt": lambda: findings.format_check_report(against_baseline()),
    "baseline.md": lambda: pull_request.format_pull_request(against_baseline()),
    "mnist.md": lambda: markdown.format_markdown(table_content.summary_sheet(residual_mnist())),
    "awkward.md": lambda: markdown.format_markdown(table_content.summary_sheet(awkward())),
    "compare.md": lambda: markdown.format_markdown(comparisons.comparison_sheet(bottleneck())),
    "awkward.html": lambda: html.format_html(table_content.summary_sheet(awkward())),
    "stages.csv": lambda: json_csv.summary_csv(stages()),
    "awkward.csv": lambda: json_csv.summary_csv(awkward(), EVERYTHING),
    "trained.csv": lambda: json_csv.summary_csv(trained()),
    "trained.type.csv": lambda: json_csv.flops_csv(trained(), TableOptions(by="type")),
    "trained.json": lambda: json_csv.format_json(
        json_csv.flops_document(trained(), TableOptions(by="type")) | {"rows": [], "inputs": [], "outputs": []}
    ),
    "flops.csv": lambda: json_csv.flops_csv(stages(), TableOptions(by="type")),
    "compare.csv": lambda: json_csv.comparison_csv(bottleneck()),
    "awkward.json": lambda: json_csv.format_json(awkward().to_dict()),
    "flops.json": lambda: json_csv.format_json(json_csv.flops_document(awkward(), TableOptions(by="type"))["parts"]),
    "compare.json": lambda: json_csv.format_json(bottleneck().to_dict()),
    "findings.json": lambda: json_csv.format_json(json_csv.findings_document(checked())),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rendering_equals_its_golden_file(name: str) -> None:
    assert CASES[name]() == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_golden_file_is_in_use() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == CASES.keys()


# ------------------------------------------------------------ width
@pytest.mark.parametrize("width", [60, 70, 80, 100, 120, 200])
@pytest.mark.parametrize("report", [residual_mnist(), stages(), awkward(), trained()])
def test_a_table_fits_its_width(width: int, report) -> None:
    for options in (TableOptions(), TableOptions(depth=1), TableOptions(sort="params"), EVERYTHING):
        lines = table.format_table(table_content.summary_sheet(report, options), width=width).splitlines()
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_width_cuts_a_number(width: int) -> None:
    text = table.format_table(table_content.summary_sheet(stages()), width=width)
    for number in ("1,419,722", "110,624,768", "885,504", "56,623,104"):
        assert number in text


def test_an_omitted_column_is_named() -> None:
    narrow = table.format_table(table_content.summary_sheet(residual_mnist()), width=60)
    assert "left out at this width (60): from, share; columns=… chooses" in narrow.replace("\n", " ")
    assert "left out" not in table.format_table(table_content.summary_sheet(residual_mnist()), width=120)


def test_layer_texts_are_cut_before_a_column_is_omitted() -> None:
    text = table.format_table(table_content.summary_sheet(residual_mnist()), width=78)
    assert "Conv2d 16, 3×3, …" in text
    assert "from" in text


def test_a_comparison_fits_its_width_with_its_ratios() -> None:
    long = replace(stages(), trace=replace(stages().trace, target="a/very/long/way/to/the/folder/of/some/network.yaml"))
    both = compare_reports([long, residual_mnist()])
    lines = table.format_table(comparisons.comparison_sheet(both), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("…") and "network.yaml" in line for line in lines)
    assert sum("ratio" in line for line in lines) == 2, "the headers, and what they are held against"


def test_an_extra_column_is_shown() -> None:
    nanoseconds = {row.index: 10 for row in residual_mnist().rows}
    time = Column(
        "time", "ns", lambda line, _: str(sum(nanoseconds[i] for i in line.rows)), lambda line, _: 0, right=True
    )
    laid = table_content.summary_sheet(residual_mnist(), TableOptions(columns=("path", "time")), extra=[time])
    lines = table.format_table(laid, width=80).splitlines()
    assert lines[2:6] == ["path      ns", "0         10", "1         10", "2         10"]
    assert lines[6] == "3         50"


# ------------------------------------------------------------ data
def test_csv_columns_sum_to_the_totals() -> None:
    rows = list(csv.DictReader(io.StringIO(json_csv.summary_csv(stages()))))
    total = stages().total
    assert sum(int(row["macs"]) for row in rows) == total.macs
    assert sum(int(row["params"]) for row in rows) == total.params
    assert sum(int(row["bytes_read"]) for row in rows) == total.read


def test_the_backward_pass_has_columns_where_there_is_one() -> None:
    head = "backward_macs,backward_bytes_read,backward_bytes_written"
    assert head not in json_csv.summary_csv(stages()).splitlines()[0]
    rows = list(csv.DictReader(io.StringIO(json_csv.summary_csv(trained()))))
    total = trained().backward_total
    assert total is not None
    assert sum(int(row["backward_macs"] or 0) for row in rows) == total.known
    assert sum(int(row["backward_bytes_written"]) for row in rows) == total.written
    asked = json_csv.summary_csv(stages(), TableOptions(columns=("path", "backward"))).splitlines()
    assert asked[:2] == ["path,backward_macs", "stem.0,"]


def test_csv_leaves_the_unknown_empty() -> None:
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(json_csv.summary_csv(awkward())))}
    assert rows["rnn"]["macs"] == ""
    assert rows["rnn"]["params"] == "6144"


def test_findings_are_counted() -> None:
    document = json.loads(json_csv.format_json(json_csv.findings_document(checked())))
    counts = [document[key] for key in ("errors", "warnings", "notes")]
    assert (document["schema"], counts) == ("archscope.findings/1", [1, 1, 1])
    assert [target["target"] for target in document["targets"]] == ["net.yaml", "fine.yaml"]
    assert findings.checked_summary([Checked("a.yaml")]) == "no problems in a.yaml"


# ------------------------------------------------------------ escapes and views
def test_markdown_and_html_escape_markup() -> None:
    net = Sketch("net.py:_Net_", x=(1, 3, 8, 8))
    y = net.step("a|b", "expression", "x[:, 0] * <y> | 2", [net["x"]], (1, 8))
    report = net.report([y])
    assert r"x\[:, 0] \* \<y> \| 2" in markdown.format_markdown(table_content.summary_sheet(report))
    assert "x[:, 0] * &lt;y&gt; | 2" in html.format_html(table_content.summary_sheet(report))


def test_views_show_tables_and_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    report = replace(mismatched(), views=notebook_views.REPORT_VIEWS)
    assert str(report).startswith(table.format_table(table_content.summary_sheet(report), width=120))
    assert "at layer2.0.add: the two sides of this residual cannot be added" in " ".join(str(report).split())
    assert (report._repr_html_() or "").count("<table") == 1
    assert "cannot be added" in (report._repr_html_() or "")
    shown = replace(bottleneck(), views=comparisons.COMPARISON_VIEWS)
    assert "0.103×" in str(shown)
    assert "<table" in (shown._repr_html_() or "")


def test_a_step_named_by_markup_keeps_its_indent() -> None:
    assert markdown.escape_markdown("    main.0") == "&nbsp;&nbsp;&nbsp;&nbsp;main.0"


def test_phrases_wrap_between_words_only_if_too_wide() -> None:
    assert table.wrap_phrases(["one two", "three"], 80) == ["one two · three"]
    assert table.wrap_phrases(["one two", "three"], 9) == ["one two", "three"]
    assert table.wrap_phrases(["one two three"], 9) == ["one two", "three"]


def test_an_empty_net_has_a_table() -> None:
    report = Sketch("empty.yaml", x=(1, 3)).report([])
    assert re.search(r"total\n0 parameters \(0 B\) · 0 MACs", table.format_table(table_content.summary_sheet(report)))


def test_a_finding_without_a_location_is_shown_with_its_target() -> None:
    (line,) = findings.format_findings(
        [Finding("params", "error", "too many", "head")], target="net.py:Net"
    ).splitlines()
    assert line == "net.py:Net: head: error params: too many"


# ------------------------------------------------------------ findings
@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("found", [checked, repeated, against_baseline])
def test_findings_fit_the_width_and_keep_every_word(width: int, found: Callable[[], list[Checked]]) -> None:
    laid_out = {f"    {detail}" for item in found() for finding in item.findings for detail in finding.details}
    lines = findings.format_check_report(found(), width=width, level="note").splitlines()
    assert [line for line in lines if len(line) > width and line not in laid_out and len(line.split()) > 2] == []
    wide = findings.format_check_report(found(), width=10_000, level="note")
    assert " ".join(lines).split() == wide.split()


def test_shapes_and_commands_are_not_broken() -> None:
    for width in range(40, 90):
        lines = findings.format_check_report(checked(), width=width).splitlines()
        for whole in ("(1, 128, 28, 28)", "(28, 56)", "`archscope check --fix net.yaml`", "fix 1"):
            assert any(whole in line for line in lines), (width, whole)


def test_every_finding_is_folded_into_exactly_one() -> None:
    for found in (checked(), repeated(), against_baseline()):
        everything = [(item.target, finding) for item in found for finding in item.findings]
        once = fold_findings(found)
        assert len({(one.finding.rule, one.finding.place, one.finding.message) for one in once}) == len(once)
        for target, finding in everything:
            assert any(
                (one.finding.rule, one.finding.place) == (finding.rule, finding.place)
                and target in (one.target, *one.others)
                and (target in one.others or finding.path in (one.finding.path, *one.finding.also))
                for one in once
            )


def test_findings_without_a_location_are_not_folded() -> None:
    budget = Finding("budget-params", "error", "5 parameters, 1 more than the budget of 4")
    assert len(fold_findings([Checked("a.yaml", (budget, budget)), Checked("b.yaml", (budget,))])) == 3


@pytest.mark.parametrize("level", LEVELS)
def test_hidden_findings_are_counted(level: str) -> None:
    text = findings.format_check_report(checked(), level=level, width=1000)
    shown = sum(finding.level in LEVELS[: LEVELS.index(level) + 1] for item in checked() for finding in item.findings)
    assert len(re.findall(r": (?:error|warning|note) ", text)) == shown
    last = text.splitlines()[-1]
    hidden = {"error": "1 warning and 1 note not shown (--level note)", "warning": "1 note not shown (--level note)"}
    assert hidden.get(level, "") in last
    assert ("not shown" in last) is (level != "note")
    assert "not shown" not in findings.format_check_report(checked(), level=level, quiet=True)


def test_the_fix_command_is_shown_only_if_there_is_a_fix() -> None:
    fault = checked()[0].findings[0]
    assert "--fix" not in findings.format_check_report([Checked("net.yaml", (replace(fault, fixes=()),))])
    assert "--fix" not in findings.format_check_report([Checked("net.py:net", (fault,))])
    wide = replace(fault, fixes=(replace(fault.fixes[0], outside=True),))
    assert "`archscope check --fix 1 net.yaml` applies fix 1" in findings.format_check_report(
        [Checked("net.yaml:small", (wide,))], width=1000
    )
    both = findings.format_check_report(
        [Checked("a.yaml:x", (fault,)), Checked("b.yaml", (replace(fault, place=None),))], width=1000
    )
    assert "`archscope check --fix a.yaml b.yaml` applies fix 1 of each" in both


@pytest.mark.parametrize("text", ["`", "``", "a`b", "```x```", "plain"])
def test_code_in_markdown_may_contain_backticks(text: str) -> None:
    fence = pull_request.code_block([text]).splitlines()
    assert (fence[1], fence[0].removesuffix("text"), "`" in fence[2].replace(fence[0][:-4], "")) == (
        text,
        fence[2],
        False,
    )
    marks = re.match("`+", pull_request.inline_code(text))
    assert marks
    assert marks[0] not in re.split("`+(?=[^`])", text)
    assert pull_request.inline_code(text).strip("`").strip() in (text, text.strip("`"))


if __name__ == "__main__" and "--update" in sys.argv:
    for old in GOLDEN.iterdir():
        old.unlink()
    for case, render in CASES.items():
        (GOLDEN / case).write_text(render(), encoding="utf-8")


@pytest.mark.parametrize(
    ("products", "convolutions", "said"),
    [
        (True, True, "TF32 on"),
        (False, False, "TF32 off"),
        (False, True, "TF32 for convolutions only"),
        (True, False, "TF32 for products only"),
    ],
)
def test_the_head_shows_tf32_for_products_and_convolutions(products: bool, convolutions: bool, said: str) -> None:
    timing = timed_training()
    settings = (("tf32", products), ("tf32_conv", convolutions))
    machine = replace(timing.measurement.machine, settings=settings)
    shown = timings.timing_sheet(replace(timing, measurement=replace(timing.measurement, machine=machine)))
    assert said in shown.head
