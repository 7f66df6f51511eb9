"""The plugin, from outside: what is collected under which names, what fails in which words, and who is left alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from archscope.analysis import spec_runs
from archscope.analysis.run_options import RunOptions
from archscope.compile import Plan
from tests.pytest.conftest import NET, UNFIT

IDS = [
    "nets/net.yaml::narrow::check",
    "nets/net.yaml::narrow::shape",
    "nets/net.yaml::narrow::params",
    "nets/net.yaml::narrow::body::shape",
    "nets/net.yaml::narrow::body::macs",
    "nets/net.yaml::wide::check",
    "nets/net.yaml::wide::shape",
    "nets/net.yaml::wide::body::shape",
    "nets/net.yaml::wide::body::macs",
]
UNMET = IDS[-2:]
SPECS = "--archscope-specs=nets"


@pytest.fixture(autouse=True)
def light(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis would be imported anew in every inner run, and takes two seconds."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")


def listed(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """The ids that pytest collects."""
    result = pytester.runpytest_inprocess("--collect-only", "-q", *arguments)
    return [line for line in result.outlines if "::" in line]


def ended(pytester: pytest.Pytester, *arguments: str) -> dict[str, int]:
    return pytester.runpytest_inprocess(*arguments).parseoutcomes()


# ------------------------------------------------------------ names
@pytest.mark.usefixtures("nets")
def test_every_expectation_of_every_variant_is_a_test(pytester: pytest.Pytester) -> None:
    assert listed(pytester, SPECS) == IDS


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("id", IDS)
def test_an_id_can_be_given_back(pytester: pytest.Pytester, id: str) -> None:
    assert listed(pytester, SPECS, id) == [id]


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("id", "those"), [("nets/net.yaml", IDS), ("nets/net.yaml::wide", IDS[5:]), ("nets/net.yaml::wide::body", IDS[7:])]
)
def test_a_part_of_an_id_stands_for_what_is_below(pytester: pytest.Pytester, id: str, those: list[str]) -> None:
    assert listed(pytester, SPECS, id) == those


def test_without_variants_there_is_no_level_of_them(pytester: pytest.Pytester) -> None:
    inner = "  - a:\n      - b: Linear(4)\n        expect: {params: 20}\n"
    text = f"input: [N, 4]\nlayers:\n{inner}expect: {{preserves: shape}}\n"
    pytester.path.joinpath("net.yml").write_text(text)
    assert listed(pytester, "--archscope-specs=.") == ["net.yml::check", "net.yml::preserves", "net.yml::a.b::params"]


def test_a_key_that_comes_twice_has_two_names(pytester: pytest.Pytester) -> None:
    """A block promises something, and so does the step that uses it."""
    block = "blocks:\n  Same:\n    layers: [ReLU]\n    expect: {preserves: shape}\n"
    text = f"{block}input: [N, 4]\nlayers:\n  - a: Same\n    expect: {{preserves: channels}}\n"
    pytester.path.joinpath("net.yaml").write_text(text)
    ids = listed(pytester, "--archscope-specs=net.yaml")
    assert [id.rpartition("::")[2] for id in ids] == ["check", "preserves", "preserves-2"]
    assert [listed(pytester, "--archscope-specs=net.yaml", id) for id in ids] == [[id] for id in ids]


# ------------------------------------------------------------ which files
WAYS = {
    "command line": ("", "", [SPECS]),
    "pytest.ini": ("[pytest]\narchscope_specs = nets\n", "", []),
    "pytest.ini, pattern": ("[pytest]\narchscope_specs =\n  n*/*.yaml\n", "", []),
    "pyproject": ("", '[tool.archscope]\nspecs = ["nets"]\n', []),
    "pyproject, pattern": ("", '[tool.archscope]\nspecs = ["**/net.yaml"]\n', []),
    "pyproject, pytest": ("", '[tool.pytest.ini_options]\narchscope_specs = ["nets"]\n', []),
}


def configure(pytester: pytest.Pytester, ini: str, project: str) -> None:
    for name, text in (("pytest.ini", ini), ("pyproject.toml", project)):
        if text:
            pytester.path.joinpath(name).write_text(text)


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(("ini", "project", "arguments"), WAYS.values(), ids=WAYS)
def test_the_paths_may_be_named_in_three_places(
    pytester: pytest.Pytester, ini: str, project: str, arguments: list[str]
) -> None:
    pytester.path.joinpath("other.yaml").write_text("- no: spec\n")
    configure(pytester, ini, project)
    assert listed(pytester, *arguments) == IDS
    assert listed(pytester, "nets/net.yaml", *arguments) == IDS
    assert listed(pytester, "other.yaml", *arguments) == []


def test_the_paths_are_counted_from_the_settings(
    pytester: pytest.Pytester, nets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(pytester, "", '[tool.archscope]\nspecs = ["nets"]\n')
    monkeypatch.chdir(nets)
    assert listed(pytester) == IDS
    failed = pytester.runpytest_inprocess("net.yaml::wide::body::shape")
    failed.stdout.fnmatch_lines(["net.yaml:11:14: error expect-shape at body: *"])


def test_the_root_may_be_elsewhere(pytester: pytest.Pytester, nets: Path) -> None:
    elsewhere = pytester.mkdir("elsewhere")
    found = listed(pytester, f"--rootdir={elsewhere}", SPECS, "nets")
    assert [id.rpartition("net.yaml::")[2] for id in found] == [id.rpartition("net.yaml::")[2] for id in IDS]
    configure(pytester, "[pytest]\narchscope_specs = nets\n", "")
    assert listed(pytester, f"--rootdir={elsewhere}", "-c", "pytest.ini", str(nets)) == found


@pytest.mark.parametrize(
    ("ini", "project", "arguments", "said"),
    [
        ("", "", ["--archscope-specs=nest"], "there are no specs at *nest"),
        ("[pytest]\narchscope_specs = n*/*.yaml\n", "", [], "there are no specs at *n[*]/[*].yaml"),
        ("", '[tool.archscope]\nspecs = ["nest"]\n', [], "there are no specs at *nest"),
        (
            "",
            '[tool.archscope]\nspec = ["nets"]\n',
            [],
            "*pyproject.toml:2:1: unknown key 'spec' in [[]tool.archscope]",
        ),
    ],
)
def test_wrong_settings_are_wrong_use(
    pytester: pytest.Pytester, ini: str, project: str, arguments: list[str], said: str
) -> None:
    configure(pytester, ini, project)
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}", "  help: *"])
    assert "Traceback" not in result.stderr.str()


# ------------------------------------------------------------ what fails, and how it says so
@pytest.mark.usefixtures("nets")
def test_a_failure_shows_the_diagnosis_alone(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(SPECS)
    assert result.parseoutcomes() == {"passed": 7, "failed": 2}
    result.stdout.fnmatch_lines(
        [
            "*__ nets/net.yaml wide body shape __*",
            "nets/net.yaml:11:14: error expect-shape at body: expected shape (1, 4, 8, 8),*",
            "*__ nets/net.yaml wide body macs __*",
            "nets/net.yaml:11:35: error expect-macs at body: expected 9,216 MACs, got 18,432",
            "FAILED nets/net.yaml::wide::body::shape - *",
            "FAILED nets/net.yaml::wide::body::macs - *",
        ]
    )
    said = result.stdout.str()
    assert "Traceback" not in said
    assert "pytest_plugin" not in said


@pytest.mark.usefixtures("nets")
def test_editors_are_led_to_the_expectation(pytester: pytest.Pytester) -> None:
    run = pytester.inline_run(SPECS, *UNMET)
    reports = [report for report in run.getreports("pytest_runtest_logreport") if report.when == "call"]
    assert [report.location[:2] for report in reports] == [("nets/net.yaml", 10)] * 2
    crashes = [report.longrepr.reprcrash for report in reports]  # type: ignore[union-attr]  # ours has one
    assert [(crash.path, crash.lineno) for crash in crashes] == [("nets/net.yaml", 11)] * 2


def test_an_expectation_of_an_imported_block_stands_in_its_file(pytester: pytest.Pytester) -> None:
    blocks = "blocks:\n  Same(channels):\n    layers:\n      - Conv2d(channels, 1)\n    expect: {preserves: shape}\n"
    text = (
        "input: [N, 4, 8, 8]\nimport:\n  std/resnet: [BasicBlock]\n  blocks.yaml: [Same]\n"
        "layers:\n  - near: Same(4)\n  - far: BasicBlock(4)\n"
    )
    pytester.path.joinpath("blocks.yaml").write_text(blocks)
    pytester.path.joinpath("net.yaml").write_text(text)
    run = pytester.inline_run("--archscope-specs=.")
    reports = [report for report in run.getreports("pytest_runtest_logreport") if report.when == "call"]
    places = {report.nodeid: (Path(report.location[0]).name, report.location[1]) for report in reports}
    assert places["net.yaml::near::preserves"] == ("blocks.yaml", 4)
    assert places["net.yaml::far::shape"][0] == "resnet.yaml"
    assert places["blocks.yaml::check"] == ("blocks.yaml", None)
    assert {report.outcome for report in reports} == {"passed"}


def test_a_shape_conflict_is_found_by_the_check(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("net.yaml").write_text(UNFIT)
    result = pytester.runpytest_inprocess("--archscope-specs=.")
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    lines = ["net.yaml:3:5: error residual-shape*at add: *", "FAILED net.yaml::check - *"]
    result.stdout.fnmatch_lines(lines)
    result.stdout.no_fnmatch_line("  fix 1*")  # every fix has parameters that the file does not expect


def test_the_fix_of_a_shape_conflict_is_shown(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("net.yaml").write_text(UNFIT.partition("expect")[0])
    result = pytester.runpytest_inprocess("--archscope-specs=.")
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines(["net.yaml:3:5: error residual-shape*at add: *", "  fix 1, checked*"])


BROKEN = {
    "no YAML": ("layers: [\n", ["net.yaml:*:*: error spec: *"]),
    "two mistakes": (
        "input: [N, 4]\nlayres: 1\nlayers:\n  - Linaer(\n",
        ["net.yaml:2:1: error spec: *", "net.yaml:4:*: error spec: *"],
    ),
    "two layers": (
        "input: [N, 4]\nlayers:\n  - Linaer(4)\n  - Relu\n",
        ["net.yaml:3:5: error spec*'Linaer'", "*did you mean 'Linear'*", "net.yaml:4:5: error spec*"],
    ),
    "not text": ("\x00", ["net.yaml*: error spec: *"]),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_a_spec_that_cannot_be_read_or_compiled_is_one_failure(
    pytester: pytest.Pytester, text: str, said: list[str]
) -> None:
    pytester.path.joinpath("net.yaml").write_text(text)
    result = pytester.runpytest_inprocess("--archscope-specs=.")
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines([*said, "FAILED net.yaml::check - *"])
    assert "Traceback" not in result.stdout.str()


def test_a_variant_that_cannot_be_compiled_leaves_the_others_alone(pytester: pytest.Pytester) -> None:
    text = NET.replace("wide: {width: 8}", "wide: {width: 0 - 1}")
    pytester.path.joinpath("net.yaml").write_text(text)
    assert [id for id in listed(pytester, "--archscope-specs=.") if "wide" in id] == ["net.yaml::wide::check"]
    assert ended(pytester, "--archscope-specs=.") == {"passed": 5, "failed": 1}


BREAKS = """\
import torch
from torch import nn

