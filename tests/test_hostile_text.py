"""Odd names, texts and numbers: an answer in every format, and no character of theirs that a terminal would obey."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import archscope
from archscope.cli import cli
from archscope.errors import Problem, Span, UsageError, escape_invisible, escape_one_line
from archscope.plain_files import read_plain_file
from archscope.spec.text_diff import unified_diff
from tests import commands

LIMIT = 20.0
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff\ud800-\udfff]"
)
ODD = "\x1b[31m\u202eX\x9b31m\r"
BROKEN = "input: [N, 16, 8, 8]\nlayers:\n  - residual:\n      - Conv2d(32, 3, padding=1)\n      - ReLU\n"
SOUND = "input: [N, 4]\nvariants: {a: {}, b: {}}\nlayers: [Linear(4), ReLU]\nexpect: {params: 3}\n"
CHECKS = ("table", "markdown", "json", "lines", "github", "sarif")
TABLES = ("table", "markdown", "json", "csv", "html")
DIGITS = "9" * 5000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    """The result, after a look at what it says."""
    result = commands.run(*arguments)
    for data in (result.stdout_bytes, result.stderr_bytes):
        found = OBEYED.search(data.decode())
        assert not found, f"{found[0]!r} in {data!r}" if found else ""
    return result


# ------------------------------------------------------------ names of files
NAMES = {
    "no UTF-8": b"a\xff.yaml",
    "escape": b"esc\x1b[31m.yaml",
    "C1": "c1\x9b31m.yaml".encode(),
    "bidi": "bidi\u202egnp.yaml".encode(),
    "newline": b"new\n::error::x.yaml",
    "tab and return": b"tab\t\r.yaml",
    "markup": b"q\"'\\`|<b>*_[x](y)&amp;$x$.yaml",
    "heading": b"# h.yaml",
    "long": b"n" * 245 + b".yaml",
}


@pytest.mark.parametrize("text", [BROKEN, SOUND], ids=["broken", "sound"])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_be_called_anything(name: str, text: str, folder: Path) -> None:
    file = os.fsdecode(NAMES[name])
    Path(file).write_text(text)
    for format in CHECKS:
        assert run("check", file, "--format", format).exit_code == 1
    for format in TABLES:
        run("summary", file, "--format", format)
        run("flops", f"{file}:a" if text == SOUND else file, "--format", format, "-o", "out")
        assert not OBEYED.search(Path("out").read_text(encoding="utf-8"))
    run("flops", "--compare", file, "--format", "markdown")
    run("check", f"{file}x")
    run("check", ".", "--format", "lines")
    assert run("list", file).exit_code == 0


@pytest.mark.parametrize("name", NAMES)
def test_json_gives_the_name_back(name: str, folder: Path) -> None:
    file = os.fsdecode(NAMES[name])
    Path(file).write_text("input: [N, 4]\nlayers: [Linear(4)]\n")
    document = json.loads(run("summary", file, "--format", "json").stdout)
    assert document["target"] == file
    assert archscope.again(document).target == file


@pytest.mark.parametrize("name", NAMES)
def test_a_patch_finds_its_file(name: str, folder: Path) -> None:
    file = os.fsdecode(NAMES[name])
    Path(file).write_text(BROKEN)
    assert run("check", "--diff", file, "-o", "change.diff").exit_code == 1
    subprocess.run(["git", "apply", "change.diff"], check=True, capture_output=True)
    assert "shortcut:" in Path(file).read_text() or Path(file).read_text() != BROKEN
    assert run("check", file).exit_code == 0


def test_each_finding_has_one_line(folder: Path) -> None:
    Path("new\nnet.yaml:9:9: error x.yaml").write_text(BROKEN)
    (line,) = run("check", ".", "--format", "lines").stdout.splitlines()
    assert line.startswith("new\\nnet.yaml:9:9: error x.yaml:3:5: error residual-shape")


# ------------------------------------------------------------ texts of specs
BODIES = {
    "an expression": '  - "Linear(\\e[31m4)"',
    "a label": '  - "\\e[31m\\u202e\\ud800\\n": Linear(4)',
    "a comment": "  - Linear(5)  # \u202e\n  - residual: [Linear(3)]",
    "a raw escape": "  - Linear(4)  # \x1b[31m",
    "a raw C1": "  - Linear(4)  # \x9b31m",
    "a direction": "  - Linear(\u2066x\u2069)",
    "a tag": "  - !\u202ex Linear(4)",
    "a comment of ours": "  - Linear(4) # archscope: ignore[\u202ex]",
    "an import": '  - Linear(4)\nimport: {"\\e\\ud800.yaml": [A]}',
    "a key": '  - Linear(4)\n"\\e[31m\\u202e": 3',
    "long names": "".join(f"  - {'n' * 250}{at}: Linear(4)\n" for at in range(2)) + f"  - {'m' * 250}",
    "many digits": f"  - Linear({DIGITS})\n  - Linear(1_{'0_' * 3000}0)\n  - Linear(1e{DIGITS})",
    "many digits in hex": f'  - "Linear(0x{"f" * 5000})"\nparams: {{a: 0x{"f" * 5000}, b: {DIGITS}}}',
    "many digits expected": f"  - Linear(4)\nexpect: {{macs: {DIGITS}, params: {DIGITS}M}}",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_spec_may_hold_anything(body: str, folder: Path) -> None:
    Path("net.yaml").write_text(f"input: [N, 4]\nlayers:\n{BODIES[body]}\n")
    for format in CHECKS:
        run("check", "net.yaml", "--level", "note", "--format", format)
    for format in TABLES:
        run("summary", "net.yaml", "--format", format)


def test_the_caret_stands_below_its_place() -> None:
    text = "a: \u202e\t\x1b b: wrong\n"
    problem = Problem(Span("a.yaml", 1, 11), "a fact")
    _, line, caret = problem.lines({"a.yaml": text})
    assert line == "    a: \\u202e\\t\\u001b b: wrong"
    assert line[caret.index("^") :] == "wrong"


# ------------------------------------------------------------ live models
MODEL = f"""
import warnings, torch
from torch import nn

