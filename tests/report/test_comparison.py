"""Tests of comparisons of reports."""

from __future__ import annotations

import json
from dataclasses import replace

from archscope.report_comparison import compare_reports
from tests.sketches import awkward, residual_mnist, stages


def test_ratios_are_against_the_first() -> None:
    two = compare_reports([stages((2, 2)), stages((1, 1))])
    macs, params, _ = two.changes(1)
    assert (macs.first, macs.this) == (stages((2, 2)).total.macs, stages((1, 1)).total.macs)
    assert macs.ratio == macs.this / macs.first
    mirrored = compare_reports([stages((1, 1)), stages((2, 2))]).changes(1)[0]
    assert (mirrored.first, mirrored.this) == (macs.this, macs.first)
    assert params.ratio < 1


def test_a_report_against_itself() -> None:
    assert [change.ratio for change in compare_reports([stages(), stages()]).changes(1)] == [1.0, 1.0, None]


def test_variants_of_one_file_are_labelled_by_their_names() -> None:
    def named(target: str):
        return replace(stages(), trace=replace(stages().trace, target=target))

    assert compare_reports([named("a.yaml:direct"), named("a.yaml:narrow")]).labels == ("direct", "narrow")
    assert compare_reports([named("a.yaml:direct"), named("b.yaml:narrow")]).labels == (
        "a.yaml:direct",
        "b.yaml:narrow",
    )
    assert compare_reports([named("a.yaml"), named("b.yaml")]).labels == ("a.yaml", "b.yaml")
    assert compare_reports([named("a.yaml:direct")]).labels == ("a.yaml:direct",)


def test_unknown_costs_are_not_compared() -> None:
    document = json.loads(json.dumps(compare_reports([residual_mnist(), awkward()]).to_dict()))
    assert document["schema"] == "archscope.comparison/1"
    assert [target["target"] for target in document["targets"]] == [residual_mnist().target, "net.py:Net"]
    assert document["targets"][0]["totals"]["macs"] == 2_013_184
    assert document["targets"][1]["ratios"]["macs"] is None
    assert document["targets"][1]["ratios"]["params"] == 8277 / 41_514
