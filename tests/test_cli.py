"""The command line: options read, one library call made, tables to stdout, messages to stderr, exit codes, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

from archscope import api, units
from archscope.checks.baseline import read_baseline
from archscope.cli import run_command_line
from archscope.cli.commands import COMMAND_NAMES
from archscope.cli.options import parse_scalar
from archscope.errors import ForwardError, Problem, Span, SpecError, UsageError
from archscope.report import Checked, Finding, Report, finding_from_problem
from archscope.report_comparison import compare_reports
from archscope.spec.catalog import Network
from archscope.trace import Failure, Location
from tests.checks.test_conflicts import mismatched
from tests.commands import run
from tests.sketches import residual_mnist, stages, trained
from tests.timed import ceilings, timed_mnist

PLACE = Span("net.yaml", 3, 5)
ERROR = Finding("params", "error", "41,514 parameters, expected 41,515", "0", PLACE)
WARNING = Finding("unused", "warning", "nothing uses the value of this step", "1", PLACE)


class FakeLibrary:
    """An api that answers with what it was given and keeps its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answer: Any = residual_mnist()

    def give(self, name: str, targets: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self.calls.append((name, targets, options))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def summarize(self, target: str, **options: Any) -> Report:
        return self.give("summarize", (target,), options)

    def compare(self, *targets: str, **options: Any) -> Any:
        return self.give("compare", targets, options)

    def check(self, *targets: str, **options: Any) -> Any:
        return self.give("check", targets, options)

    def networks(self, *targets: str) -> Any:
        return self.give("networks", targets, {})

    def schema(self) -> Any:
        return self.give("schema", (), {})

    def time(self, target: str, **options: Any) -> Any:
        return self.give("time", (target,), options)

    def device(self, name: str, **options: Any) -> Any:
        return self.give("device", (name,), options)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibrary]:
    fake = FakeLibrary()
    for name in ("summarize", "compare", "check", "networks", "schema", "time", "device"):
        monkeypatch.setattr(api, name, getattr(fake, name))
    monkeypatch.setenv("COLUMNS", "80")
    return fake


