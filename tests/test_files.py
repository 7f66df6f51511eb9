"""Files that a command writes: nothing that is read is overwritten, nothing is lost, nothing is written by half."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from archscope import api
from archscope.api import repairs as public_repairs
from archscope.cli import output as cli_output
from archscope.errors import UsageError
from archscope.fixes import repairs as spec_repairs
from archscope.spec import folders
from tests.commands import run
from tests.test_repairs import BROKEN, FIXED, SHARED, USER

SOUND = "input: [N, 8]\nlayers: [Linear(4)]\n"
MODEL = (
    "import pathlib\npathlib.Path('ran').touch()\nfrom torch import nn\n\n\ndef net():\n    return nn.Linear(4, 4)\n"
)
PROJECT = "[tool.archscope]\nspecs = [{}]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


# ------------------------------------------------------------ what is read
def same(path: Path) -> Path:
    return path


def linked(path: Path) -> Path:
    link = path.with_name("link.svg")
    link.symlink_to(path)
    return link


def hard_linked(path: Path) -> Path:
    link = path.with_name("hard.svg")
    os.link(path, link)
    return link


def dotted(path: Path) -> Path:
    return Path(".") / ".." / path.parent.name / path.name


def through_nothing(path: Path) -> str:
    """`none/../net.yaml`, where there is no folder `none`."""
    return os.path.join("none", "..", path.name)


COMMANDS = {
    "summary": ["summary", "net.yaml", "-o"],
    "a variant": ["summary", "net.yaml:small", "-o"],
    "flops": ["flops", "net.yaml", "other.yaml", "-o"],
    "a name": ["flops", "--compare", "a=net.yaml", "other.yaml", "-o"],
    "check": ["check", "other.yaml", "net.yaml", "-o"],
    "a folder": ["check", ".", "-o"],
    "fix": ["check", "--fix", "net.yaml", "-o"],
    "baseline": ["check", "net.yaml", "--save-baseline"],
    "time": ["time", "net.yaml", "-o"],
    "list": ["list", "net.yaml", "-o"],
}


@pytest.mark.parametrize("way", [same, linked, hard_linked, dotted, through_nothing])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_spec_is_not_overwritten(command: str, way: Callable[[Path], Path | str], folder: Path) -> None:
    for name in ("net.yaml", "other.yaml"):
        Path(name).write_text(SOUND)
    output = way(folder / "net.yaml")
    before = texts(folder)
    result = run(*COMMANDS[command], str(output))
    assert (result.exit_code, result.stdout, texts(folder)) == (2, "", before)
    assert "is read here, and would be lost" in result.stderr


@pytest.mark.parametrize("output", ["blocks.yaml", "net.py", "pyproject.toml", "baseline.json"])
def test_nor_is_what_it_imports_nor_code_settings_and_baselines(output: str, folder: Path) -> None:
    Path("net.yaml").write_text(USER.format(8))
    Path("blocks.yaml").write_text(SHARED)
    Path("net.py").write_text(MODEL)
    Path("baseline.json").write_text("[]")
    Path("pyproject.toml").write_text("")
    before = texts(folder)
    result = run("check", "net.yaml", "net.py:net", "--baseline", "baseline.json", "-o", output)
    assert (result.exit_code, texts(folder)) == (2, before)
    assert f"cannot write {output}: it is read here" in result.stderr


def test_a_baseline_is_renewed(folder: Path) -> None:
    Path("net.yaml").write_text(SOUND)
    for _ in range(2):
        assert run("check", "net.yaml", "--save-baseline", "b.json").exit_code == 0
    assert run("check", "net.yaml", "--baseline", "b.json", "--save-baseline", "b.json").exit_code == 0


def test_one_file_holds_one_output(folder: Path) -> None:
    Path("net.yaml").write_text(SOUND)
    result = run("check", "net.yaml", "-o", "a.txt", "--save-baseline", "./a.txt")
    assert (result.exit_code, "is to hold two outputs" in result.stderr, os.listdir()) == (2, True, ["net.yaml"])


@pytest.mark.parametrize("output", ["none/x", "there", "x/", "", "n" * 300, "shut", "circle", "a\0b"])
@pytest.mark.parametrize("option", ["-o", "--save-baseline"])
def test_nothing_is_mended_where_an_output_cannot_be_written(output: str, option: str, folder: Path) -> None:
    Path("net.yaml").write_text(BROKEN)
    Path("there").mkdir()
    Path("shut").write_text("")
    Path("shut").chmod(0o400)
    Path("circle").symlink_to("circle")
    result = run("check", "--fix", "net.yaml", option, output)
    assert (result.exit_code, result.stdout, Path("net.yaml").read_text()) == (2, "", BROKEN)
    assert result.stderr.startswith("cannot write ")
    assert sorted(os.listdir()) == ["circle", "net.yaml", "shut", "there"]


# ------------------------------------------------------------ nothing is lost
@pytest.mark.parametrize(("module", "moment"), [(public_repairs, "check"), (spec_repairs, "next_fix")])
def test_an_edit_made_while_it_is_checked_is_kept(
    module: ModuleType, moment: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """The other's edit falls before the first look, or between two."""
    net = Path("net.yaml")
    net.write_text(BROKEN)
    edited = BROKEN.replace("# a net", "# another's net")
    real = getattr(module, moment)

    def late(*given: object, **options: object) -> object:
        net.write_text(edited)
        return real(*given, **options)

    monkeypatch.setattr(module, moment, late)
    result = run("check", "--fix", "net.yaml")
    assert (result.exit_code, net.read_text(), os.listdir()) == (2, edited, ["net.yaml"])
    assert "net.yaml has changed since it was checked" in result.stderr


