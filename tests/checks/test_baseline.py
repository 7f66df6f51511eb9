"""Tests of baselines: a report equals itself; every change is found, respects the tolerance, and is located."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archscope.checks.baseline import Baseline, compare_to_baseline, parse_baseline, read_baseline
from archscope.checks.baseline_diff import diff_parts
from archscope.errors import Span, UsageError
from archscope.report import Report
from archscope.trace import Failure, Location
from tests.sketches import Sketch, awkward, conv, residual_mnist, same, stages

EXACT = Decimal(0)


def baseline(*reports: Report) -> Baseline:
    """The reports as they would be read back."""
    return parse_baseline(json.loads(json.dumps([report.to_dict() for report in reports])), "base.json")


def known() -> Report:
    """Priced all through: awkward's figures without its LSTM."""
    return replace(awkward(), costs=tuple(replace(cost, unpriced=()) for cost in awkward().costs))


def net(*widths: int, block: int = 8, head: bool = True) -> Report:
    sketch = Sketch("specs/net.yaml:small", x=(1, 3, 8, 8))
    x = sketch["x"]
    for number, width in enumerate(widths):
        with sketch.call(f"layer{number}", "Stage"):
            x = conv(sketch, f"layer{number}.0", x, block, 1)
            x = conv(sketch, f"layer{number}.1", x, width, 1)
    x = conv(sketch, "head", x, 10, 1) if head else same(sketch, "act", "ReLU", x)
    return sketch.report([x])


# ------------------------------------------------------------ laws
@pytest.mark.parametrize("report", [residual_mnist(), stages(), known(), net(4, 4)], ids=lambda report: report.target)
def test_a_report_does_not_differ_from_itself(report: Report) -> None:
    assert compare_to_baseline(report, baseline(report)) == ()