# ------------------------------------------------------------ options
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "squeeze=16", "--set", "block=Bottleneck"], {"set": {"squeeze": 16, "block": "Bottleneck"}}),
        (["--set", "blocks=[3, 4]", "--set", "squeeze=null"], {"set": {"blocks": [3, 4], "squeeze": None}}),
        (["--set", "bias=false", "--arg", "rate=0.5"], {"set": {"bias": False, "rate": 0.5}}),
        (["--set", "mlp=4 * dim"], {"set": {"mlp": "4 * dim"}}),
        (["--set", "eq=a=b"], {"set": {"eq": "a=b"}}),
        (["--input", "1x3x224x224"], {"input": (1, 3, 224, 224)}),
        (["--input", "1,3,320,320"], {"input": (1, 3, 320, 320)}),
        (["--input", "x=1,3,320,320"], {"input": {"x": (1, 3, 320, 320)}}),
        (["--input", "x=int64:1x128", "--input", "y=2"], {"input": {"x": ("int64", (1, 128)), "y": (2,)}}),
        (["--input", "int64:1x128"], {"input": ("int64", (1, 128))}),
        (["--input", "1x3", "--input", "1x4"], {"input": [(1, 3), (1, 4)]}),
        ([], {"input": None, "set": {}, "batch": None, "device": "auto", "dtype": None, "train": False, "seed": None}),
        (["--batch", "8", "--seed", "0", "--train"], {"batch": 8, "seed": 0, "train": True}),
        (["--device", "meta", "--dtype", "bfloat16", "--allow-python"], {"device": "meta", "allow_python": True}),
    ],
)
def test_options_reach_the_library(library: FakeLibrary, arguments: list[str], expected: dict[str, Any]) -> None:
    assert run("summary", "net.yaml", *arguments).exit_code == 0
    ((name, targets, options),) = library.calls
    assert (name, targets) == ("summarize", ("net.yaml",))
    assert options.items() >= expected.items()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summary"], "Missing argument"),
        (["summary", "net.yaml", "--set", "squeeze"], "'squeeze' is not name=value"),
        (["summary", "net.yaml", "--set", "a=1", "--set", "a=2"], "a is given twice"),
        (["summary", "net.yaml", "--input", "big"], "'big' is not a shape such as 1x3x224x224"),
        (["summary", "net.yaml", "--input", "x=1x3", "--input", "1x4"], "name every input or none"),
        (["summary", "net.yaml", "--columns", "path,marcs"], "no column 'marcs'; did you mean 'macs'"),
        (["summary", "net.yaml", "--sort", "macs,path"], "--sort takes one column"),
        (["summary", "net.yaml", "--batch", "0"], "0 is not in the range"),
        (["summary", "net.yaml", "--format", "xml"], "'xml' is not one of"),
        (["sumary", "net.yaml"], "did you mean 'summary'?"),
        (["nonsense"], "commands: check, device, flops, list, schema, summary, time"),
        (["check", "net.yaml", "--max-params", "5 apples"], "'5 apples' is not a figure such as 12.4M"),
        (["check", "net.yaml", "--max-macs", "-1"], "'-1' is not a limit such as 5M"),
        (["check", "net.yaml", "--tolerance", "2"], "'2' is not a tolerance such as 2% or 0.02"),
        (["check", "net.yaml", "--tolerance", "2%"], "--tolerance without a baseline help: --baseline FILE names one"),
        (["check", "net.yaml", "--select", "lnit"], "there is no rule 'lnit' help: did you mean 'lint'?"),
        (["check", "net.yaml", "--ignore", "lint,no-rule"], "there is no rule 'no-rule'"),
        (["check", "net.yaml", "--level", "info"], "'info' is not one of 'note', 'warning', 'error'"),
    ],
)
def test_wrong_use_is_2_and_says_what_is_meant(library: FakeLibrary, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert (result.stdout, library.calls) == ("", [])


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("010", "010"), ("no", "no"), ("(1, 2)", (1, 2)), ("", "")]
)
def test_scalars(text: str, value: object) -> None:
    assert parse_scalar(text) == value


# ------------------------------------------------------------ summary
def test_a_summary_is_a_table_on_stdout(library: FakeLibrary) -> None:
    result = run("summary", "net.yaml:plain")
    assert result.exit_code == 0
    assert result.stdout.startswith("ResidualMnist:plain · x 1×28×28 float32 · batch 1 · cpu, eval\n\npath")
    assert "41,514 parameters (162 KiB) · 2.01 M MACs · 4.03 M FLOPs (2 × MACs)" in result.stdout
    assert result.stderr == ""


def test_depth_columns_sort_and_expand(library: FakeLibrary) -> None:
    library.answer = stages()
    assert run("summary", "s.yaml", "--columns", "path,macs", "--depth", "1").stdout.splitlines()[2:5] == [
        "path                   MACs",
        "stem              9,633,792",
        "down1             4,194,304",
    ]
    assert "layer2.2.main.2" in run("summary", "s.yaml", "--sort", "macs").stdout
    assert "layer2.0-2  ×3" in run("summary", "s.yaml").stdout
    assert "layer2.0-2" not in run("summary", "s.yaml", "--expand").stdout


@pytest.mark.parametrize(
    ("format", "start"),
    [("markdown", "**ResidualMnist:plain**"), ("csv", "path,layer,"), ("json", '{\n "schema"'), ("html", "<p>Res")],
)
def test_formats(library: FakeLibrary, format: str, start: str) -> None:
    assert run("summary", "net.yaml", "--format", format).stdout.startswith(start)