def test_no_file_is_mended_where_one_of_them_has_changed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        Path(name).write_text(BROKEN)
    real = api.repair

    def late(*given: object, **options: object) -> object:
        found = real(*given, **options)
        Path("b.yaml").write_text("# mine\n")
        return found

    monkeypatch.setattr(api, "repair", late)
    assert run("check", "--fix", "a.yaml", "b.yaml").exit_code == 2
    assert texts(folder) == {"a.yaml": BROKEN, "b.yaml": "# mine\n"}


def test_a_change_at_the_last_moment_is_seen(folder: Path) -> None:
    Path("a").write_text("theirs")
    with pytest.raises(UsageError, match="a has changed since it was checked"):
        cli_output.write_atomically(Path("a"), "ours", instead_of=b"what was there")
    assert texts(folder) == {"a": "theirs"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_owner_group_and_mode_stay(folder: Path) -> None:
    net = Path("net.yaml")
    net.write_text(BROKEN)
    os.chown(net, 1234, 2345)
    net.chmod(0o640)
    assert run("check", "--fix", "net.yaml").exit_code == 0
    there = net.stat()
    assert (net.read_text(), there.st_uid, there.st_gid, there.st_mode & 0o7777) == (FIXED, 1234, 2345, 0o640)


def test_a_file_that_cannot_be_given_back_to_its_owner_is_written_in_place(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    path = Path("a")
    path.write_text("old")
    node = path.stat().st_ino
    monkeypatch.setattr(cli_output, "try_copy_owner_and_mode", lambda *_: False)
    cli_output.write_atomically(path, "new")
    assert (path.read_text(), path.stat().st_ino, os.listdir()) == ("new", node, ["a"])


def test_a_name_of_250_characters_is_mended(folder: Path) -> None:
    net = Path("n" * 245 + ".yaml")
    net.write_text(BROKEN)
    assert run("check", "--fix", str(net)).exit_code == 0
    assert (net.read_text(), os.listdir()) == (FIXED, [net.name])
    assert run("summary", str(net), "-o", "t" * 250).exit_code == 0


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    program = (
        "import os, sys\nos.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "from archscope.cli import main\nsys.argv[1:] = ['check', 'net.yaml']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    told = "the current directory is gone\n  help: cd to a folder that is there\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
@pytest.mark.parametrize("command", ["--help", "--version", "list --help", "schema", "check net.yaml"])
def test_a_full_device_is_told(command: str, folder: Path) -> None:
    Path("net.yaml").write_text(SOUND)
    with FULL.open("w") as full:
        program = [sys.executable, "-m", "archscope", *command.split()]
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "cannot write: no space left on device\n")


@pytest.mark.skipif(os.name != "posix", reason="a shell closes streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["summary net.yaml", "check --diff net.yaml", "list"])
def test_closed_streams_change_nothing(command: str, closed: str, folder: Path) -> None:
    Path("net.yaml").write_text(SOUND)
    shell = f"{sys.executable} -m archscope {command} {closed}"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------ Python code that a project names
def test_python_code_that_only_a_project_names_is_not_run(folder: Path) -> None:
    Path("net.py").write_text(MODEL)
    Path("net.yaml").write_text(SOUND)
    Path("pyproject.toml").write_text(PROJECT.format("'net.yaml', 'net.py:net', 'net.py', 'net:net'"))
    result = run("check")
    assert (result.exit_code, Path("ran").exists()) == (0, False)
    told = "not run, since only pyproject.toml names it: net.py:net, net.py, net:net; --allow-python runs Python code\n"
    assert result.stderr == told
    assert result.stdout == "no problems in net.yaml\n"


@pytest.mark.parametrize("entries", ["'net.py:net'", "'*.py'"])
def test_a_project_of_python_code_alone_is_a_wrong_use(entries: str, folder: Path) -> None:
    Path("net.py").write_text(MODEL)
    Path("pyproject.toml").write_text(PROJECT.format(entries))
    result = run("check")
    assert (result.exit_code, result.stdout, Path("ran").exists()) == (2, "", False)
    assert "names nothing but Python code, which was not run: net.py" in result.stderr
    assert "help: --allow-python runs it" in result.stderr
    result = run("check", "--format", "json", "-o", "found.json")
    assert (result.exit_code, result.stdout, Path("ran").exists()) == (2, "", False)
    assert "names nothing but Python code, which was not run: net.py" in Path("found.json").read_text()


def test_it_runs_where_the_command_line_allows_or_names_it(folder: Path) -> None:
    Path("net.py").write_text(MODEL)
    Path("pyproject.toml").write_text(PROJECT.format("'net.py:net'"))
    for arguments in (["--allow-python"], ["net.py:net"]):
        result = run("check", *arguments, "--input", "1x4")
        assert (result.exit_code, Path("ran").exists()) == (0, True), result.stderr
        Path("ran").unlink()


@pytest.mark.parametrize("key", ["allow-python", "allow_python"])
def test_a_project_does_not_allow_itself(key: str, folder: Path) -> None:
    Path("net.py").write_text(MODEL)
    Path("pyproject.toml").write_text(PROJECT.format("'net.py:net'") + f"{key} = true\n")
    result = run("check")
    assert (result.exit_code, Path("ran").exists()) == (2, False)
    assert f"unknown key '{key}'" in result.stderr


# ------------------------------------------------------------ what its name says
@pytest.mark.parametrize(
    ("command", "name", "told"),
    [
        (["summary", "net.yaml"], "x.sarif", "summary writes no sarif"),
        (["flops", "net.yaml"], "x.SARIF", "flops writes no sarif"),
        (["time", "net.yaml"], "x.sarif", "time writes no sarif"),
        (["check", "net.yaml"], "x.csv", "check writes no csv"),
        (["list"], "x.html", "list writes no html"),
    ],
)
def test_a_name_that_says_a_format_which_there_is_not_is_refused(command: list[str], name: str, told: str) -> None:
    Path("net.yaml").write_text(SOUND)
    result = run(*command, "-o", name)
    assert (result.exit_code, result.stdout, os.listdir()) == (2, "", ["net.yaml"])
    assert told in result.stderr
    assert "help: a name that ends in .json" in result.stderr


def test_a_format_that_is_asked_for_needs_no_name() -> None:
    Path("net.yaml").write_text(SOUND)
    assert run("summary", "net.yaml", "--format", "table", "-o", "x.sarif").exit_code == 0
    assert Path("x.sarif").read_text().startswith("net ")


# ------------------------------------------------------------ folders, pipes
def test_too_large_a_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_ENTRIES", 50)
    for i in range(10):
        Path(f"f{i}").mkdir()
        for j in range(10):
            Path(f"f{i}", f"{j}.txt").touch()
    Path("f0", "net.yaml").write_text(SOUND)
    result = run("check", ".")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "more than 50 files and folders in ." in result.stderr
    assert run("check", "f0").exit_code == 0


def test_a_baseline_may_come_from_a_pipe(folder: Path) -> None:
    """`--baseline <(git show main:b.json)`; not where somebody's pyproject.toml names one, which might never end."""
    Path("net.yaml").write_text(SOUND)
    run("check", "net.yaml", "--save-baseline", "b.json")
    reader, writer = os.pipe()
    os.write(writer, Path("b.json").read_bytes())
    os.close(writer)
    assert run("check", "net.yaml", "--baseline", f"/dev/fd/{reader}").exit_code == 0
    os.close(reader)
    os.mkfifo("pipe")
    Path("pyproject.toml").write_text("[tool.archscope]\nbaseline = 'pipe'\n")
    result = run("check", "net.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "baseline: it is a pipe\n  help: a file; only --baseline may name a pipe" in result.stderr
