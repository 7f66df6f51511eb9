"""Python targets: every form that one may have, what lies beside its file, and targets that cannot be meant."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import archscope
from archscope.cli import cli
from archscope.errors import ForwardError, UsageError

NET = """
from __future__ import annotations
import functools
from dataclasses import dataclass
import torch
from torch import nn
from beside import WIDTH

@dataclass
class Config:
    width: int = WIDTH

class Net(nn.Module):
    def __init__(self, width=None):
        super().__init__()
        self.fc = nn.Linear(4, width or Config().width)

    def forward(self, x):
        return self.fc(x)

class Sized(nn.Module):
    def __init__(self, width, depth, act="relu"):
        super().__init__()
        self.body = nn.Sequential(*[nn.Linear(4 if not i else width, width) for i in range(depth)])

    def forward(self, x, mask=None, *, scale=1.0):
        return self.body(x) * scale

class Holder:
    class Inner(Net):
        pass

    def __init__(self):
        self.model = Net()

    @staticmethod
    def make(width=3):
        return Net(width)

class Stuck(Net):
    def _apply(self, fn, recurse=True):
        raise TypeError("is bolted down")

class OfValues(Net):
    def __init__(self):
        super().__init__()
        self.scale = torch.ones(3).sum().item()

class Reads(nn.Module):
    def forward(self, x):
        return x * x.sum().item()

class Routes(nn.Module):
    def forward(self, x):
        return x[torch.where(x.sum(1) > 0)]

class Draws(nn.Module):
    def __init__(self):
        super().__init__()
        self.width = int(torch.randint(1, 100_000, ()))
        self.fc = nn.Linear(4, self.width)

    def forward(self, x):
        return self.fc(x)

instance = Net()
by_lambda = lambda: nn.Linear(4, 3)
partial = functools.partial(Net, width=3)
widths = {"a": 3}

def plain():
    return nn.Linear(4, 3)

def prints():
    print("hello from the factory")
    return Net()

def late():
    from later import Later
    return Later()

def compiled():
    return torch.compile(Net())

def scripted():
    return torch.jit.script(nn.Linear(4, 3))

def exported():
    return torch.export.export(nn.Sequential(nn.Linear(4, 3)), (torch.ones(2, 4),))

def traced_graph():
    return torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 3)))

def pair():
    return Net(), "preprocessing"

def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))

def fails():
    raise RuntimeError("no luck")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "beside.py").write_text("WIDTH = 3\n")
    (tmp_path / "later.py").write_text("from torch import nn\n\ndef Later():\n    return nn.Linear(4, 3)\n")
    (tmp_path / "broken.py").write_text("import torch\n\n1 / 0\n")
    (tmp_path / "needs.py").write_text("import no_such_package\n")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text("from . import parts\n\nNet = parts.Net\n")
    (package / "parts.py").write_text("from torch import nn\n\nclass Net(nn.Linear):\n    def __init__(self):\n" + INIT)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


INIT = "        super().__init__(4, 3)\n"