def test_a_run_that_failed_shows_its_rows_and_is_1(library: FakeLibrary) -> None:
    library.answer = ForwardError(Problem(PLACE, "linear failed"), mismatched())
    result = run("summary", "net.yaml")
    assert result.exit_code == 1
    assert "layer2.0.main.3" in result.stdout
    assert "net.yaml:12:5: error residual-shape (" in result.stderr
    assert "at layer2.0.add: the two sides" in result.stderr


def test_findings_go_to_stderr_and_quiet_keeps_the_errors(library: FakeLibrary) -> None:
    library.answer = replace(residual_mnist(), findings=(WARNING,))
    result = run("summary", "net.yaml")
    assert (result.exit_code, "nothing uses" in result.stderr, "nothing uses" in result.stdout) == (0, True, False)
    assert run("summary", "net.yaml", "--quiet").stderr == ""
    library.answer = replace(residual_mnist(), findings=(WARNING, ERROR))
    result = run("summary", "net.yaml", "--quiet")
    told = "net.yaml:3:5: error params at 0: 41,514 parameters, expected 41,515\n"
    assert (result.exit_code, result.stderr) == (1, told)


@pytest.mark.parametrize(
    "error", [SpecError([Problem(PLACE, "no such layer", "try another")]), UsageError("no", "yes")]
)
@pytest.mark.parametrize("command", ["summary", "flops", "check"])
def test_a_wrong_spec_or_use_is_2_without_a_traceback(library: FakeLibrary, command: str, error: Exception) -> None:
    library.answer = error
    result = run(command, "net.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{error}\n")


def test_verbose_hands_over_a_progress_that_goes_to_stderr(library: FakeLibrary) -> None:
    run("summary", "net.yaml")
    run("summary", "net.yaml", "-v")
    assert library.calls[0][2]["progress"] is None
    assert callable(library.calls[1][2]["progress"])


# ------------------------------------------------------------ flops
def test_flops_by(library: FakeLibrary) -> None:
    library.answer = stages()
    assert run("flops", "s.yaml").stdout.splitlines()[2].startswith("module")
    assert "Conv2d      13" in run("flops", "s.yaml", "--by", "type").stdout
    assert "level 3" in run("flops", "s.yaml", "--by", "depth").stdout
    document = json.loads(run("flops", "s.yaml", "--by", "type", "--format", "json").stdout)
    assert (document["schema"], document["by"], document["parts"][0]["path"]) == (
        "archscope.report/1",
        "type",
        "Conv2d",
    )


def test_flops_of_several_targets(library: FakeLibrary) -> None:
    assert run("flops", "a.yaml", "b.yaml").stdout.count("ResidualMnist:plain") == 2
    assert len(json.loads(run("flops", "a.yaml", "b.yaml", "--format", "json").stdout)) == 2
    assert run("flops", "a.yaml", "b.yaml", "--format", "csv").exit_code == 2


def test_flops_compare(library: FakeLibrary) -> None:
    library.answer = compare_reports([stages((2, 2)), stages((1, 1))])
    result = run("flops", "--compare", "a.yaml", "b.yaml")
    assert [call[:2] for call in library.calls] == [("compare", ("a.yaml",)), ("compare", ("b.yaml",))]
    assert "0.589×" in result.stdout
    document = json.loads(run("flops", "--compare", "a.yaml", "--format", "json").stdout)
    assert (document["schema"], len(document["targets"])) == ("archscope.comparison/1", 2)
    assert run("flops", "--compare", "a.yaml", "--format", "csv").stdout.startswith("target,label,params")


# ------------------------------------------------------------ check
NOTE = Finding("dropped-pixels", "note", "row 27 and column 27 are never read", "2", PLACE)


