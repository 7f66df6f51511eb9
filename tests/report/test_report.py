"""Tests of reports: totals of rows and parameters, None for unknown figures, the JSON document."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from archscope.errors import BlockFrame, Problem, Span
from archscope.report import Finding, Report, ReportViews, Total, finding_from_problem
from archscope.trace import Failure, Location
from tests.sketches import Sketch, awkward, residual_mnist, stages, trained


def test_the_tutorials_net_has_its_published_figures() -> None:
    total = residual_mnist().total
    assert (total.params, total.trainable_params, total.param_bytes) == (41_514, 41_514, 166_056)
    assert (total.macs, total.flops, total.unpriced) == (2_013_184, 4_026_368, 0)


@pytest.mark.parametrize("report", [residual_mnist(), stages(), awkward()], ids=["mnist", "stages", "awkward"])
def test_the_total_is_the_sum_of_the_rows_and_the_unread_parameters(report: Report) -> None:
    unread = sum(param.count for param in report.unread)
    assert report.total.params == sum(row.params for row in report.rows) + unread
    assert report.total.known == sum(row.cost.known for row in report.rows)
    assert report.total.read == sum(row.cost.read for row in report.rows)
    assert report.total.params == sum(param.count for param in report.trace.params if not param.tied_to)


def test_doubling_the_batch_doubles_the_macs() -> None:
    assert stages(batch=2).total.macs == 2 * stages().total.macs
    assert stages(batch=2).total.params == stages().total.params


def test_unknown_is_none_and_counted() -> None:
    report = awkward()
    rnn = report.rows[1]
    assert (rnn.macs, rnn.flops, rnn.params) == (None, None, 6144)
    assert report.total.unpriced == 1
    assert report.unpriced == {"aten.mkldnn_rnn_layer": (1,)}


def test_a_tied_parameter_belongs_to_its_first_reader() -> None:
    report = awkward()
    assert [row.params for row in report.rows if row.path in ("embed", "head")] == [1600, 0]
    assert [param.name for param in report.unread] == ["lost"]
    assert report.total.trainable_params == report.total.params - 5


def test_a_row_that_reads_a_tied_name_first_owns_it() -> None:
    net = Sketch("net.py:Net", x=(1, 4))
    net.param("a", (4, 4))
    net.param("b", (4, 4), tied_to="a")
    y = net.row("0", "linear", [net["x"]], (1, 4), params=["b"])
    report = net.report([net.row("1", "linear", [y], (1, 4), params=["a"])])
    assert [row.params for row in report.rows] == [16, 0]


def test_the_batch_is_what_the_inputs_agree_on() -> None:
    assert awkward().batch == 2
    assert Sketch("net.py:Net", a=(2, 3), b=(4, 3)).report([]).batch is None
    assert Sketch("net.py:Net").report([]).batch is None


def test_parameters_and_buffers_are_not_activations() -> None:
    report = awkward()
    assert [operand.source for operand in report.index.activations(report.trace.rows[0])] == ["tokens"]
    assert [operand.source for operand in report.trace.rows[0].inputs] == ["tokens", "constant", "embed.weight"]


# ------------------------------------------------------------ JSON
KEYS = ["schema", "target", "device", "dtype", "mode", "inputs", "outputs", "totals", "rows", "unpriced", "findings"]


def test_the_document_has_the_documented_keys() -> None:
    document = json.loads(json.dumps(residual_mnist().to_dict()))
    assert [key for key in document if key in KEYS] == KEYS
    assert document["schema"] == "archscope.report/1"
    assert document["inputs"] == [{"name": "x", "shape": [1, 1, 28, 28], "dtype": "float32"}]
    assert document["outputs"] == [{"name": "9", "shape": [1, 10], "dtype": "float32"}]
    contract = {"params": 41514, "trainable_params": 41514, "param_bytes": 166056, "macs": 2013184, "flops": 4026368}
    assert document["totals"].items() >= (contract | {"unpriced": 0}).items()
    assert document["rows"][0] == {
        "index": 0,
        "path": "0",
        "op": "Conv2d",
        "function": "torch.nn.functional.conv2d",
        "inputs": [{"from": "x", "shape": [1, 1, 28, 28]}],
        "outputs": [{"shape": [1, 16, 24, 24], "dtype": "float32"}],
        "params": 416,
        "macs": 230400,
        "flops": 460800,
        "bytes_read": 4800,
        "bytes_written": 36864,
        "place": {"file": "specs/tutorials/residual_mnist.yaml:plain", "line": 10, "column": 5},
    }


def test_the_document_has_null_for_unknown_figures() -> None:
    document = awkward().to_dict()
    assert document["rows"][1]["macs"] is None
    assert document["rows"][1]["flops"] is None
    assert document["unpriced"] == [{"kernel": "aten.mkldnn_rnn_layer", "rows": [1]}]
    assert document["totals"]["unpriced"] == 1


# ------------------------------------------------------------ the backward pass
def test_the_backward_pass_has_its_own_totals() -> None:
    report = trained()
    assert (report.total.known, report.total.unpriced) == (39_518_368, 1)
    assert report.backward_total == Total.of(row.total for row in report.backward)
    assert (report.backward_total.known, report.backward_total.macs) == (77_268_544, None)
    assert report.backward_unpriced == {"aten._fft_c2r": (1,)}
    assert [row.op for row in report.unattributed_backward] == ["ScaleBackward"]


def test_no_backward_pass_is_none_and_never_zero() -> None:
    assert stages().backward_total is None
    assert stages().to_dict()["backward"] is None


def test_a_backward_pass_that_failed_is_not_known_and_the_forward_pass_is() -> None:
    failure = Failure(Location("", "", "block"), "", (), "modified", backward=True)
    whole = residual_mnist()
    report = replace(whole, trace=replace(whole.trace, loss="the output", failure=failure))
    assert (report.total, report.backward_total) == (whole.total, None)


def test_the_document_holds_the_backward_pass() -> None:
    found = json.loads(json.dumps(trained().to_dict()))["backward"]
    assert (found["loss"], found["totals"]["macs_at_least"]) == ("the sum of the output", 77_268_544)
    assert list(found["totals"]) == ["macs", "flops", "bytes_read", "bytes_written", "unpriced", "macs_at_least"]
    assert found["unpriced"] == [{"kernel": "aten._fft_c2r", "rows": [1]}]
    head, *_, scale = found["rows"]
    assert (head["path"], head["of"], head["macs"], head["flops"], head["bytes_read"]) == ("head", 12, 320, 640, 16)
    assert (scale["path"], scale["of"], scale["op"]) == ("ScaleBackward", None, "ScaleBackward")


def test_the_document_holds_findings() -> None:
    finding = Finding("params", "error", "41,514 parameters, not 41,515", "0", Span("net.yaml", 3, 5), "count again")
    report = replace(residual_mnist(), findings=(finding,))
    assert report.failed
    assert report.to_dict()["findings"] == [
        {
            "rule": "params",
            "level": "error",
            "path": "0",
            "place": {"file": "net.yaml", "line": 3, "column": 5},
            "message": "41,514 parameters, not 41,515",
            "help": "count again",
            "details": [],
            "cause": "params",
            "sizes": None,
            "likely": False,
            "walk": [],
            "also": [],
            "fixes": [],
        }
    ]
    assert replace(report, findings=(replace(finding, level="warning", place=None),)).failed is False


def test_a_problem_becomes_a_finding() -> None:
    problem = Problem(Span("n.yaml", 1, 2), "what", "help", (BlockFrame("Block", Span("n.yaml", 9, 5), "layer1.0"),))
    finding = finding_from_problem(problem, rule="unused", level="warning")
    assert (finding.rule, finding.level, finding.message, finding.help) == ("unused", "warning", "what", "help")
    assert (finding.path, finding.place) == ("layer1.0", problem.span)
    assert finding.details == ("in Block at n.yaml:9 (layer1.0)",)
    assert finding_from_problem(problem, sources={"n.yaml": "- X(3)"}).details[:2] == ("- X(3)", " ^")


# ------------------------------------------------------------ showing
def test_a_report_is_shown_by_its_views() -> None:
    report = replace(residual_mnist(), views=ReportViews(lambda r: f"text of {r.target}", lambda r: "<p>html</p>"))
    assert str(report) == "text of specs/tutorials/residual_mnist.yaml:plain"
    assert report._repr_html_() == "<p>html</p>"
    assert repr(report) == "<Report specs/tutorials/residual_mnist.yaml:plain: 41,514 parameters, 2,013,184 MACs>"
    assert residual_mnist()._repr_html_() is None
    assert report == residual_mnist()


def test_totals_add() -> None:
    assert Total(1, 1, 4, 10, 2, 3, 0) + Total(2, 0, 8, 5, 1, 1, 1) == Total(3, 1, 12, 15, 3, 4, 1)
    assert Total.of([]) == Total()