class Own(nn.Module):
    def forward(self, x):
        if torch.overrides._len_torch_function_stack():
            raise ValueError("not while somebody looks")
        return x
"""


def test_no_figure_is_known_after_a_failure(pytester: pytest.Pytester) -> None:
    """Compiling goes well, the recorded run breaks off after the only step that costs anything."""
    pytester.makepyfile(own=BREAKS)
    pytester.syspathinsert()
    steps = "layers:\n  - a: Linear(4)\n    expect: {macs: 16}\n  - Own\nexpect: {preserves: shape}\n"
    pytester.path.joinpath("net.yaml").write_text(f"input: [N, 4]\npython: {{Own: own:Own}}\n{steps}")
    result = pytester.runpytest_inprocess("--archscope-specs=.")
    assert result.parseoutcomes() == {"passed": 1, "failed": 2}
    said = "FAILED net.yaml::{} - *not while somebody looks*"
    result.stdout.fnmatch_lines([said.format("check"), said.format("a::macs")])


@pytest.mark.usefixtures("nets")
def test_one_run_serves_all_tests_of_a_variant(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = spec_runs.summarize_plan

    def counted(plan: Plan, options: RunOptions) -> object:
        asked.append(plan.target)
        return real(plan, options)

    monkeypatch.setattr(spec_runs, "summarize_plan", counted)
    listed(pytester, SPECS)
    assert asked == []
    ended(pytester, SPECS)
    assert asked == ["nets/net.yaml:narrow", "nets/net.yaml:wide"]


# ------------------------------------------------------------ among pytest's own options
CHOSEN = {
    "-k variant": (["-k", "narrow"], 5, 0),
    "-k path": (["-k", "body and not macs"], 1, 1),
    "-m archscope": (["-m", "archscope"], 7, 2),
    "-m not archscope": (["-m", "not archscope"], 1, 0),
    "--deselect": (["--deselect", "nets/net.yaml::wide"], 6, 0),
    "--ignore": (["--ignore", "nets"], 1, 0),
    "warnings are errors": (["-W", "error"], 8, 2),
    "--tb=line": (["--tb=line", "-q"], 8, 2),
    "-vv": (["-vv"], 8, 2),
}


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(("arguments", "passed", "failed"), CHOSEN.values(), ids=CHOSEN)
def test_specs_are_chosen_as_all_tests_are(
    pytester: pytest.Pytester, arguments: list[str], passed: int, failed: int
) -> None:
    pytester.makepyfile(test_own="def test_own():\n    pass\n")
    outcomes = ended(pytester, SPECS, "--strict-markers", *arguments)
    assert (outcomes.get("passed", 0), outcomes.get("failed", 0)) == (passed, failed)


@pytest.mark.usefixtures("nets")
def test_verbose_ids_can_be_given_back(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(SPECS, "-v")
    assert [line.split()[0] for line in result.outlines if line.startswith("nets/") and "%]" in line] == IDS


def test_what_failed_last_runs_again(pytester: pytest.Pytester, nets: Path) -> None:
    ended(pytester, SPECS)
    assert listed(pytester, SPECS, "--lf") == UNMET
    mended = NET.replace("shape: [N, 4, 8, 8]", "shape: [N, width, 8, 8]").replace("macs: 9_216", "macs: {max: 18_432}")
    (nets / "net.yaml").write_text(mended)
    assert ended(pytester, SPECS, "--lf") == {"passed": 2, "deselected": 7}


@pytest.mark.usefixtures("nets")
def test_two_workers_find_the_same(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(SPECS, "-n", "2")
    assert result.parseoutcomes() == {"passed": 7, "failed": 2}
    result.stdout.fnmatch_lines(
        [
            "nets/net.yaml:11:14: error expect-shape at body: expected shape (1, 4, 8, 8),*",
            "FAILED nets/net.yaml::wide::body::shape - *",
        ]
    )


# ------------------------------------------------------------ who is left alone
LEFT_ALONE = """
import sys