@pytest.mark.parametrize("tolerance", ["0", "0.01", "0.02", "0.5"])
@pytest.mark.parametrize("quantity", ["params", "macs"])
def test_the_tolerance_holds_both_ways_to_the_last_one(quantity: str, tolerance: str) -> None:
    report = net(4, 4)
    now = getattr(report.total, quantity)
    for was in range(max(1, now // 2), 2 * now, max(1, now // 97)):
        document = report.to_dict()
        document["totals"][quantity] = was
        found = compare_to_baseline(report, parse_baseline(document, "base.json"), tolerance=Decimal(tolerance))
        assert bool(found) == (abs(now - was) > Decimal(tolerance) * was)
        assert {finding.rule for finding in found} <= {f"baseline-{quantity}"}
        assert all(("more" if now > was else "fewer") in finding.message for finding in found)


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)
PARTS = st.dictionaries(PATHS, st.integers(0, 9), max_size=8)


@pytest.mark.law
@given(PARTS, PARTS)
def test_a_culprit_explains_the_whole_change(was: dict[str, int], now: dict[str, int]) -> None:
    growth = diff_parts(was.items(), now.items())
    change = sum(now.values()) - sum(was.values())
    if growth is None:
        assert change == 0
        return
    inside = [
        sum(number for path, number in parts.items() if f"{path}.".startswith(f"{growth.path}." if growth.path else ""))
        for parts in (was, now)
    ]
    assert inside[1] - inside[0] == change


@pytest.mark.law
@given(PARTS, PATHS, st.integers(1, 9))
def test_a_part_that_grew_alone_is_found(was: dict[str, int], path: str, more: int) -> None:
    growth = diff_parts(was.items(), {**was, path: was.get(path, 0) + more}.items())
    assert growth is not None
    assert f"{path}.".startswith(f"{growth.path}.")
    if path in was:
        assert growth.path == path
        assert growth.clause == f"{path} grew by {more}"


# ------------------------------------------------------------ which layer grew
def test_a_layer_that_grew_is_named_with_its_place() -> None:
    params, macs = compare_to_baseline(net(4, 4, head=False), baseline(net(4, 3, head=False)))
    assert params.message == "144 parameters, 9 (6.7 %) more than the baseline's 135; layer1.1 grew by 9"
    assert params.details == ("layer1.1  27 → 36  +9",)
    assert (params.path, params.place) == ("layer1.1", Span("specs/net.yaml:small", 15, 5))
    assert params.help == "if that is meant, renew the baseline with --save-baseline base.json"
    assert macs.message.endswith("; layer1.1 grew by 512")


def test_a_change_in_one_block_is_rolled_up_to_it() -> None:
    params, _ = compare_to_baseline(net(4, 5), baseline(net(4, 3)))
    assert params.message.endswith("more than the baseline's 175; most of it in head (+20)")
    assert params.details == ("head      40 → 60  +20", "layer1.1  27 → 45  +18")
    inside = diff_parts({"a.0": 1, "a.1": 2, "b": 1}.items(), {"a.0": 3, "a.1": 5, "b": 1}.items())
    assert inside is not None
    assert (inside.path, inside.clause, inside.lines) == ("a", "a grew by 5", ("a.1  2 → 5  +3", "a.0  1 → 3  +2"))


def test_what_the_net_runs_itself_goes_by_its_function() -> None:
    def products(macs: int) -> Report:
        sketch = Sketch("net.py:Net", x=(1, 8))
        with sketch.call("", "Net"):
            return sketch.report([sketch.row("", "matmul", [sketch["x"]], (1, 8), macs=macs)])

    was, now = products(64).to_dict(), products(128)
    assert [row["path"] for row in was["rows"]] == ["matmul"]
    for path in ("matmul", ""):  # earlier versions left it empty
        was["rows"][0]["path"] = path
        (finding,) = compare_to_baseline(now, parse_baseline(was, "base.json"))
        assert finding.path == "matmul"


def test_what_came_and_went() -> None:
    params, _ = compare_to_baseline(net(4, head=False), baseline(net(4, 4, head=False)))
    assert params.message.endswith("; layer1 was removed")
    assert params.details == ("layer1  76 → none  -76  removed",)
    assert (params.path, params.place) == ("layer1", None)
    params, _ = compare_to_baseline(net(4, 4, head=False), baseline(net(4, head=False)))
    assert params.message.endswith("; layer1 was added")
    assert params.details == ("layer1  none → 76  +76  added",)


def test_a_long_list_is_cut() -> None:
    was = {f"p{number}": number for number in range(9)}
    growth = diff_parts(was.items(), {path: 2 * number for path, number in was.items()}.items())
    assert growth is not None
    assert growth.lines[0].startswith("p8")
    assert (len(growth.lines), growth.lines[-1]) == (6, "and 3 more")


def test_parameters_that_nothing_reads_are_a_part() -> None:
    was = known()
    trace = was.trace
    more = tuple(p._replace(count=p.count + 7) if p.name == "lost" else p for p in trace.params)
    (params,) = compare_to_baseline(replace(was, trace=replace(trace, params=more)), baseline(was))
    assert params.message.endswith("; (unread) grew by 7")


def test_other_inputs_are_told() -> None:
    found = compare_to_baseline(residual_mnist(batch=2), baseline(residual_mnist()))
    (macs,) = found
    assert macs.details[-1] == "the baseline ran with 1×1×28×28, this run with 2×1×28×28"


def test_the_tolerance_is_told() -> None:
    params, _ = compare_to_baseline(net(4, 9), baseline(net(4, 3)), tolerance=Decimal("0.025"))
    assert "the baseline's 175 (tolerance 2.5 %); most" in params.message


# ------------------------------------------------------------ what is not known
def test_the_unknown_is_never_compared_as_zero() -> None:
    (lost,) = compare_to_baseline(awkward(), baseline(known()))
    assert (lost.rule, lost.level) == ("baseline-macs", "error")
    assert lost.message == "the MACs are not known, so they cannot be compared with the baseline's 33,600"
    (won,) = compare_to_baseline(known(), baseline(awkward()))
    assert (won.level, won.message) == ("warning", "the MACs were not known in the baseline, and are 33,600 now")
    (still,) = compare_to_baseline(awkward(), baseline(awkward()))
    assert (still.level, still.message) == ("warning", "the MACs were not known in the baseline, and are not known now")


def test_a_run_that_broke_off_is_not_held_to_its_macs() -> None:
    failure = Failure(Location("9", "Linear", "layer"), "linear", (), "no")
    failed = replace(residual_mnist(), trace=replace(residual_mnist().trace, failure=failure))
    assert compare_to_baseline(failed, baseline(residual_mnist())) == ()


# ------------------------------------------------------------ targets
@pytest.mark.parametrize(
    ("saved", "target", "found"),
    [
        ("specs/a.yaml:x", "./specs/a.yaml:x", True),
        ("./specs/../specs/a.yaml:x", "specs/a.yaml:x", True),
        ("specs\\a.yaml:x", "specs/a.yaml:x", True),
        ("/ci/build/specs/a.yaml:x", "specs/a.yaml:x", True),
        ("specs/a.yaml:x", "/home/me/specs/a.yaml:x", True),
        ("specs/a.yaml:x", "specs/a.yaml:y", False),
        ("specs/a.yaml", "a.yaml", False),
        ("/ci/myspecs/a.yaml", "specs/a.yaml", False),
        ("net.py:Net", "net.py:Net", True),
        ("specs:resnet.yaml:resnet18", "specs:resnet:resnet18", True),
        ("specs:resnet.yaml:resnet18", "specs:resnet:resnet34", False),
    ],
)
def test_spellings_of_a_target(saved: str, target: str, found: bool) -> None:
    document = {**net(4).to_dict(), "target": saved}
    assert (parse_baseline(document, "base.json").of(target) is not None) is found


def test_an_ambiguous_target_is_not_guessed() -> None:
    documents = [{**net(4).to_dict(), "target": f"/{place}/specs/a.yaml"} for place in ("one", "two")]
    assert parse_baseline(documents, "base.json").of("specs/a.yaml") is None


def test_a_target_that_is_not_there_is_a_warning() -> None:
    (finding,) = compare_to_baseline(
        net(4), baseline(residual_mnist(), replace(net(4), trace=other("specs/net.yaml:smaller")))
    )
    assert (finding.rule, finding.level) == ("baseline-target", "warning")
    assert finding.message == "the baseline base.json does not hold specs/net.yaml:small"
    suggestion = "did you mean 'specs/net.yaml:smaller'? renew the baseline with --save-baseline base.json"
    assert finding.help == suggestion


def other(target: str) -> Any:
    return replace(net(4).trace, target=target)


# ------------------------------------------------------------ files
def changed(change: Callable[[dict[str, Any]], object]) -> str:
    document = net(4).to_dict()
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "base.json:1:1: not valid JSON"),
        ("[1,\n 2", "base.json:2:3: not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[3]", "schema None is not 'archscope.report/1'"),
        ('{"schema": "archscope.findings/1"}', "schema 'archscope.findings/1' is not 'archscope.report/1'"),
        ('{"schema": "archscope.report/1"}', "'target' is missing"),
        (changed(lambda document: document.pop("rows")), "'rows' is missing"),
        (changed(lambda document: document["totals"].pop("macs")), "'macs' is missing"),
        (changed(lambda document: document["totals"].update(params="many")), "wrong type"),
        (changed(lambda document: document["totals"].update(params=True)), "wrong type"),
        (changed(lambda document: document["rows"].append(3)), "wrong type"),
        (changed(lambda document: document.update(target=None)), "wrong type"),
        (changed(lambda document: document.update(inputs=[{"shape": 3}])), "wrong type"),
        (f"[{changed(lambda _: 0)},{changed(lambda _: 0)}]", "specs/net.yaml:small is in it twice"),
    ],
)
def test_what_is_no_baseline_is_refused(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        read_baseline("base.json")
    assert message in str(raised.value)
    assert str(raised.value).startswith("base.json")
    assert raised.value.help == "archscope check TARGET… --save-baseline base.json writes one"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        read_baseline(tmp_path / "base.json")
    (tmp_path / "base.json").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_baseline(tmp_path / "base.json")


def test_one_document_is_a_baseline_too(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(net(4).to_dict()), encoding="utf-8")
    assert compare_to_baseline(net(4), read_baseline(tmp_path / "report.json")) == ()