@pytest.mark.parametrize(
    ("findings", "code", "last"),
    [
        ((), 0, "no problems in net.yaml"),
        ((WARNING,), 0, "1 warning in net.yaml"),
        ((WARNING, ERROR), 1, "1 error and 1 warning in net.yaml"),
        ((WARNING, NOTE), 0, "1 warning in net.yaml; 1 note not shown (--level note)"),
        ((ERROR, finding_from_problem(Problem(PLACE, "unknown name 'chanels'"))), 2, "2 errors in net.yaml"),
    ],
)
def test_check(library: FakeLibrary, findings: tuple[Finding, ...], code: int, last: str) -> None:
    library.answer = [Checked("net.yaml", findings)]
    result = run("check", "net.yaml")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (code, last)
    document = json.loads(run("check", "net.yaml", "--format", "json", "--level", "note").stdout)
    assert document["schema"] == "archscope.findings/1"
    assert document["errors"] + document["warnings"] + document["notes"] == len(findings)
    verdict = "failed" if code else "passed"
    assert run("check", "net.yaml", "--format", "markdown").stdout.startswith(f"**archscope check {verdict}**")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--level", "note"], 3),
        (["--level", "warning"], 2),
        ([], 2),
        (["--level", "error"], 1),
        (["--quiet"], 1),
        (["--quiet", "--level", "note"], 1),
    ],
)
def test_the_least_level_that_is_shown(library: FakeLibrary, options: list[str], shown: int) -> None:
    library.answer = [Checked("net.yaml", (ERROR, WARNING, NOTE))]
    assert run("check", "net.yaml", *options).stdout.count("net.yaml:3:5: ") == shown
    assert run("check", "net.yaml", "--format", "markdown", *options).stdout.count("\n- **") == shown
    (target,) = json.loads(run("check", "net.yaml", "--format", "json", *options).stdout)["targets"]
    assert len(target["findings"]) == shown


