"""`check --fix` and `check --diff`: patches that apply, files written whole or not at all, exit codes."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from archscope.cli import fix_files
from archscope.errors import UsageError
from tests import commands

BROKEN = """\
# a net
input: [N, 16, 8, 8]
layers:
  - residual:   # wider
      - Conv2d(32, 3, padding=1)
      - ReLU
  - Flatten     # for the head
  - Linear(10)  # ten classes
"""
FIXED = """\
# a net
input: [N, 16, 8, 8]
layers:
  - residual:   # wider
      main:
      - Conv2d(32, 3, padding=1)
      - ReLU
      shortcut:
      - Conv2d(32, 1)
  - Flatten     # for the head
  - Linear(10)  # ten classes
"""
HOPELESS = """\
input: [N, 16, 4, 4]
layers:
  - residual:
      - prev.flatten(2).transpose(1, 2)
      - LayerNorm
"""
SHARED = "blocks:\n  Wide:\n    - residual: Conv2d(2 * in_channels, 1)  # twice\n    - ReLU\n"
USER = "import: {{blocks.yaml: [Wide]}}\ninput: [N, {}, 4, 4]\nlayers: [Wide]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def put(name: str, text: str) -> Path:
    path = Path(name)
    path.write_bytes(text.encode())
    return path


def run(*arguments: str) -> Result:
    return commands.run("check", *arguments)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------ --diff
PATCHES: dict[str, Callable[[str], list[str]]] = {
    "patch": lambda file: ["patch", "-p1", "--binary", "-i", file],
    "git": lambda file: ["git", "apply", file],
}


@pytest.mark.parametrize("tool", PATCHES)
@pytest.mark.parametrize(
    "text",
    [BROKEN, BROKEN.rstrip("\n"), BROKEN.partition("  - Flatten")[0].rstrip("\n"), BROKEN.replace("\n", "\r\n")],
    ids=["plain", "no newline", "no newline at the change", "crlf"],
)
def test_a_diff_is_a_patch_that_does_what_fix_does(folder: Path, text: str, tool: str) -> None:
    net = put("net.yaml", text)
    result = run("net.yaml", "--diff")
    assert result.exit_code == 1
    assert net.read_bytes() == text.encode()
    Path("change.diff").write_bytes(result.stdout_bytes)
    subprocess.run(PATCHES[tool]("change.diff"), check=True, capture_output=True)
    patched = net.read_bytes()
    net.write_bytes(text.encode())
    assert run("net.yaml", "--fix").exit_code == 0
    assert net.read_bytes() == patched != text.encode()


def test_a_diff_of_several_files_and_targets(folder: Path) -> None:
    put("blocks.yaml", SHARED)
    for name, channels in (("a.yaml", 4), ("b.yaml", 6)):
        put(name, USER.format(channels))
    put("c.yaml", BROKEN)
    result = run("a.yaml", "b.yaml", "c.yaml", "--diff", "-o", "change.diff")
    assert (result.exit_code, result.stdout) == (1, "")
    heads = [line for line in Path("change.diff").read_text(encoding="utf-8").splitlines() if line.startswith("+++ ")]
    assert heads == ["+++ b/blocks.yaml", "+++ b/c.yaml"]
    subprocess.run(PATCHES["git"]("change.diff"), check=True, capture_output=True)
    assert run("a.yaml", "b.yaml", "c.yaml").exit_code == 0


@pytest.mark.parametrize(("text", "code"), [(FIXED, 0), (HOPELESS, 1), ("layers: [ReLU\n", 2)])
def test_where_nothing_can_be_fixed_the_diff_is_empty(folder: Path, text: str, code: int) -> None:
    put("net.yaml", text)
    result = run("net.yaml", "--diff")
    assert (result.exit_code, result.stdout) == (code, "")


def test_both_at_once_are_refused(folder: Path) -> None:
    put("net.yaml", BROKEN)
    result = run("net.yaml", "--fix", "--diff")
    assert result.exit_code == 2
    assert result.stderr == "--fix and --diff in one call\n  help: --diff shows what --fix would write\n"
    assert Path("net.yaml").read_text(encoding="utf-8") == BROKEN


# ------------------------------------------------------------ --fix
def test_fix_writes_what_cures_and_checks_again(folder: Path) -> None:
    net = put("net.yaml", BROKEN)
    result = run("net.yaml", "--fix")
    assert result.exit_code == 0
    assert net.read_text(encoding="utf-8") == FIXED
    assert result.stderr == "net.yaml: fixed: project the shortcut\n"
    assert result.stdout.startswith("no problems in net.yaml")
    assert names(folder) == ["net.yaml"]
    assert run("net.yaml").exit_code == 0


@pytest.mark.parametrize(("text", "code"), [(FIXED, 0), (HOPELESS, 1), ("layers: [ReLU\n", 2)])
def test_fix_leaves_what_it_cannot_better(folder: Path, text: str, code: int) -> None:
    net = put("net.yaml", text)
    os.utime(net, (1, 1))
    result = run("net.yaml", "--fix")
    assert result.exit_code == code
    assert (net.read_text(encoding="utf-8"), net.stat().st_mtime) == (text, 1)
    assert "fixed" not in result.stderr
    assert names(folder) == ["net.yaml"]


def test_what_is_left_is_told_and_counts(folder: Path) -> None:
    put("net.yaml", BROKEN.replace("input:", "expect: {params: 1}\ninput:"))
    result = run("net.yaml", "--fix")
    assert result.exit_code == 1
    assert "expect-params" in result.stdout


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_line_ends_and_the_mark_of_the_file_stay(folder: Path, mark: str, end: str) -> None:
    net = put("net.yaml", mark + BROKEN.replace("\n", end))
    assert run("net.yaml", "--fix").exit_code == 0
    assert net.read_bytes() == (mark + FIXED.replace("\n", end)).encode()


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o755])
def test_the_mode_stays(folder: Path, mode: int) -> None:
    net = put("net.yaml", BROKEN)
    net.chmod(mode)
    assert run("net.yaml", "--fix").exit_code == 0
    assert stat.S_IMODE(net.stat().st_mode) == mode


def test_the_target_of_a_link_is_written(folder: Path) -> None:
    (folder / "real").mkdir()
    real = put("real/net.yaml", BROKEN)
    Path("link.yaml").symlink_to(Path("real") / "net.yaml")
    assert run("link.yaml", "--fix").exit_code == 0
    assert Path("link.yaml").is_symlink()
    assert real.read_text(encoding="utf-8") == FIXED
    assert (names(folder), names(folder / "real")) == (["link.yaml", "real"], ["net.yaml"])


def test_imported_files_are_fixed_once_for_all_that_use_them(folder: Path) -> None:
    blocks = put("blocks.yaml", SHARED)
    users = [put(name, USER.format(channels)) for name, channels in (("a.yaml", 4), ("b.yaml", 6))]
    before = [user.read_bytes() for user in users]
    result = run(".", "--fix")
    assert result.exit_code == 0, result.stdout + result.stderr
    assert result.stderr.count("blocks.yaml: fixed: ") == 1
    assert "# twice" in blocks.read_text(encoding="utf-8")
    assert [user.read_bytes() for user in users] == before


def test_a_shared_file_that_each_target_changes(folder: Path) -> None:
    """The second target is mended as the first one left the file, whose line ends are not plain."""
    second = "  Wider:\n    - residual: Conv2d(3 * in_channels, 1)\n    - ReLU\n"
    blocks = put("blocks.yaml", (SHARED + second).replace("\n", "\r\n"))
    put("a.yaml", USER.format(4))
    put("b.yaml", USER.format(4).replace("Wide", "Wider"))
    result = run("a.yaml", "b.yaml", "--fix")
    assert result.exit_code == 0, result.stdout + result.stderr
    assert result.stderr.count("blocks.yaml: fixed: ") == 2
    assert blocks.read_bytes().count(b"\r\n") == blocks.read_bytes().count(b"\n")
    assert run("a.yaml", "b.yaml").exit_code == 0


def test_a_variant_is_fixed_alone(folder: Path) -> None:
    net = put("net.yaml", BROKEN.replace("layers:", "variants: {one: {}, two: {}}\nlayers:"))
    assert run("net.yaml:two", "--fix").exit_code == 0
    assert "shortcut:" in net.read_text(encoding="utf-8")
    assert run("net.yaml").exit_code == 0


# ------------------------------------------------------------ nothing is lost
def test_a_file_that_changed_meanwhile_is_not_overwritten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = put("net.yaml", BROKEN)
    write = fix_files.write_repairs

    def late(found: list, output: str | None) -> None:
        net.write_text("# mine\n", encoding="utf-8")
        write(found, output)

    monkeypatch.setattr(fix_files, "write_repairs", late)
    result = run("net.yaml", "--fix")
    assert result.exit_code == 2
    assert "net.yaml has changed since it was checked; nothing was written to it" in result.stderr
    assert "help: run check again" in result.stderr
    assert net.read_text(encoding="utf-8") == "# mine\n"
    assert names(folder) == ["net.yaml"]


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_file_that_cannot_be_written_stays_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    net = put("net.yaml", BROKEN)
    monkeypatch.setattr(*((Path, "write_bytes") if step == "write_bytes" else (os, "replace")), refuse)
    result = run("net.yaml", "--fix")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "cannot write net.yaml: permission denied\n"
    assert net.read_bytes() == BROKEN.encode()
    assert names(folder) == ["net.yaml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_is_read_only(folder: Path) -> None:
    net = put("net.yaml", BROKEN)
    folder.chmod(0o500)
    try:
        result = run("net.yaml", "--fix")
    finally:
        folder.chmod(0o700)
    assert result.exit_code == 2
    assert result.stderr == "cannot write net.yaml: permission denied\n"
    assert net.read_bytes() == BROKEN.encode()


def test_a_file_that_is_gone_or_no_text_any_more(folder: Path) -> None:
    net = put("net.yaml", BROKEN)
    net.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="has changed since it was checked"):
        fix_files.write_file("net.yaml", BROKEN, FIXED)
    net.unlink()
    with pytest.raises(UsageError, match=r"cannot write net\.yaml: no such file or directory"):
        fix_files.write_file("net.yaml", BROKEN, FIXED)
    assert names(folder) == []


# ------------------------------------------------------------ choices
SIZES = """\
input: [N, 3, 90, 160]
layers:
  - a: Conv2d(8, 3, stride=2, padding=1)
  - Conv2d(8, 3, stride=2, padding=1)
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
"""
"""Nothing in the net mends it but another input, which changes all of it."""


def test_a_fix_that_changes_more_than_the_block_is_shown_and_not_applied(folder: Path) -> None:
    net = put("net.yaml", SIZES)
    result = run("net.yaml", "--fix")
    assert result.exit_code == 1
    assert net.read_text(encoding="utf-8") == SIZES
    assert result.stderr == (
        "net.yaml: fix 1 changes more than the block of the conflict; choose one:\n"
        "  --fix 1  an input of 91×160\n"
        "  --fix 2  an input of 88×160\n"
    )
    assert "`archscope check --fix 1 net.yaml` applies fix 1" in result.stdout
    assert run("net.yaml", "--diff").stdout == ""


@pytest.mark.parametrize(("number", "height"), [("1", 91), ("2", 88)])
@pytest.mark.parametrize("order", ["first", "last"])
def test_a_number_takes_that_fix(folder: Path, number: str, height: int, order: str) -> None:
    net = put("net.yaml", SIZES)
    given = ["--fix", number, "net.yaml"] if order == "first" else ["net.yaml", "--fix", number]
    result = run(*given)
    assert result.exit_code == 0, result.output
    assert net.read_text(encoding="utf-8") == SIZES.replace("90", str(height))
    assert result.stderr == f"net.yaml: fixed: an input of {height}×160\n"


def test_a_number_takes_one_fix_and_what_is_left_counts(folder: Path) -> None:
    net = put("net.yaml", BROKEN + "  - residual: Linear(5)\n")
    result = run("net.yaml", "--fix", "1")
    assert result.exit_code == 1
    assert result.stderr.startswith("net.yaml: fixed: ")
    assert result.stderr.count("fixed: ") == 1
    assert "residual-shape" in result.stdout
    assert run("net.yaml", "--fix").exit_code == 0
    assert net.read_text(encoding="utf-8") == FIXED + "  - residual: Linear(10)\n"


def test_a_fix_that_is_not_there_is_refused(folder: Path) -> None:
    net = put("net.yaml", SIZES)
    result = run("net.yaml", "--fix", "3")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "there is no fix 3\n  help: the first conflict has 2\n"
    assert net.read_text(encoding="utf-8") == SIZES


def test_a_target_after_fix_is_no_number(folder: Path) -> None:
    net = put("net.yaml", BROKEN)
    assert run("--fix", "net.yaml").exit_code == 0
    assert net.read_text(encoding="utf-8") == FIXED


# ------------------------------------------------------------ -o
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_the_output_gets_the_mended_spec_and_the_file_stays(folder: Path, end: str) -> None:
    net = put("net.yaml", BROKEN.replace("\n", end))
    result = run("net.yaml", "--fix", "-o", "mended.yaml")
    assert result.exit_code == 0
    assert net.read_bytes() == BROKEN.replace("\n", end).encode()
    assert Path("mended.yaml").read_bytes() == FIXED.replace("\n", end).encode()
    assert result.stdout.startswith("no problems in net.yaml")
    assert run("mended.yaml").exit_code == 0


def test_standard_output_gets_the_mended_spec(folder: Path) -> None:
    put("net.yaml", BROKEN)
    result = run("net.yaml", "--fix", "-o", "-")
    assert (result.exit_code, result.stdout) == (0, FIXED)
    assert "no problems in net.yaml" in result.stderr


@pytest.mark.parametrize("text", [HOPELESS, FIXED], ids=["nothing cures it", "in order"])
def test_without_a_mended_spec_nothing_is_written_to_the_output(folder: Path, text: str) -> None:
    put("net.yaml", text)
    result = run("net.yaml", "--fix", "-o", "mended.yaml")
    assert result.exit_code == 2
    assert "-o takes one fixed spec; no file would change" in result.stderr
    assert names(folder) == ["net.yaml"]


def test_the_output_takes_one_spec(folder: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        put(name, BROKEN)
    result = run("a.yaml", "b.yaml", "--fix", "-o", "mended.yaml")
    assert result.exit_code == 2
    assert "-o takes one fixed spec; a.yaml, b.yaml would change" in result.stderr
    assert names(folder) == ["a.yaml", "b.yaml"]
    assert Path("a.yaml").read_text(encoding="utf-8") == BROKEN