def test_alone():
    heavy = {name.partition(".")[0] for name in sys.modules} & {"torch", "yaml", "click", "tabulate"}
    ours = {name for name in sys.modules if name.startswith("archscope")}
    assert (heavy, ours) == (set(), {"archscope", "archscope.pytest_plugin"})
"""


@pytest.mark.parametrize("project", ["", '[project]\nname = "other"\n'])
def test_a_project_without_specs_imports_nothing(pytester: pytest.Pytester, project: str) -> None:
    configure(pytester, "", project)
    pytester.makepyfile(test_alone=LEFT_ALONE)
    pytester.path.joinpath("settings.yaml").write_text("a: 1\n")
    result = pytester.runpytest_subprocess(".", "settings.yaml", "--co", "-q")
    assert [line for line in result.outlines if "::" in line] == ["test_alone.py::test_alone"]
    arguments = [sys.executable, "-m", "pytest", "-p", "no:xdist"]
    assert pytester.run(*arguments).parseoutcomes() == {"passed": 1}


def test_the_check_of_being_left_alone_can_complain(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_alone=LEFT_ALONE)
    assert ended(pytester) == {"failed": 1}  # torch is here


# ------------------------------------------------------------ budgets
BUDGETS = '[tool.archscope]\nspecs = ["nets"]\nmax-params = 200\nmax-macs = "1M"\n'


@pytest.mark.usefixtures("nets")
def test_a_budget_is_a_test_of_every_variant(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("pyproject.toml").write_text(BUDGETS)
    budgets = [f"nets/net.yaml::{name}::max-{what}" for name in ("narrow", "wide") for what in ("params", "macs")]
    assert [id for id in listed(pytester) if "::max-" in id] == budgets
    assert [listed(pytester, id) for id in budgets] == [[id] for id in budgets]
    result = pytester.runpytest_inprocess(*budgets)
    assert result.parseoutcomes() == {"passed": 3, "failed": 1}
    result.stdout.fnmatch_lines(
        [
            "nets/net.yaml: error budget-params: 296 parameters, 96 more than the budget*",
            f"FAILED {budgets[2]} - *",
        ]
    )


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("ignored", ['ignore = ["budget-params"]\n', 'select = ["conflict"]\n'])
def test_a_budget_that_is_ignored_does_not_fail(pytester: pytest.Pytester, ignored: str) -> None:
    pytester.path.joinpath("pyproject.toml").write_text(BUDGETS + ignored)
    assert ended(pytester, "-k", "max-")["passed"] == 4


def test_a_comment_of_a_spec_ignores_its_budget(nets: Path, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("pyproject.toml").write_text(BUDGETS)
    (nets / "net.yaml").write_text(f"# archscope: ignore[budget] it is meant\n{NET}")
    assert ended(pytester, "-k", "max-")["passed"] == 4


# ------------------------------------------------------------ the fixture
REMEMBERED = """
from pathlib import Path
import pytest
import torch

