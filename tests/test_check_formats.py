"""Tests of `check` for machines: lines, workflow commands, SARIF and JSON, also for targets that cannot be read;
missing targets of a project; the hooks of pre-commit; `flops` of a folder with a spec without figures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from archscope.cli import cli
from archscope.errors import Span
from archscope.render import annotations, sarif
from archscope.report import Checked, Finding, Fix

ROOT = Path(__file__).parent.parent
UNFIT = "input: [N, 4, 8, 8]\nlayers:\n  - residual: Conv2d(8, 3, padding=1)\n"
FITS = "input: [N, 4]\nlayers: [Linear(2)]\n"
HUGE = "input: [N, 4]\nlayers: [Linear(4_000_000_000_000)]\n"
LINE = re.compile(
    r"(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<level>error|warning|note) (?P<code>[\w-]+) (?P<said>.+)"
)
COMMAND = re.compile(r"::(?P<level>error|warning|notice) (?P<properties>[^:]*)::(?P<said>.+)")
PLACE = Span("nets/a b.yaml", 3, 5)
FOUND = Finding(
    "add-shape", "error", "50 % of\nit", "0", PLACE, "a, b: c", (Fix("do", params=1, checked=True),), also=("1",)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    for name, text in {"unfit.yaml": UNFIT, "fits.yaml": FITS, "typo.yaml": "input: [N, 4]\nlayer: []\n"}.items():
        (tmp_path / "nets" / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


# ------------------------------------------------------------ lines
def test_every_finding_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    done = run("check", "nets", "nets/none.yaml", "none.py:Net", "--format", "lines")
    assert done.exit_code == 2
    found = [match.groupdict() for line in done.stdout.splitlines() if (match := LINE.fullmatch(line))]
    assert len(found) == len(done.stdout.splitlines())
    places = [(one["file"], one["line"], one["column"], one["code"]) for one in found]
    assert places == [
        ("nets/typo.yaml", "2", "1", "spec"),
        ("nets/unfit.yaml", "3", "5", "residual-shape"),
        ("nets/none.yaml", "1", "1", "spec"),
        ("none.py", "1", "1", "spec"),
    ]


@pytest.mark.parametrize("format", ["lines", "github"])
def test_nothing_found_prints_nothing(folder: Path, format: str) -> None:
    done = run("check", "nets/fits.yaml", "--format", format)
    assert (done.exit_code, done.stdout) == (0, "")


def test_a_line_has_no_break_and_all_paths() -> None:
    assert (
        annotations.format_lines([Checked("x", (FOUND,))])
        == "nets/a b.yaml:3:5: error add-shape 50 % of it (at 0, 1)\n"
    )


def test_a_finding_of_several_variants_is_printed_once() -> None:
    assert annotations.format_lines([Checked(name, (FOUND,)) for name in ("n.yaml:a", "n.yaml:b")]).count("\n") == 1


def test_levels(folder: Path) -> None:
    notes = [Checked("x", (Finding("dropped-pixels", "note", "so", place=PLACE),))]
    assert annotations.format_lines(notes) == annotations.format_github(notes) == ""
    assert annotations.format_github(notes, level="note").startswith("::notice file=nets/a b.yaml,line=3,col=5,")


# ------------------------------------------------------------ GitHub
def test_workflow_commands(folder: Path) -> None:
    done = run("check", "nets", "none.py:Net", "--format", "github")
    assert done.exit_code == 2
    found = [COMMAND.fullmatch(line) for line in done.stdout.splitlines()]
    assert [match and match["properties"] for match in found] == [
        "file=nets/typo.yaml,line=2,col=1,title=spec",
        "file=nets/unfit.yaml,line=3,col=5,title=residual-shape",
        "file=none.py,title=spec",
    ]


def test_commands_escape_their_delimiters() -> None:
    text = annotations.format_github(
        [Checked("x", (Finding("a,b:c", "error", FOUND.message, "0", PLACE, FOUND.help),))]
    )
    assert text == "::error file=nets/a b.yaml,line=3,col=5,title=a%2Cb%3Ac::50 %25 of%0Ait (at 0)%0Ahelp: a, b: c\n"


def test_files_are_those_of_the_repository(folder: Path) -> None:
    done = run("check", str(folder / "nets" / "unfit.yaml"), "--format", "github")
    assert "file=nets/unfit.yaml," in done.stdout


# ------------------------------------------------------------ SARIF
REQUIRED: dict[str, set[str]] = {
    "": {"version", "runs"},
    "run": {"tool"},
    "driver": {"name"},
    "rule": {"id"},
    "result": {"message"},
    "location": {"physicalLocation"},
}
"""What SARIF 2.1.0 requires of its objects, of those that we write."""
ALLOWED: dict[str, set[str]] = {
    "": {"$schema", "version", "runs", "inlineExternalProperties", "properties"},
    "run": {"tool", "results", "columnKind", "artifacts", "invocations", "originalUriBaseIds", "properties"},
    "driver": {"name", "rules", "version", "informationUri", "fullName", "semanticVersion", "properties"},
    "rule": {"id", "name", "shortDescription", "fullDescription", "helpUri", "defaultConfiguration", "properties"},
    "result": {"ruleId", "ruleIndex", "level", "message", "locations", "relatedLocations", "fixes", "properties"},
    "location": {"physicalLocation", "logicalLocations", "message"},
}


def check_keys(kind: str, given: dict[str, Any]) -> None:
    assert REQUIRED[kind] <= set(given) <= ALLOWED[kind], (kind, set(given))


def test_sarif_has_the_published_structure(folder: Path) -> None:
    done = run("check", "nets", "none.py:Net", "--format", "sarif")
    assert done.exit_code == 2
    document = json.loads(done.stdout)
    check_keys("", document)
    assert document["version"] == "2.1.0"
    (ran,) = document["runs"]
    check_keys("run", ran)
    driver = ran["tool"]["driver"]
    check_keys("driver", driver)
    for rule in driver["rules"]:
        check_keys("rule", rule)
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
    for result in ran["results"]:
        check_keys("result", result)
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        for location in result["locations"]:
            check_keys("location", location)
            assert not location["physicalLocation"]["artifactLocation"]["uri"].startswith("/")
            region = location["physicalLocation"].get("region", {"startLine": 1, "startColumn": 1})
            assert min(region["startLine"], region["startColumn"]) >= 1
    assert [result["ruleId"] for result in ran["results"]] == ["spec", "residual-shape", "spec"]


def test_sarif_has_locations_and_help() -> None:
    (result,) = json.loads(sarif.format_sarif([Checked("x", (FOUND,))]))["runs"][0]["results"]
    (where,) = result["locations"]
    assert where["physicalLocation"] == {
        "artifactLocation": {"uri": "nets/a%20b.yaml"},
        "region": {"startLine": 3, "startColumn": 5},
    }
    assert where["logicalLocations"] == [{"fullyQualifiedName": "0"}, {"fullyQualifiedName": "1"}]
    assert result["message"]["text"].splitlines()[-2:] == ["help: a, b: c", "fix 1, checked (+1 parameters): do"]


def test_a_file_outside_the_directory_has_an_absolute_uri() -> None:
    found = Finding("spec", "error", "so", place=Span("/elsewhere/net.yaml", 0, 0))
    (result,) = json.loads(sarif.format_sarif([Checked("x", (found,))]))["runs"][0]["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert physical == {"artifactLocation": {"uri": "file:///elsewhere/net.yaml"}}


# ------------------------------------------------------------ JSON of what cannot be read
def test_json_holds_every_target(folder: Path) -> None:
    (folder / "empty").mkdir()
    targets = ["nets/none.yaml", "none.py:Net", "nonsense", "empty", "nets/fits.yaml"]
    done = run("check", *targets, "--format", "json")
    assert done.exit_code == 2
    document = json.loads(done.stdout)
    assert [item["target"] for item in document["targets"]] == targets
    assert [len(item["findings"]) for item in document["targets"]] == [1, 1, 1, 1, 0]
    assert document["errors"] == 4


def test_wrong_options_are_no_findings(folder: Path) -> None:
    done = run("check", "nets/fits.yaml", "--format", "json", "--baseline", "none.json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "none.json: the baseline cannot be read" in done.stderr


# ------------------------------------------------------------ targets in the configuration
def test_what_is_not_there_is_named_with_its_file(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.archscope]\nignore = []\nspecs = ["nets", "netz"]\n')
    done = run("check")
    assert done.exit_code == 2
    assert f"{folder / 'pyproject.toml'}:3:1: specs: there is no netz" in done.stderr


def test_a_variant_may_be_named(folder: Path) -> None:
    (folder / "nets" / "two.yaml").write_text(f"variants: {{a: {{}}, b: {{}}}}\n{FITS}")
    (folder / "pyproject.toml").write_text('[tool.archscope]\nspecs = ["nets/two.yaml:b"]\n')
    assert "no problems in nets/two.yaml:b" in run("check").stdout


def test_the_hooks_of_pre_commit_run(folder: Path) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert {hook["id"] for hook in hooks} == {"check", "check-files"}
    (folder / "pyproject.toml").write_text('[tool.archscope]\nspecs = ["nets/unfit.yaml"]\n')
    for hook in hooks:
        assert {"id", "name", "entry", "language"} <= set(hook)
        program, *arguments = hook["entry"].split()
        assert program == "archscope"
        done = run(*arguments, *(["nets/unfit.yaml"] if hook.get("pass_filenames", True) else []))
        assert (done.exit_code, done.stdout.count("residual-shape")) == (1, 1)


# ------------------------------------------------------------ flops of a folder
def test_flops_of_a_folder_goes_on(folder: Path) -> None:
    (folder / "nets" / "huge.yaml").write_text(HUGE)
    (folder / "nets" / "blocks.yaml").write_text("blocks:\n  B:\n    layers: [ReLU]\n")
    done = run("flops", "nets", "--format", "json")
    assert done.exit_code == 2
    reports = json.loads(done.stdout)
    assert [report["target"] for report in reports] == ["nets/fits.yaml", "nets/huge.yaml", "nets/unfit.yaml"]
    assert {report["device"] for report in reports} == {"meta"}
    assert "nets/typo.yaml:2:1" in done.stderr
    assert "blocks.yaml" not in done.stderr


def test_flops_goes_on_after_a_net_that_is_too_big(folder: Path) -> None:
    (folder / "nets" / "huge.yaml").write_text(HUGE)
    (folder / "nets" / "typo.yaml").unlink()
    done = run("flops", "nets", "--device", "cpu", "--format", "json")
    assert done.exit_code == 2
    assert [report["target"] for report in json.loads(done.stdout)] == ["nets/fits.yaml", "nets/unfit.yaml"]
    assert "nets/huge.yaml" in done.stderr


def test_one_target_alone_runs_where_it_would(folder: Path) -> None:
    (report,) = [json.loads(run("flops", "nets/fits.yaml", "--device", "cpu", "--format", "json").stdout)]
    assert report["device"] == "cpu"
    assert run("flops", "nets/typo.yaml").exit_code == 2