ODD = {ODD!r} + "\\nnew|*_<b>`\\ud800"


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("a" + ODD, nn.Linear(4, 4))
        self.register_parameter("p" + ODD, nn.Parameter(torch.ones(4)))

    def forward(self, x):
        return getattr(self, "a" + ODD)(x) + getattr(self, "p" + ODD)


class Raises(Named):
    def forward(self, x):
        super().forward(x)
        raise RuntimeError(ODD)


class Misfit(Named):
    def forward(self, x):
        return super().forward(x) + x[:, :3]


class Unmade(nn.Module):
    def __init__(self):
        raise ValueError(ODD)


class Warns(Named):
    def forward(self, x):
        warnings.warn(ODD)
        return super().forward(x)
"""


@pytest.mark.parametrize("name", ["Named", "Raises", "Misfit", "Unmade"])
def test_a_model_may_be_called_anything(name: str, folder: Path) -> None:
    Path("net.py").write_text(MODEL)
    for format in CHECKS:
        run("check", f"net.py:{name}", "--input", "4x4", "--level", "note", "--format", format)
    for format in TABLES:
        run("summary", f"net.py:{name}", "--input", "4x4", "--format", format)
    for extra in (["--cross-check"], ["--by", "type"], ["--compare"]):
        run("flops", *extra, f"net.py:{name}", "--input", "4x4")


@pytest.mark.parametrize(("name", "code"), [("Warns", 0), ("Raises", 1), ("Unmade", 2)])
def test_no_message_reaches_a_terminal_as_it_is(name: str, code: int, folder: Path) -> None:
    Path("net.py").write_text(MODEL)
    program = "from archscope.cli import main; main()"
    asked = ["summary", f"net.py:{name}", "--input", "4x4"]
    done = subprocess.run([sys.executable, "-c", program, *asked], capture_output=True, timeout=3 * LIMIT, check=False)
    said = (done.stdout + done.stderr).decode()
    assert (done.returncode, OBEYED.findall(said), "\\u001b[31m" in said) == (code, [], True)


def test_nor_in_a_session(folder: Path) -> None:
    Path("net.py").write_text(MODEL)
    report = archscope.summarize("net.py:Named", input=(4, 4))
    assert not OBEYED.search(str(report) + report._repr_html_())
    with pytest.raises(UsageError) as caught:
        archscope.summarize("net.py:Unmade", input=(4, 4))
    assert not OBEYED.search(str(caught.value))


@pytest.mark.skipif(os.name != "posix", reason="a terminal of its own")
@pytest.mark.parametrize("option", ["--diff", "--fix"])
def test_a_terminal_sees_no_patch_or_spec_as_it_is_and_a_pipe_does(option: str, folder: Path) -> None:
    text = BROKEN.replace("- ReLU", "- ReLU  # \u202e")
    Path("net.yaml").write_text(text)
    asked = ["check", option, "net.yaml", *(["-o", "-"] if option == "--fix" else [])]
    assert "\u202e" in CliRunner().invoke(cli, asked).stdout
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", "from archscope.cli import main; main()", *asked]
    subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, timeout=3 * LIMIT, check=False)
    said = os.read(ours, 1 << 16).decode()
    assert ("\\u202e" in said, "\u202e" in said) == (True, False)


def test_markdown_escapes_what_would_be_markup(folder: Path) -> None:
    Path("a|b.yaml").write_text("input: [N, 4]\nlayers: [Linear(4)]\n")
    text = run("flops", "--compare", "#h<b>=a|b.yaml", "&amp;=a|b.yaml", "--format", "markdown").stdout
    assert "#h\\<b>" in text
    assert "\\&amp;" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


# ------------------------------------------------------------ numbers and files
BASELINES: dict[str, Callable[[str], str]] = {
    "5,000 digits": lambda text: text.replace('"params": 20', f'"params": {DIGITS}'),
    "4,000 digits": lambda text: text.replace('"params": 20', f'"params": {DIGITS[:4000]}'),
    "less than nothing": lambda text: text.replace('"params": 20', '"params": -20'),
    "infinity": lambda text: text.replace('"params": 20', '"params": 1e400'),
    "lists": lambda _: "[" * 100_000 + "]" * 100_000,
    "mappings": lambda _: '{"a":' * 100_000,
    "nothing": lambda _: "",
    "zeros": lambda _: "\0\0",
}


@pytest.mark.parametrize("case", BASELINES)
def test_a_baseline_that_is_none_is_refused(case: str, folder: Path) -> None:
    Path("net.yaml").write_text("input: [N, 4]\nlayers: [Linear(4)]\n")
    run("check", "net.yaml", "--save-baseline", "b.json")
    Path("c.json").write_text(BASELINES[case](Path("b.json").read_text()))
    result = run("check", "net.yaml", "--baseline", "c.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("c.json")
    assert "help: archscope check TARGET… --save-baseline c.json writes one" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        f"max-params = {DIGITS}",
        f"max-params = {DIGITS[:4000]}",
        f"max-params = 0x{'f' * 5000}",
        f'max-macs = "{DIGITS}M"',
        f'tolerance = "{DIGITS}%"',
        f'tolerance = "1e-{DIGITS}"',
        f'object = "{DIGITS}x{DIGITS}"',
        f"select = [{DIGITS[:4000]}]",
        f"more = {'[' * 100_000}",
        f"more = {'{a=' * 50_000}1{'}' * 50_000}",
        f"a{'.a' * 100_000} = 1",
        "#" * (2 << 20),
    ],
    ids=lambda line: line[:24],
)
def test_settings_that_cannot_be_read_are_refused(line: str, folder: Path) -> None:
    Path("net.yaml").write_text("input: [N, 4]\nlayers: [Linear(4)]\n")
    Path("pyproject.toml").write_text(f"[tool.archscope]\n{line}\n")
    result = run("check", "net.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(folder / "pyproject.toml") in result.stderr
    assert len(result.stderr) < 1000


ARGUMENTS = (
    *(["--max-params", DIGITS], ["--tolerance", f"{DIGITS}%"], ["--input", f"{DIGITS}x4"], ["--batch", DIGITS]),
    *(["--input", f"x=int64:1x4:0..{DIGITS}"], ["--set", f"a={DIGITS}"], ["--set", "a=" + "(" * 20_000]),
    *(["--fix", DIGITS], ["--seed", DIGITS], ["--device", f"cuda:{DIGITS}"]),
)


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_options_of_many_digits_are_refused(arguments: list[str], folder: Path) -> None:
    Path("net.yaml").write_text("input: [N, 4]\nlayers: [Linear(4)]\n")
    result = run("check", "net.yaml", *arguments)
    assert (result.exit_code, "set_int_max_str_digits" in result.stderr) == (2, False)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="files that have no end")
@pytest.mark.parametrize("kind", ["zero", "fifo", "folder", "circle"])
def test_what_is_no_plain_file_is_not_read(kind: str, folder: Path) -> None:
    for name in ("odd.yaml", "odd.json", "odd.py"):
        make = {
            "zero": lambda it: os.symlink("/dev/zero", it),
            "fifo": os.mkfifo,
            "folder": os.mkdir,
            "circle": lambda it: os.symlink(it, it),
        }
        make[kind](name)
    Path("net.yaml").write_text("import: {odd.yaml: [A]}\ninput: [N, 4]\nlayers: [A]\n")
    Path("sound.yaml").write_text("input: [N, 4]\nlayers: [Linear(4)]\n")
    asked = [["odd.yaml"], ["net.yaml"], ["odd.py:Net"], ["sound.yaml", "--baseline", "odd.json"]]
    program = f"from archscope.cli import run_command_line as run\nprint([run(['check', *each]) for each in {asked}])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.stdout.splitlines()[-1], done.returncode) == ("[2, 2, 2, 2]", 0), done.stderr
    with pytest.raises(UsageError, match="holds no report"):
        archscope.again("odd.json")


def test_a_file_has_a_largest_size(folder: Path) -> None:
    Path("a").write_text("four")
    assert read_plain_file("a", most=4) == "four"
    with pytest.raises(OSError, match="larger than 3 bytes"):
        read_plain_file("a", most=3)


def test_what_is_seen_stays_and_what_is_not_seen_is_shown() -> None:
    plain = "é × → 日本 \N{NO-BREAK SPACE} 👩\u200d🔬\tx\n"
    assert escape_invisible(plain) == plain
    assert escape_one_line(plain) == plain.replace("\t", "\\t").replace("\n", "\\n")
    assert escape_invisible("\x00\x1b\x7f\x85\u2028\udcff") == "\\u0000\\u001b\\u007f\\u0085\\u2028\\udcff"
    assert json.loads(f'"{escape_invisible(chr(0x9B) + chr(0x202E))}"') == "\x9b\u202e"


def test_a_patch_quotes_a_name_as_git_does() -> None:
    assert unified_diff("a\n", "b\n", "net.yaml").startswith("--- a/net.yaml\n+++ b/net.yaml\n")
    assert unified_diff("a\n", "b\n", "a\udcff\n.yaml").startswith(
        '--- "a/a\\377\\012.yaml"\n+++ "b/a\\377\\012.yaml"\n'
    )


# ------------------------------------------------------------ numbers
@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 300, "0x" + "f" * 5000, "1_0" * 200])
@pytest.mark.parametrize("option", ["--set", "--arg"])
def test_a_number_that_is_too_long_is_told_in_short(option: str, number: str, folder: Path) -> None:
    Path("net.yaml").write_text("params: {w: 4}\ninput: [N, 8]\nlayers:\n  - Linear(w)\n")
    result = run("summary", "net.yaml", option, f"w={number}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is a number of more than 200 digits" in result.stderr
    assert len(result.stderr) < 400


@pytest.mark.parametrize("value", [10**5000, [4, -(10**40)]], ids=["a number", "a list"])
def test_nor_is_one_that_python_holds(value: object, folder: Path) -> None:
    Path("net.yaml").write_text("params: {w: 4}\ninput: [N, 8]\nlayers:\n  - Linear(w)\n")
    with pytest.raises(UsageError, match=r"set w: a number of [\d,]+ bits"):
        archscope.summarize("net.yaml", set={"w": value})


def test_a_long_word_is_told_in_short(folder: Path) -> None:
    Path("net.yaml").write_text("params: {w: 4}\ninput: [N, 8]\nlayers:\n  - Linear(w)\n")
    assert len(run("summary", "net.yaml", "--set", f"w='{'x' * 5000}'").stderr) < 600


# ------------------------------------------------------------ models
def test_a_model_that_answers_for_no_attribute_is_looked_at(folder: Path) -> None:
    own = (
        "    def forward(self, x):\n        return x\n\n    def __getattr__(self, name):\n        raise OSError(name)\n"
    )
    Path("m.py").write_text(f"from torch import nn\n\n\nclass M(nn.Module):\n{own}")
    assert run("summary", "m.py:M", "--input", "1x8").exit_code == 0