# ------------------------------------------------------------ by file and by import path
@pytest.mark.parametrize(("arguments", "params"), [({}, 15), ({"width": 2}, 10)])
def test_a_python_file_is_run_as_python_would(folder: Path, arguments: dict, params: int) -> None:
    before = torch.get_rng_state()
    report = archscope.summarize(f"{folder}/net.py:Net", input=(2, 4), set=arguments)
    assert (report.total.params, report.total.macs) == (params, 2 * (params - params // 5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "name",
    [
        *("Net", "instance", "by_lambda", "partial", "plain", "prints", "late", "compiled", "exported", "traced_graph"),
        *("Holder.make", "Holder.Inner", "OfValues"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_a_file_may_name(folder: Path, name: str, device: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export's own
        report = archscope.summarize(f"net.py:{name}", input=(2, 4), device=device)
    assert (report.total.params, report.total.macs) == (15, 24)
    assert (report.trace.device, report.trace.outputs[0].value.shape) == (device, (2, 3))


def test_a_scripted_module_bears_its_own_names(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripts are deprecated
        report = archscope.summarize("net.py:scripted", input=(2, 4))
    assert (report.title, report.trace.inputs[0].source, report.total.params) == ("Linear", "input", 15)


@pytest.mark.parametrize("target", ["net:Net", "package.nets:Net", "torch.nn:Identity"])
def test_import_paths(folder: Path, target: str) -> None:
    assert archscope.summarize(target, input=(2, 4)).trace.outputs[0].value.shape[0] == 2


def test_a_file_leaves_no_module_behind(folder: Path) -> None:
    before, path = set(sys.modules), list(sys.path)
    archscope.summarize("net.py:Net", input=(2, 4))
    assert not {"net", "beside", "later"} & (set(sys.modules) - before)
    assert sys.path == path


def test_each_file_finds_what_lies_beside_it(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "net.py").write_text(NET)
    (other / "beside.py").write_text("WIDTH = 7\n")
    found = archscope.compare("net.py:Net", "other/net.py:Net", "net.py:Net", input=(2, 4)).reports
    assert [report.total.params for report in found] == [15, 35, 15]


def test_what_is_imported_from_elsewhere_steps_aside(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "net.py").write_text(NET)
    (other / "beside.py").write_text("WIDTH = 7\n")
    assert archscope.summarize("net:Net", input=(2, 4)).total.params == 15
    held = sys.modules["beside"]
    assert archscope.summarize("other/net.py:Net", input=(2, 4)).total.params == 35
    assert sys.modules["beside"] is held


def test_a_file_may_have_the_name_of_a_module(folder: Path) -> None:
    (folder / "random.py").write_text(NET)
    held = sys.modules["random"]
    assert archscope.summarize("random.py:Net", input=(2, 4)).total.params == 15
    assert sys.modules["random"] is held


def test_a_seed_decides_what_a_target_draws(folder: Path) -> None:
    before = torch.get_rng_state()
    sizes = [archscope.summarize("net.py:Draws", input=(1, 4), seed=seed).total.params for seed in (1, 1, 2)]
    assert sizes[0] == sizes[1] != sizes[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_are_made_on_the_device_and_in_the_dtype(folder: Path) -> None:
    report = archscope.summarize("net.py:Net", input=(2, 4), device="meta", dtype="bfloat16")
    assert (report.trace.device, report.trace.dtype, report.trace.inputs[0].value.dtype) == ("meta",) + (
        "bfloat16",
    ) * 2
    assert report.total.param_bytes == 30


def test_tensors_go_where_a_target_was_put(folder: Path) -> None:
    x = torch.ones(2, 4)
    for given in ({"input": x}, {"args": (x,)}, {"kwargs": {"x": x}}):
        assert archscope.summarize("net.py:Net", device="meta", **given).total.macs == 24


# ------------------------------------------------------------ wrong targets
@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("net.py:Nett", {}, r"there is no 'Nett'\n  help: did you mean 'Net'"),
        ("net.py:zzz", {}, r"there is no 'zzz'\n  help: name one of net.py:Config|there is no 'zzz'"),
        (
            "net.py:Net",
            {"set": {"widht": 2}},
            r"cannot be made: it has no argument 'widht'\n  help: did you mean 'width'",
        ),
        ("net.py:Net", {"set": {"zzz": 2}}, r"no argument 'zzz'\n  help: it is Net\(width=None\)"),
        ("net.py:Net", {"set": {"width": "wide"}}, r"out_features takes a whole number, not 'wide' \(net.py:16\)"),
        (
            "net.py:Sized",
            {},
            r"without 'width' and 'depth'\n  help: set={.width.: …, .depth.: …} \(it is Sized\(width, depth",
        ),
        ("net.py:instance", {"set": {"width": 2}}, "is an instance, which takes no arguments\n  help: leave them out"),
        ("net.py:widths", {}, "{'a': 3}, not a class, function or instance"),
        (
            "net.py:pair",
            {},
            "gives a tuple, not a torch.nn.Module\n  help: a function that returns its item 0 would do",
        ),
        ("net.py:Holder", {}, "gives a Holder, .*\n  help: a function that returns its attribute 'model'"),
        ("net.py:fails", {}, r"cannot be made: RuntimeError: no luck \(net.py:\d+\)"),
        ("net.py:Stuck", {}, "cannot be moved to cpu: TypeError: is bolted down"),
        ("net.py", {}, "names a file, and nothing in it\n  help: name one of net.py:Config, net.py:Net"),
        ("net.py:", {}, "names a file, and nothing in it"),
        ("nowhere.py:Net", {}, "there is no file nowhere.py\n  help: the path is relative"),
        ("nowhere.py", {}, "there is no file nowhere.py"),
        ("broken.py:Net", {}, r"broken.py cannot be imported: ZeroDivisionError: division by zero \(broken.py:3\)"),
        (
            "needs.py:Net",
            {},
            "No module named 'no_such_package'.*\n  help: install no_such_package where archscope runs$",
        ),
        ("no.such.package:Net", {}, "cannot be imported: .*\n  help: install no where .*, or change to the folder"),
        ("package/nets.py:Net", {}, "relative import.*\n  help: name it by its import path, .*: package.nets:Net"),
        ("torch.nn.Linear", {}, "neither a spec nor a Python target\n  help: a colon .*: torch.nn:Linear"),
        ("plain", {}, "neither a spec nor a Python target\n  help: net.yaml, net.yaml:variant, net.py:Net"),
    ],
)
def test_wrong_targets_are_wrong_use(folder: Path, target: str, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        archscope.summarize(target, input=(1, 4), **options)
    given = [f"--arg={name}={value}" for name, value in options.get("set", {}).items()]
    assert CliRunner().invoke(cli, ["summary", target, "--input", "1x4", *given]).exit_code == 2


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_target_has_its_lazy_layers_made(folder: Path, device: str) -> None:
    report = archscope.summarize("net.py:lazy", input=(1, 3, 8, 8), device=device)
    assert (report.total.params, report.total.macs, report.trace.notes) == (410, 4176, ())


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("name", ["Reads", "Routes"])
def test_what_needs_values_is_told_where_there_are_some(folder: Path, name: str, device: str) -> None:
    if device == "cpu":
        assert archscope.summarize(f"net.py:{name}", input=(1, 4)).trace.failure is None
        return
    with pytest.raises(ForwardError, match=r"help: meta has no values .* device=\"cpu\""):
        archscope.summarize(f"net.py:{name}", input=(1, 4), device=device)
