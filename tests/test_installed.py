"""What an installation is: its name, what it brings, and what it says of another distribution of the same import."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from archscope.cli import cli, installed_distribution, run_command_line
from archscope.spec import bundled_networks
from tests.installation import ROOT, installed_python, site

__all__ = ["site"]  # a fixture

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class Distribution:
    """An installed distribution as importlib.metadata shows it; `metadata` as a leftover of a build has none."""

    def __init__(self, version: str, *, metadata: bool = True):
        self.version, self.metadata = version, metadata

    def read_text(self, name: str) -> str | None:
        return "Metadata-Version: 2.1" if self.metadata and name == "METADATA" else None


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Distribution]:
    """The distributions of this environment."""
    there: dict[str, Distribution] = {}

    def distribution(name: str) -> Distribution:
        if name not in there:
            raise importlib.metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    return there


# ------------------------------------------------------------ the name
def test_the_distribution_has_a_name_of_its_own() -> None:
    assert PROJECT["name"] == installed_distribution.OUR_DISTRIBUTION == "torch-archscope"
    assert PROJECT["scripts"] == {"archscope": "archscope.cli:main"}
    assert PROJECT["readme"] == "README.md"
    assert {"Repository", "Changelog"} <= PROJECT["urls"].keys()


def test_what_the_cross_check_asks_is_installed_with_it() -> None:
    named = {text.partition(">")[0] for text in PROJECT["dependencies"]}
    assert {"torch", "click", "tabulate", "fvcore", "torchinfo"} <= named


def test_the_version_is_that_of_our_distribution(found: dict[str, Distribution]) -> None:
    assert installed_distribution.our_version() == "(run from a source tree)"
    found["torch-archscope"] = Distribution("3.1")
    assert CliRunner().invoke(cli, ["--version"]).output == "archscope 3.1\n"


def test_another_distribution_of_this_name_is_told(found: dict[str, Distribution]) -> None:
    found.update({"torch-archscope": Distribution("3.1"), "archscope": Distribution("9.9")})
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.stdout) == (0, "archscope 3.1\n")
    assert "a distribution called archscope (9.9) is installed beside this one" in result.stderr
    assert "pip uninstall archscope, then install torch-archscope again" in result.stderr


def test_what_a_build_left_in_a_checkout_is_not_installed(found: dict[str, Distribution]) -> None:
    found["archscope"] = Distribution("0.1", metadata=False)
    assert installed_distribution.name_clash_message() == ""


def test_a_module_of_ours_that_is_missing_is_put_down_to_the_other(
    found: dict[str, Distribution], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "archscope.spec.schema", None)  # cannot be imported
    with pytest.raises(ImportError):
        run_command_line(["schema"])
    found["archscope"] = Distribution("9.9")
    assert run_command_line(["schema"]) == 2
    assert "pip uninstall archscope" in capsys.readouterr().err


def test_an_import_error_of_others_is_theirs(found: dict[str, Distribution]) -> None:
    found["archscope"] = Distribution("9.9")
    assert installed_distribution.import_error_message(ImportError("no module named numpy", name="numpy")) == ""


# ------------------------------------------------------------ the wheel
def test_a_wheel_brings_the_package_alone(site: Path) -> None:
    assert sorted(path.name.partition("-")[0] for path in site.iterdir()) == ["archscope", "torch_archscope"]


def test_a_wheel_brings_every_file_of_the_package_and_every_network(site: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "archscope", "specs"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    wanted = {name if name.startswith("archscope/") else f"archscope/{name}" for name in listed.stdout.split()}
    assert [name for name in sorted(wanted) if not (site / name).is_file()] == []


def test_an_installation_has_the_networks_in_any_folder(site: Path, tmp_path: Path) -> None:
    program = "import archscope; print(archscope.__file__); print(*(one.target for one in archscope.networks()))"
    done = installed_python(site, tmp_path, "-c", program)
    file, names = done.stdout.splitlines()
    assert Path(file).is_relative_to(site)
    assert names.split() == [f"specs:{name}" for name in bundled_networks.network_names()]
    done = installed_python(site, tmp_path, "-m", "archscope", "summary", "specs:resnet:resnet50", "--device", "meta")
    assert (done.returncode, "25,557,032 parameters" in done.stdout) == (0, True), done.stderr


PLAY = """
import os, sys
from pathlib import Path
import archscope
from tests.docs.pages import PAGES, agrees, blocks, played, turns

print(Path(archscope.__file__).is_relative_to(sys.argv[1]))
for block in blocks(PAGES[0]):
    if block.file:
        Path(block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "console":
        for said, done in zip(turns(block.text), played(block.text), strict=True):
            print(said.command if agrees(said.output, done.output) else f"$ {done.command}\\n{done.output}")
"""


def test_the_readmes_commands_work_after_a_plain_install(site: Path, tmp_path: Path) -> None:
    """In a folder that holds only the files which the README has the reader write."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", PLAY, str(site)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    from_site, *commands = done.stdout.splitlines()
    assert (done.returncode, from_site) == (0, "True"), done.stderr
    assert [command for command in commands if not command.startswith("archscope ")] == []
    assert {command.split()[1] for command in commands} >= {"summary", "check", "flops"}