def test_a_folder_stands_for_its_specs(library: FakeLibrary, tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "notes.txt", "deep/c.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    run("flops", str(tmp_path), "x.yaml:wide")
    names = [os.path.relpath(targets[0], tmp_path) for _, targets, _ in library.calls[:-1]]
    assert (names, library.calls[-1][1]) == (["a.yml", "b.yaml", "deep/c.yaml"], ("x.yaml:wide",))
    (tmp_path / "empty").mkdir()
    assert "no .yaml file in" in run("flops", str(tmp_path / "empty")).stderr


# ------------------------------------------------------------ what a project asks for
PROJECT = """\
[tool.archscope]
specs = ["specs", "more/*.yaml"]
select = ["lint", "budget"]
ignore = ["dropped-pixels"]
max-params = "5M"
max-macs = 1000
baseline = "ci/base.json"
tolerance = "2%"
object = "64x48"
"""
ASKED = {
    "max_params": units.parse_figure("5M"),
    "max_macs": units.parse_figure("1000"),
    "baseline": "ci/base.json",
    "tolerance": Decimal("0.02"),
    "select": ("lint", "budget"),
    "ignore": ("dropped-pixels",),
    "object_size": (64, 48),
}
SILENT = {"max_params": None, "max_macs": None, "baseline": None, "tolerance": 0, "select": (), "ignore": ()}


@pytest.fixture
def folder(library: FakeLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to call the program in, with an answer for check."""
    monkeypatch.chdir(tmp_path)
    library.answer = [Checked("net.yaml", (), residual_mnist())]
    return tmp_path


def asked(library: FakeLibrary, *arguments: str) -> dict[str, Any]:
    assert run("check", *arguments).exit_code == 0
    return library.calls[-1][2]


def test_without_a_project_nothing_is_asked_for(library: FakeLibrary, folder: Path) -> None:
    assert asked(library, "net.yaml").items() >= {**SILENT, "object_size": None}.items()


def test_the_project_is_asked_where_the_command_line_says_nothing(library: FakeLibrary, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)
    assert asked(library, "net.yaml").items() >= ASKED.items()


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--max-params", "1k"], "max_params", units.parse_figure("1k")),
        (["--max-macs", "0"], "max_macs", units.parse_figure("0")),
        (["--baseline", "other.json"], "baseline", "other.json"),
        (["--tolerance", "0"], "tolerance", Decimal(0)),
        (["--select", "spec,conflict", "--select", "lint"], "select", ("spec", "conflict", "lint")),
        (["--ignore", "lint"], "ignore", ("lint",)),
    ],
)
def test_the_command_line_goes_first(
    library: FakeLibrary, folder: Path, arguments: list[str], name: str, value: object
) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)
    assert asked(library, "net.yaml", *arguments).items() >= {**ASKED, name: value}.items()


def test_without_a_target_the_projects_specs_are_checked(library: FakeLibrary, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "specs").mkdir()
    for name in ("b.yaml", "a.yaml", "c.txt"):
        (folder / "more").mkdir(exist_ok=True)
        (folder / "more" / name).write_text("")
    assert run("check").exit_code == 0
    assert library.calls[-1][1] == ("specs", "more/a.yaml", "more/b.yaml")


def test_without_a_target_and_a_project_the_use_is_wrong(library: FakeLibrary, folder: Path) -> None:
    for text in ("", "[tool.archscope]\nspecs = ['*.yaml']\n"):
        (folder / "pyproject.toml").write_text(text)
        result = run("check")
        assert (result.exit_code, library.calls) == (2, [])
        assert result.stderr.startswith("no target\n  help: name a spec, a folder of specs or net.py:Net")


def test_below_the_project_paths_still_lead_there(
    library: FakeLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "src").mkdir()
    (folder / "specs").mkdir()
    monkeypatch.chdir(folder / "src")
    assert asked(library)["baseline"] == "../ci/base.json"
    assert library.calls[-1][1] == ("../specs",)


def test_a_wrong_project_is_2_and_says_where(library: FakeLibrary, folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.archscope]\nignore = ['dropped-pixel']\n")
    result = run("check", "net.yaml")
    assert (result.exit_code, library.calls) == (2, [])
    assert "pyproject.toml: there is no rule 'dropped-pixel'" in result.stderr
    (folder / "pyproject.toml").write_text("[tool.archscope]\nmax-prams = 3\n")
    assert "pyproject.toml:2:1: unknown key 'max-prams'" in run("check", "net.yaml").stderr


# ------------------------------------------------------------ baselines
def test_a_baseline_is_saved_and_can_be_read(library: FakeLibrary, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)
    library.answer = [Checked("a.yaml", (), residual_mnist()), Checked("b.yaml", (), stages()), Checked("c.yaml")]
    result = run("check", "x", "--save-baseline", "new.json")
    assert (result.exit_code, result.stderr) == (0, "not in the baseline, since it did not run: c.yaml\n")
    assert library.calls[-1][2]["baseline"] is None, "what is written anew is not compared with"
    assert [saved.target for saved in read_baseline("new.json").saved] == [residual_mnist().target, stages().target]
    assert asked(library, "x", "--save-baseline", "new.json", "--baseline", "new.json")["baseline"] == "new.json"


def test_nothing_that_ran_is_no_baseline(library: FakeLibrary, folder: Path) -> None:
    failure = Failure(Location("9", "Linear", "layer"), "linear", (), "no")
    failed = replace(residual_mnist(), trace=replace(residual_mnist().trace, failure=failure))
    library.answer = [Checked("a.yaml", (ERROR,), failed)]
    result = run("check", "x", "--save-baseline", "new.json")
    assert (result.exit_code, list(folder.iterdir())) == (2, [])
    assert "no target runs, so there is no baseline to save" in result.stderr


# ------------------------------------------------------------ training
def test_training_shows_both_passes(library: FakeLibrary) -> None:
    library.answer = trained()
    shown = run("summary", "net.py:Net", "--train")
    assert (shown.exit_code, library.calls[-1][2]["train"]) == (0, True)
    assert "39.5 M MACs forward, at least 77.3 M backward, at least 116.8 M in all" in shown.stdout
    assert "loss: the sum of the output" in shown.stdout
    assert json.loads(run("summary", "net.py:Net", "--train", "--format", "json").stdout)["backward"]["totals"]
    assert "backward" in run("flops", "net.py:Net", "--train", "--by", "depth").stdout.splitlines()[2]


def test_a_backward_pass_that_fails_is_1_and_the_forward_pass_is_shown(library: FakeLibrary) -> None:
    failure = Failure(Location("", "", "block"), "", (), "written over", backward=True)
    found = Finding("forward", "error", "the backward pass failed: written over")
    report = replace(residual_mnist(), trace=replace(residual_mnist().trace, failure=failure), findings=(found,))
    library.answer = ForwardError(Problem(Span("net.py", 0, 0), "written over"), report)
    result = run("summary", "net.py:Net", "--train")
    assert result.exit_code == 1
    assert "error forward: the backward pass failed: written over" in " ".join(result.stderr.split())
    assert "2.01 M MACs" in result.stdout
    assert "the backward pass broke off: it is not counted" in result.stdout


# ------------------------------------------------------------ files
def test_output_is_written_whole(library: FakeLibrary, tmp_path: Path) -> None:
    file = tmp_path / "table.txt"
    file.write_text("old")
    result = run("summary", "net.yaml", "-o", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    assert file.read_text(encoding="utf-8") == run("summary", "net.yaml").stdout
    assert os.listdir(tmp_path) == ["table.txt"]


def test_a_failed_write_leaves_the_old_file(
    library: FakeLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "table.txt"
    file.write_text("old")
    monkeypatch.setattr(os, "replace", full)
    result = run("summary", "net.yaml", "-o", str(file))
    assert (result.exit_code, file.read_text(), os.listdir(tmp_path)) == (2, "old", ["table.txt"])
    assert "no space left on device" in result.stderr


def test_output_refuses_a_directory_and_a_missing_folder(library: FakeLibrary, tmp_path: Path) -> None:
    result = run("summary", "net.yaml", "-o", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "it is a directory" in result.stderr
    result = run("summary", "net.yaml", "-o", str(tmp_path / "no" / "table.txt"))
    assert (result.exit_code, "no such file or directory" in result.stderr) == (2, True)


def test_output_follows_a_link(library: FakeLibrary, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "table.txt")
    run("summary", "net.yaml", "-o", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "table.txt").read_text(encoding="utf-8").startswith("ResidualMnist")


# ------------------------------------------------------------ the ends
@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (click.Abort(), 130), (UsageError("no"), 2)])
def test_ends_quietly(
    library: FakeLibrary, raised: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    library.answer = raised
    assert run_command_line(["summary", "net.yaml"]) == code
    assert "Traceback" not in capsys.readouterr().err


def python(program: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *more], capture_output=True, text=True, check=False)


def test_a_closed_pipe_ends_quietly() -> None:
    program = (
        "import os; from archscope.cli.output import errors_printed, write_output\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "with errors_printed(): write_output('a table', None)"
    )
    done = python(program)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["list"], ["summary", "--help"], ["summray"], ["flops", "a", "--by", "x"]]
)
def test_help_and_mistakes_do_not_import_torch(arguments: list[str]) -> None:
    program = "import sys; from archscope import cli; cli.run_command_line(sys.argv[1:]); print('torch' in sys.modules)"
    done = python(program, *arguments)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_a_stdout_that_knows_only_ascii_still_gets_a_table() -> None:
    program = "import sys; from archscope.cli import main; sys.argv = ['archscope', 'flops', '--help']; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("flags", [["-h"], ["--help"]])
@pytest.mark.parametrize("command", [[], *([name] for name in COMMAND_NAMES)])
def test_every_command_has_help(command: list[str], flags: list[str]) -> None:
    result = run(*command, *flags)
    assert (result.exit_code, result.stdout.startswith("Usage:")) == (0, True)


def test_one_command_is_one_library_call(library: FakeLibrary) -> None:
    answers: dict[str, tuple[Callable[[], Any], str]] = {
        "summary": (residual_mnist, "summarize"),
        "flops": (residual_mnist, "summarize"),
        "check": (list, "check"),
        "schema": (lambda: {"type": "object"}, "schema"),
        "time": (timed_mnist, "time"),
        "device": (ceilings, "device"),
        "list": (lambda: [Network("specs:a", "A net"), Network("specs:b", "Another")], "networks"),
    }
    assert answers.keys() == set(COMMAND_NAMES)
    for command, (answer, function) in answers.items():
        library.calls.clear()
        library.answer = answer()
        assert run(command, *(["net.yaml"] if command not in ("schema", "device", "list") else [])).exit_code == 0
        assert [name for name, _, _ in library.calls] == [function]


# ------------------------------------------------------------ with the library itself
SPECS = Path(__file__).parent.parent / "specs"
WRONG_SUM = """\
input: [N, 4, 8, 8]
layers:
  - residual: [AvgPool2d(2)]
  - Flatten
"""


def test_the_tutorials_figures() -> None:
    result = run("summary", str(SPECS / "tutorials/residual_mnist.yaml"), "--device", "cpu")
    assert result.exit_code == 0
    assert "41,514 parameters (162 KiB) · 2.01 M MACs" in result.stdout
    result = run("flops", "--compare", str(SPECS / "tutorials/bottleneck_1x1.yaml"), "--device", "cpu")
    assert result.stdout.splitlines()[4].split() == [
        "bottleneck",
        "15,872",
        "0.103×",
        "12,443,648",
        "12.4",
        "M",
        "0.103×",
    ]


def test_a_batch_and_a_param_from_the_command_line() -> None:
    spec = str(SPECS / "tutorials/bottleneck_1x1.yaml")
    result = run("summary", spec, "--set", "squeeze=8", "--batch", "2", "--device", "cpu", "--format", "json")
    document = json.loads(result.stdout)
    assert document["inputs"][0]["shape"] == [2, 192, 28, 28]
    assert document["totals"]["params"] == 192 * 8 + 8 * 32 * 25


def test_a_residual_that_does_not_fit_is_found_and_shown(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text(WRONG_SUM)
    result = run("summary", str(spec), "--device", "cpu")
    assert (result.exit_code, "Flatten" in result.stdout) == (1, True)
    assert "error residual-shape (" in result.stderr
    assert ") at add: the two sides of this residual cannot be added" in " ".join(result.stderr.split())
    document = json.loads(run("check", str(spec), "--device", "cpu", "--format", "json").stdout)
    assert (document["errors"], document["targets"][0]["findings"][0]["rule"]) == (1, "residual-shape")


def test_budgets_baselines_and_comments_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the options to the exit code, twice: a net that grew is found, named and, where it is meant, let be."""
    monkeypatch.chdir(tmp_path)
    net = "input: [N, 3, 8, 8]\nlayers:\n  - body: Conv2d({width}, 3)\n  - Flatten\n  - head: Linear(10)\n"
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "net.yaml").write_text(net.format(width=4))
    assert run("check", "specs", "--save-baseline", "base.json").exit_code == 0
    assert run("check", "./specs/net.yaml", "--baseline", "base.json").exit_code == 0
    (tmp_path / "specs" / "net.yaml").write_text(net.format(width=5))
    assert run("check", "specs", "--baseline", "base.json", "--tolerance", "30%").exit_code == 0
    result = run("check", "specs", "--baseline", "base.json", "--max-params", "2k")
    assert result.exit_code == 1
    assert "most of it in head (+360)" in result.stdout
    assert "--save-baseline base.json" in result.stdout
    assert run("check", "specs", "--baseline", "base.json", "--ignore", "budget").exit_code == 0
    assert run("check", "specs", "--max-params", "1k", "--select", "conflict").exit_code == 0
    (tmp_path / "specs" / "net.yaml").write_text(f"# archscope: ignore[budget]\n{net.format(width=5)}")
    assert run("check", "specs", "--baseline", "base.json", "--max-params", "1k").exit_code == 0


def test_a_mistake_in_a_spec_is_answered_without_torch(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("input: [N, 3]\nlayrs: [Flatten]\n")
    program = "import sys; from archscope import cli; print(cli.run_command_line(sys.argv[1:]), 'torch' in sys.modules)"
    done = python(program, "summary", str(tmp_path / "net.yaml"))
    assert done.stdout == "2 False\n", done.stderr
    assert "did you mean 'layers'?" in done.stderr


def test_the_schema_needs_no_torch() -> None:
    code = "import sys; from archscope import cli; cli.run_command_line(['schema']); sys.exit('torch' in sys.modules)"
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["title"]


PRINTS = """
from torch import nn

class A(nn.Linear):
    def forward(self, x):
        print("hello")
        return super().forward(x)
"""


@pytest.mark.moves_rng
def test_what_a_model_prints_does_not_mix_with_the_report(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(PRINTS)
    arguments = ("--arg", "in_features=4", "--arg", "out_features=2", "--input", "1x4", "--format", "json")
    result = run("summary", f"{tmp_path}/net.py:A", *arguments)
    assert (json.loads(result.stdout)["totals"]["macs"], "hello" in result.stderr) == (8, True)


def test_a_run_that_breaks_off_has_no_known_totals(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    tokens = "inputs:\n  t: {shape: [N, 8], dtype: int64, low: 100, high: 200}\n"
    spec.write_text(tokens + 'layers: ["Embedding(100, 4)", "Linear(2)"]\n')
    result = run("summary", str(spec), "--device", "cpu", "--format", "json")
    totals = json.loads(result.stdout)["totals"]
    assert (result.exit_code, totals["macs"], totals["flops"], totals["macs_at_least"]) == (1, None, None, 0)
    assert "broke off" in run("summary", str(spec), "--device", "cpu").stdout


def test_a_mismatch_is_told_before_what_it_causes(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text("input: [N, 8, 16, 16]\nlayers:\n  - residual: Conv2d(16, 1)\n  - BatchNorm2d(8)\n")
    told = run("summary", str(spec), "--device", "cpu").stderr
    assert 0 < told.index("error residual-shape") < told.index("error layer-shape")


@pytest.mark.parametrize("file", ["", "folder/"])
def test_a_name_that_is_no_file_is_refused(file: str) -> None:
    result = run("schema", "-o", file)
    assert (result.exit_code, "names no file" in result.stderr) == (2, True)


def test_a_dash_is_standard_output() -> None:
    assert json.loads(run("schema", "-o", "-").stdout)["$schema"]


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.json", "{"), ("a.CSV", "path,"), ("a.md", "**"), ("a.html", "<p>"), ("a.txt", "Net"), ("json", "Net")],
)
def test_the_end_of_a_files_name_says_its_format(
    name: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text("name: Net\ninput: [N, 3]\nlayers: [ReLU]\n", encoding="utf-8")
    assert run("summary", "net.yaml", "-o", name).exit_code == 0
    assert Path(name).read_text(encoding="utf-8").startswith(start)
    assert run("summary", "net.yaml", "--format", "table", "-o", name).exit_code == 0
    assert Path(name).read_text(encoding="utf-8").startswith("Net")


def test_a_file_name_of_a_format_that_a_command_does_not_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text("name: Net\ninput: [N, 3]\nlayers: [ReLU]\n", encoding="utf-8")
    assert (run("check", "net.yaml", "-o", "a.csv").exit_code, Path("a.csv").exists()) == (2, False)
    assert run("check", "net.yaml", "-o", "a.sarif").exit_code == 0
    assert json.loads(Path("a.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"