NET = "input: [N, 4]\\nlayers: [Linear({width})]\\n"

def test_once(archscope_summary):
    path = Path("own.yaml")
    path.write_text(NET.format(width=2))
    first = archscope_summary("own.yaml")
    assert first.total.params == 10
    assert archscope_summary(path) is first
    assert archscope_summary("own.yaml", batch=2) is not first
    assert archscope_summary("own.yaml", input=(2, 4)) is archscope_summary("own.yaml", input=(2, 4))
    path.write_text(NET.format(width=3))
    assert archscope_summary("own.yaml").total.params == 15

def test_a_live_module_is_run_each_time(archscope_summary):
    module = torch.nn.Sequential(torch.nn.Linear(4, 2))
    assert archscope_summary(module, input=(1, 4)).total.params == 10
    module.append(torch.nn.Linear(2, 1))
    assert archscope_summary(module, input=(1, 4)).total.params == 13

@pytest.mark.parametrize("turn", [1, 2])
def test_for_the_whole_session(archscope_summary, turn, seen=[]):
    seen.append(archscope_summary("own.yaml"))
    assert all(one is seen[0] for one in seen)
"""


@pytest.mark.moves_rng
def test_a_summary_is_remembered(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=REMEMBERED)
    assert ended(pytester) == {"passed": 4}


# ------------------------------------------------------------ Python code
FOREIGN = "input: [N, 4]\npython: {Own: own:Own}\nlayers: [Own]\nexpect: {shape: [N, 4]}\n"
OWN = "import pathlib\npathlib.Path('ran').touch()\nfrom torch import nn\n\n\nclass Own(nn.Identity):\n    pass\n"
LEFT_OUT = "archscope: Python code, not run: --allow-python on the command line runs it: net.yaml::check"


@pytest.fixture
def checkout(pytester: pytest.Pytester) -> Path:
    """A checkout whose settings ask for everything that they may."""
    pytester.makepyfile(own=OWN)
    pytester.syspathinsert()
    pytester.path.joinpath("net.yaml").write_text(FOREIGN)
    pytester.makepyprojecttoml(
        "[tool.archscope]\nspecs = ['net.yaml', 'own.py:Own']\n"
        "[tool.pytest.ini_options]\naddopts = '--allow-python --archscope-specs=net.yaml'\n"
    )
    return pytester.path


def test_the_settings_of_a_checkout_do_not_let_specs_run_code(pytester: pytest.Pytester, checkout: Path) -> None:
    result = pytester.runpytest_subprocess()
    assert (result.parseoutcomes(), (checkout / "ran").exists()) == ({"skipped": 1}, False)
    result.stdout.fnmatch_lines([LEFT_OUT, "archscope: Python code is not tested here*: own.py:Own"])


@pytest.mark.parametrize("option", ["--allow-python", "--archscope-allow-python", "--archscope-specs=net.yaml"])
def test_the_command_line_does(pytester: pytest.Pytester, checkout: Path, option: str) -> None:
    result = pytester.runpytest_subprocess(option)
    assert (result.parseoutcomes(), (checkout / "ran").exists()) == ({"passed": 2}, True)


def test_a_worker_is_told(pytester: pytest.Pytester, checkout: Path) -> None:
    assert pytester.runpytest_subprocess("-n1").parseoutcomes() == {"skipped": 1}
    assert pytester.runpytest_subprocess("-n1", "--allow-python").parseoutcomes() == {"passed": 2}
