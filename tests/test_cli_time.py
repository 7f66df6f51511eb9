"""`archscope time`: options read, one library call made, what is printed, drawn and refused, Ctrl-C, the bar."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from archscope import api
from archscope.cli import progress
from archscope.errors import UsageError
from tests import commands
from tests.timed import grid, timed_mnist, timed_training

LENET = str(Path(__file__).parent.parent / "specs/tutorials/lenet.yaml")


class FakeLibrary:
    """An api that answers with timings that nobody measured."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.answer: Any = None

    def time(self, target: str, **options: Any) -> Any:
        return self.give("time", target, options, timed_mnist())

    def time_grid(self, target: str, **options: Any) -> Any:
        return self.give("time_grid", target, options, replace(grid(), planned=2))

    def give(self, name: str, target: str, options: dict[str, Any], usual: Any) -> Any:
        self.calls.append((name, target, options))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer or usual


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibrary]:
    fake = FakeLibrary()
    for name in ("time", "time_grid"):
        monkeypatch.setattr(api, name, getattr(fake, name))
    monkeypatch.setenv("COLUMNS", "80")
    return fake


def run(*arguments: str) -> Result:
    return commands.run("time", *arguments)


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        ([], "time", {"batch": None, "dtype": None, "device": "auto", "train": False, "seconds": 5.0, "rows": True}),
        ([], "time", {"optimizer": None, "threads": None, "tf32": None, "compile": False, "roofline": True}),
        (["--batch", "8", "--dtype", "bfloat16"], "time", {"batch": 8, "dtype": "bfloat16"}),
        (["--batch", "1,8, 64"], "time_grid", {"batch": (1, 8, 64), "dtype": (None,), "rows": False}),
        (["--batch", "8,8"], "time", {"batch": 8}),
        (["--dtype", "float32,bfloat16"], "time_grid", {"batch": (None,), "dtype": ("float32", "bfloat16")}),
        (
            ["--train", "--optimizer", "sgd", "--seconds", "0.5"],
            "time",
            {"train": True, "optimizer": "sgd", "seconds": 0.5},
        ),
        (["--tf32", "--threads", "3"], "time", {"tf32": True, "threads": 3}),
        (
            ["--no-tf32", "--compile", "--channels-last"],
            "time",
            {"tf32": False, "compile": True, "channels_last": True},
        ),
        (["--no-rows", "--no-roofline"], "time", {"rows": False, "roofline": False}),
        (
            ["--set", "a=3", "--arg", "b=[1, 2]", "--input", "1x3"],
            "time",
            {"set": {"a": 3, "b": [1, 2]}, "input": (1, 3)},
        ),
    ],
)
def test_options_reach_the_library(
    library: FakeLibrary, arguments: list[str], name: str, expected: dict[str, Any]
) -> None:
    assert run("net.yaml", *arguments).exit_code == 0
    called, target, options = library.calls[0]
    assert (called, target, len(library.calls)) == (name, "net.yaml", 1)
    assert {key: options[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "0"], "'0' is not a batch size such as 8, or 1,8,64"),
        (["--batch", "1,x"], "'x' is not a batch size"),
        (["--seconds", "0"], "0.0 is not in the range x>0"),
        (["--threads", "0"], "0 is not in the range x>=1"),
        (["--optimizer", "lion"], "'lion' is not one of"),
        (["--columns", "path,tme"], "no column 'tme'; did you mean 'time'?"),
        (["--sort", "time,path"], "--sort takes one column"),
        (["--picture", "roof.pdf"], "a picture is .svg or .png, not 'roof.pdf'"),
        (["--picture", "roof.svg", "--batch", "1,2"], "a picture is made of the rows of one measurement"),
        (["--picture", "roof.svg", "--no-rows"], "a picture is made of the rows of one measurement"),
    ],
)
def test_wrong_use_is_2_before_anything_is_measured(library: FakeLibrary, arguments: list[str], message: str) -> None:
    result = run("net.yaml", *arguments)
    assert (result.exit_code, library.calls) == (2, [])
    assert message in result.stderr


