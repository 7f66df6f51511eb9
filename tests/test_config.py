"""Configuration: `[tool.archscope]` of the nearest pyproject.toml; every mistake with its file, line and help."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from archscope import config, units
from archscope.config import KEY_PARSERS, Config
from archscope.errors import UsageError

WHOLE = """\
[project]
name = "mine"

[tool.archscope]
specs = ["specs", "more/net.yaml"]
select = ["spec", "conflict"]
ignore = ["dropped-pixels"]
max-params = "5M"
max-macs = 1_000_000
tolerance = "2%"
baseline = "ci/baseline.json"
object = "64x48"
"""


def written(folder: Path, text: str) -> Path:
    (folder / config.CONFIG_FILE).write_text(text, encoding="utf-8")
    return folder


def test_every_key_is_read(tmp_path: Path) -> None:
    found = config.find_config(written(tmp_path, WHOLE))
    assert found == Config(
        specs=("specs", "more/net.yaml"),
        select=("spec", "conflict"),
        ignore=("dropped-pixels",),
        max_params=units.parse_figure("5M"),
        max_macs=units.parse_figure("1000000"),
        tolerance=Decimal("0.02"),
        baseline="ci/baseline.json",
        object=(64, 48),
        file=str(tmp_path / config.CONFIG_FILE),
    )
    assert all(f"\n{key} = " in WHOLE for key in KEY_PARSERS)


def test_the_nearest_file_counts_and_paths_start_at_it(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    written(tmp_path, '[tool.archscope]\nbaseline = "report.json"\n')
    assert config.find_config(deep).baseline == "report.json"
    assert config.find_config(deep).resolve_path("report.json") == str(tmp_path / "report.json")
    written(tmp_path / "a", "[tool.other]\nx = 1\n")
    assert config.find_config(deep) == Config(file=str(tmp_path / "a" / config.CONFIG_FILE))


def test_without_a_file_nothing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CONFIG_FILE", "no-such-file.toml")
    assert config.find_config(tmp_path) == Config()


@pytest.mark.parametrize(
    ("text", "where", "message", "help"),
    [
        ("[tool.archscope]\nmax-parms = 3\n", ":2:1", "unknown key 'max-parms'", "did you mean 'max-params'"),
        ("[tool.archscope]\n\n  zzz = 3\n", ":3:3", "unknown key 'zzz'", "keys: specs, select"),
        ("[tool.archscope]\nmax_params = 3\n", ":2:1", "unknown key 'max_params'", "did you mean 'max-params'?"),
        ("[tool.archscope]\nspecs = 'specs'\n", ":2:1", "specs: 'specs' is not a list of texts", '["specs"]'),
        ("[tool.archscope]\nspecs = [3]\n", ":2:1", "specs: [3] is not a list of texts", '["specs"]'),
        ("[a]\nselect = 1\n[tool.archscope]\nselect = 1\n", ":4:1", "select: 1 is not a list", "select = ["),
        ("[tool.archscope]\nmax-params = '5 apples'\n", ":2:1", "max-params: '5 apples' is not a figure", '"5M"'),
        ("[tool.archscope]\nmax-params = true\n", ":2:1", "max-params: True is not a limit", '"5M"'),
        ("[tool.archscope]\nmax-macs = -1\n", ":2:1", "max-macs: -1 is not a limit", '"1G"'),
        ("[tool.archscope]\nmax-macs = 1.5\n", ":2:1", "max-macs: 1.5 is not a limit", '"1G"'),
        ("[tool.archscope]\ntolerance = 2\n", ":2:1", "tolerance: 2 is not a tolerance such as 2% or 0.02", '"2%"'),
        ("[tool.archscope]\nbaseline = ['a']\n", ":2:1", "baseline: ['a'] is not a text", '"baseline.json"'),
        ("[tool.archscope]\nobject = '64'\n", ":2:1", "object: '64' is not height x width", '"64x64"'),
        ("[tool]\narchscope = {objekt = '1x1'}\n", "", "unknown key 'objekt'", "did you mean 'object'?"),
        ("[tool]\narchscope = 3\n", "", "tool.archscope is 3", "[tool.archscope]"),
        ("[tool.archscope\n", "", "not valid TOML: ", "line 1"),
    ],
)
def test_a_mistake_has_its_place_and_cure(tmp_path: Path, text: str, where: str, message: str, help: str) -> None:
    with pytest.raises(UsageError) as raised:
        config.find_config(written(tmp_path, text))
    assert str(raised.value).startswith(f"{tmp_path / config.CONFIG_FILE}{where}: {message}")
    assert help in str(raised.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / config.CONFIG_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        config.find_config(tmp_path)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("2%", "0.02"), ("2.5 %", "0.025"), ("150%", "1.5"), (0.02, "0.02"), ("0.02", "0.02"), (0, "0"), (1e-05, "1e-5")],
)
def test_tolerances(said: object, meant: str) -> None:
    assert units.parse_tolerance(said) == Decimal(meant)


@pytest.mark.parametrize("said", [1, "1", "-2%", "2 percent", "", None, True, float("nan"), -0.5, "%"])
def test_what_is_no_tolerance(said: object) -> None:
    with pytest.raises(ValueError, match="is not a tolerance such as"):
        units.parse_tolerance(said)


@pytest.mark.parametrize("said", [5_000_000, "5M", "5_000_000", units.parse_figure("5M")])
def test_limits(said: object) -> None:
    assert units.parse_limit(said).value == 5_000_000