def test_a_refusal_of_the_library_is_2(library: FakeLibrary) -> None:
    library.answer = UsageError("there is nothing to time on meta", "--device cpu")
    result = run("net.yaml", "--device", "meta")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "there is nothing to time on meta\n  help: --device cpu\n"


@pytest.mark.parametrize("format", ["table", "markdown", "csv", "json", "html"])
@pytest.mark.parametrize("several", [[], ["--batch", "1,2"]])
def test_every_format(library: FakeLibrary, format: str, several: list[str]) -> None:
    result = run("net.yaml", "--format", format, *several)
    assert (result.exit_code, result.stderr) == (0, "")
    if format == "json":
        assert json.loads(result.stdout)["schema"] == ("archscope.timings/1" if several else "archscope.timing/1")


def test_by_and_columns_and_sort(library: FakeLibrary) -> None:
    by_type = run("net.yaml", "--by", "type").stdout.splitlines()
    assert by_type[3].split()[:2] == ["type", "MACs"]
    chosen = run("net.yaml", "--columns", "path,intensity").stdout.splitlines()
    assert chosen[3].split() == ["path", "FLOPs/byte"]
    slowest = run("net.yaml", "--sort", "time").stdout.splitlines()
    assert slowest[4].split()[0] == "9"


def test_what_was_broken_off_is_shown_and_130(library: FakeLibrary) -> None:
    timing = timed_training()
    library.answer = replace(timing, measurement=replace(timing.measurement, interrupted=True))
    result = run("net.yaml")
    assert result.exit_code == 130
    assert "interrupted: what was measured so far" in result.stdout
    library.answer = grid()
    assert run("net.yaml", "--batch", "1,2").exit_code == 130


def test_a_picture_is_drawn_beside_the_table(library: FakeLibrary, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for suffix, start in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        picture = tmp_path / f"roof.{suffix}"
        result = run("net.yaml", "--picture", str(picture))
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("ResidualMnist")
        assert picture.read_bytes().startswith(start)


def test_with_the_library_itself() -> None:
    result = run(LENET, "--device", "cpu", "--seconds", "0.05", "--no-roofline", "--format", "json", "--batch", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert (document["batch"], document["costs"]["macs"], document["roofline"]) == (3, 3 * 467_200, None)
    assert all(row["device_s"] > 0 for row in document["rows"])
    assert document["total"]["runs"] == len(document["total"]["samples_s"]) >= 3


# ------------------------------------------------------------ the bar
class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "passed", "quiet", "seen"),
    [
        (Terminal(), 3.0, False, True),
        (Terminal(), 1.0, False, False),
        (Terminal(), 3.0, True, False),
        (io.StringIO(), 3.0, False, False),
    ],
    ids=["long", "short", "quiet", "no terminal"],
)
def test_a_bar_for_whoever_has_waited(
    stream: io.StringIO, passed: float, quiet: bool, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, passed, passed])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.progress_bar("measuring", quiet=quiet) as tell:
        tell(0.25)
        tell(0.5)
    assert ("measuring" in stream.getvalue() and "50%" in stream.getvalue()) is seen
    assert bool(stream.getvalue()) is seen


@pytest.mark.parametrize(
    ("stream", "passed", "verbose", "seen"),
    [
        (Terminal(), 3.0, False, "\rmatrices\rbytes   \r     \r"),
        (Terminal(), 1.0, False, ""),
        (io.StringIO(), 3.0, False, ""),
        (io.StringIO(), 0.0, True, "matrices\nbytes\n"),
    ],
    ids=["long", "short", "no terminal", "verbose"],
)
def test_what_is_being_done(
    stream: io.StringIO, passed: float, verbose: bool, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, passed, passed])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.progress_messages(verbose=verbose) as tell:
        tell("matrices")
        tell("bytes")
    assert stream.getvalue() == seen
