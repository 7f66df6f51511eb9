"""Tests of fixes in the source of Python targets: the intended line, run by PyTorch itself; nothing else changes."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import CodeType, FunctionType
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.errors import UsageError
from archscope.fixes.source_fixes import SourceFixSearch
from archscope.report import Finding, Fix
from archscope.targets import TargetRebuilder, load_module, target_import_path

pytestmark = pytest.mark.moves_rng
HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n"
IMAGE = (2, 3, 16, 16)


@dataclass(frozen=True)
class Case:
    """A broken network, the line that its first fix gives, and lines that no fix may give."""

    text: str
    fixed: str
    input: Any = IMAGE
    never: Sequence[str] = ()
    parts: str = ""  # of a second file, that the first imports

    def written(self, folder: Path) -> Path:
        if self.parts:
            (folder / "parts_of_net.py").write_text(whole(self.parts), encoding="utf-8")
        file = folder / "net_with_a_slip.py"
        file.write_text(whole(self.text), encoding="utf-8")
        return file


def whole(text: str) -> str:
    return HEAD + dedent(text).lstrip()


SHARED = """
        def conv_bn(a, b, kernel=3, stride=1):
            return nn.Sequential(nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU())
"""
CASES: dict[str, Case] = {
    "the sizes of a map in a product": Case(
        """
        class Net(nn.Module):
            def __init__(self, width=8):
                super().__init__()
                self.conv = nn.Conv2d(3, width, 3, padding=1)
                self.fc = nn.Linear(width * 14 * 14, 10)

            def forward(self, x):
                return self.fc(F.max_pool2d(self.conv(x), 2).flatten(1))
        """,
        "self.fc = nn.Linear(width * 8 * 8, 10)",
    ),
    "the side of a map, squared": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3, padding=1)
                self.fc = nn.Linear(8 * 7**2, 10)

            def forward(self, x):
                return self.fc(F.max_pool2d(self.conv(x), 2).flatten(1))
        """,
        "self.fc = nn.Linear(8 * 8 ** 2, 10)",
    ),
    "the sizes of a map that is no square": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3, padding=1)
                self.fc = nn.Linear(in_features=7 * 7 * 8, out_features=10)

            def forward(self, x):
                return self.fc(F.max_pool2d(self.conv(x), 2).flatten(1))
        """,
        "self.fc = nn.Linear(in_features=8 * 12 * 8, out_features=10)",
        input=(2, 3, 16, 24),
        never=["8 * 8 * 12"],
    ),
    "a width in a class": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
                self.conv2 = nn.Conv2d(16, 31, 3, padding=1)
                self.bn = nn.BatchNorm2d(32)

            def forward(self, x):
                return self.bn(self.conv2(self.conv1(x)))
        """,
        "self.conv2 = nn.Conv2d(16, 32, 3, padding=1)",
    ),
    "a width in a factory": Case(
        """
        def Net():
            return nn.Sequential(
                nn.Conv2d(3, 16, 3),
                nn.BatchNorm2d(16),
                nn.Conv2d(15, 32, 3),
                nn.ReLU(),
            )
        """,
        "nn.Conv2d(16, 32, 3),",
    ),
    "one use of a shared block, in a list": Case(
        SHARED
        + """

        def Net():
            return nn.Sequential(conv_bn(3, 16), conv_bn(16, 32, stride=2), conv_bn(31, 64), conv_bn(64, 64))
        """,
        "return nn.Sequential(conv_bn(3, 16), conv_bn(16, 32, stride=2), conv_bn(32, 64), conv_bn(64, 64))",
        never=["nn.Conv2d(32,", "nn.Conv2d(a, 3", "nn.BatchNorm2d(3"],
    ),
    "one use of a shared block, in a class": Case(
        SHARED
        + """

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = conv_bn(3, 16)
                self.left = conv_bn(16, 32)
                self.right = conv_bn(16, 24, kernel=1)
                self.head = conv_bn(32, 64)

            def forward(self, x):
                x = self.stem(x)
                return self.head(self.left(x) + self.right(x))
        """,
        "self.right = conv_bn(16, 32, kernel=1)",
        never=["nn.Conv2d(a, 3", "nn.Conv2d(a, 2", "nn.BatchNorm2d(3", "nn.BatchNorm2d(2"],
    ),
    "a default of a shared block": Case(
        SHARED
        + """

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.left = conv_bn(3, 32)
                self.right = conv_bn(3, 32, stride=2)
                self.third = conv_bn(3, 32, stride=2)
                self.head = conv_bn(32, 64)

            def forward(self, x):
                return self.head(self.left(x) + (self.right(x) + self.third(x)))
        """,
        "self.left = conv_bn(3, 32, stride=2)",
        never=["kernel, 2,", "kernel, 1,"],
    ),
    "a number too much in a shared block": Case(
        """
        def block(width, out):
            return nn.Sequential(nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out + 1), nn.ReLU())


        def Net():
            return nn.Sequential(block(3, 16), block(16, 32), block(32, 32))
        """,
        "return nn.Sequential(nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU())",
    ),
    "a factor too much in a shared class": Case(
        """
        class Mlp(nn.Module):
            def __init__(self, width, ratio):
                super().__init__()
                self.fc1 = nn.Linear(width, width * ratio)
                self.fc2 = nn.Linear(2 * width * ratio, width)

            def forward(self, x):
                return x + self.fc2(F.gelu(self.fc1(x)))


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.ModuleList(Mlp(width=8, ratio=3) for _ in range(2))

            def forward(self, x):
                for block in self.blocks:
                    x = block(x)
                return x
        """,
        "self.fc2 = nn.Linear(width * ratio, width)",
        (2, 5, 8),
        never=["24", "48"],
    ),
    "a parameter that one layer does not read": Case(
        """
        class Block(nn.Module):
            def __init__(self, a, b, stride):
                super().__init__()
                self.conv1 = nn.Conv2d(a, b, 3, stride=1, padding=1)
                self.conv2 = nn.Conv2d(b, b, 3, padding=1)
                self.skip = nn.Conv2d(a, b, 1, stride)

            def forward(self, x):
                return self.conv2(F.relu(self.conv1(x))) + self.skip(x)


        def Net():
            return nn.Sequential(Block(3, 8, 1), Block(8, 16, 2), Block(16, 32, 2))
        """,
        "self.conv1 = nn.Conv2d(a, b, 3, stride=stride, padding=1)",
        never=["nn.Conv2d(a, b, 1, 1)"],
    ),
    "a stride that is a number": Case(
        """
        def conv3(a, b, stride=1):
            return nn.Conv2d(a, b, 3, stride=1, padding=1)


        class Block(nn.Module):
            def __init__(self, a, b, stride):
                super().__init__()
                self.conv1 = conv3(a, b, stride)
                self.conv2 = conv3(b, b)
                self.skip = nn.Conv2d(a, b, 1, stride)

            def forward(self, x):
                return self.conv2(F.relu(self.conv1(x))) + self.skip(x)


        def Net():
            return nn.Sequential(Block(3, 8, 1), Block(8, 16, 2), Block(16, 32, 2))
        """,
        "return nn.Conv2d(a, b, 3, stride=stride, padding=1)",
    ),
    "a flatten in a list": Case(
        """
        def Net():
            return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(4), nn.Linear(64, 10))
        """,
        "return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(64, 10))",
    ),
    "a flatten in a forward": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 3, padding=1)
                self.pool = nn.MaxPool2d(4)
                self.fc = nn.Linear(64, 10)

            def forward(self, x):
                x = self.pool(F.relu(self.conv(x)))
                return self.fc(x)
        """,
        "return self.fc(x.flatten(1))",
    ),
    "images that are to be sequences": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.patch = nn.Conv2d(3, 8, 4, 4)
                self.pos = nn.Parameter(torch.zeros(1, 16, 8))
                self.attn = nn.MultiheadAttention(8, 2, batch_first=True)

            def forward(self, x):
                x = self.patch(x).transpose(1, 2)
                x = x + self.pos
                return self.attn(x, x, x)[0]
        """,
        "x = self.patch(x).flatten(2).transpose(1, 2)",
    ),
    "the dimension of a concat": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Conv2d(3, 8, 3, padding=1)
                self.b = nn.Conv2d(3, 24, 3, padding=1)
                self.head = nn.Conv2d(32, 10, 1)

            def forward(self, x):
                return self.head(torch.cat([self.a(x), self.b(x)], dim=2))
        """,
        "return self.head(torch.cat([self.a(x), self.b(x)], dim=1))",
    ),
    "exchanged sizes": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.qkv = nn.Linear(12, 36)
                self.heads = 3
                self.scale = nn.Parameter(torch.ones(3, 1, 1))
                self.out = nn.Linear(12, 12)

            def forward(self, x):
                b, n, c = x.shape
                q, k, v = self.qkv(x).chunk(3, dim=-1)
                q = q.view(b, n, self.heads, 4).transpose(1, 2)
                k = k.view(b, n, self.heads, 4).transpose(1, 2)
                v = v.view(b, n, 4, self.heads).transpose(1, 2)
                y = (q @ k.transpose(-2, -1) * self.scale).softmax(-1) @ v
                return self.out(y.transpose(1, 2).reshape(b, n, c))
        """,
        "v = v.view(b, n, self.heads, 4).transpose(1, 2)",
        (2, 7, 12),
    ),
    "a kernel that is larger than its input": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(3, 8, 3, stride=4, padding=1)
                self.conv2 = nn.Conv2d(8, 16, 5)
                self.pool = nn.AdaptiveAvgPool2d(1)
                self.fc = nn.Linear(16, 10)

            def forward(self, x):
                x = self.conv2(self.conv1(x))
                return self.fc(self.pool(x).flatten(1))
        """,
        "self.conv2 = nn.Conv2d(8, 16, 4)",
    ),
    "a pool with too much padding": Case(
        """
        def Net():
            return nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1),
                nn.MaxPool2d(2, 2, padding=2),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(8, 10),
            )
        """,
        "nn.MaxPool2d(2, 2, padding=1),",
    ),
    "a second file, the first is wrong": Case(
        """
        from parts_of_net import conv_bn


        def Net():
            return nn.Sequential(conv_bn(3, 16), conv_bn(17, 32))
        """,
        "return nn.Sequential(conv_bn(3, 16), conv_bn(16, 32))",
        parts=SHARED,
    ),
    "a second file, it is wrong": Case(
        """
        from parts_of_net import block


        def Net():
            return nn.Sequential(block(3, 16), block(16, 32))
        """,
        "return nn.Sequential(nn.Conv2d(a, b, 3), nn.BatchNorm2d(b))",
        parts="""
        def block(a, b):
            return nn.Sequential(nn.Conv2d(a, b, 3), nn.BatchNorm2d(2 * b))
        """,
    ),
    "a local name for a width": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                hidden, out = 48, 10
                self.body = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))
                self.head = nn.Linear(hidden, out)

            def forward(self, x):
                return self.head(self.body(x))
        """,
        "hidden, out = 64, 10",
        (2, 8),
    ),
    "a number of heads of a norm": Case(
        """
        def Net(width=24):
            return nn.Sequential(nn.Linear(8, width), nn.LayerNorm(width - 1), nn.Linear(width, 2))
        """,
        "return nn.Sequential(nn.Linear(8, width), nn.LayerNorm(width), nn.Linear(width, 2))",
        (2, 8),
    ),
    "a recurrent layer's width": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Linear(8, 16)
                self.rnn = nn.LSTM(12, 32, batch_first=True)
                self.head = nn.Linear(32, 2)

            def forward(self, x):
                y, _ = self.rnn(self.embed(x))
                return self.head(y[:, -1])
        """,
        "self.rnn = nn.LSTM(16, 32, batch_first=True)",
        (2, 5, 8),
    ),
    "a value that nothing reads": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
                self.conv2 = nn.Conv2d(8, 16, 3, padding=1)

            def forward(self, x):
                y = F.relu(self.conv1(x))
                y = F.relu(self.conv2(x))
                return y
        """,
        "y = F.relu(self.conv2(y))",
        never=["nn.Conv2d(3, 16"],
    ),
    "images that are to be sequences of a linear layer": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.patch = nn.Conv2d(3, 8, 4, 4)
                self.pos = nn.Parameter(torch.zeros(1, 16, 8))
                self.head = nn.Linear(8, 10)

            def forward(self, x):
                x = self.patch(x).transpose(1, 2)
                x = x + self.pos
                return self.head(x.mean(1))
        """,
        "x = self.patch(x).flatten(2).transpose(1, 2)",
    ),
    "a list that a loop goes through": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                layers = []
                for a, b in [(8, 16), (16, 32), (31, 64)]:
                    layers += [nn.Linear(a, b), nn.ReLU()]
                self.body = nn.Sequential(*layers)

            def forward(self, x):
                return self.body(x)
        """,
        "for a, b in [(8, 16), (16, 32), (32, 64)]:",
        (2, 8),
    ),
    "a call that ends with a note": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(
                    3,
                    3,
                    3,  # three
                )

            def forward(self, x):
                return x + self.conv(x)
        """,
        "3, padding=1,  # three",
    ),
    "a kernel by name without its padding": Case(
        """
        class Block(nn.Module):
            def __init__(self, a, kernel):
                super().__init__()
                self.conv = nn.Conv2d(a, a, kernel, padding=1)

            def forward(self, x):
                return x + self.conv(x)


        def Net():
            return nn.Sequential(Block(3, 3), Block(3, 5), Block(3, 7))
        """,
        "self.conv = nn.Conv2d(a, a, kernel, padding=kernel // 2)",
        never=["nn.Conv2d(a, a, 3"],
    ),
    "skips that double the channels": Case(
        """
        class Double(nn.Sequential):
            def __init__(self, a, b):
                super().__init__(nn.Conv2d(a, b, 3, padding=1), nn.ReLU())


        class Net(nn.Module):
            def __init__(self, features=(8, 16)):
                super().__init__()
                self.downs, self.ups, width = nn.ModuleList(), nn.ModuleList(), 3
                for f in features:
                    self.downs.append(Double(width, f))
                    width = f
                self.middle = Double(16, 32)
                for f in reversed(features):
                    self.ups.append(nn.ConvTranspose2d(f * 2, f, 2, 2))
                    self.ups.append(Double(f, f))

            def forward(self, x):
                skips = []
                for down in self.downs:
                    x = down(x)
                    skips.append(x)
                    x = F.max_pool2d(x, 2)
                x = self.middle(x)
                for number, skip in enumerate(reversed(skips)):
                    x = torch.cat((skip, self.ups[2 * number](x)), dim=1)
                    x = self.ups[2 * number + 1](x)
                return x
        """,
        "self.ups.append(Double(f * 2, f))",
        never=["dim=-1", "dim=2", "dim=3"],
    ),
    "an expansion that the next layer was not told": Case(
        """
        class Net(nn.Module):
            def __init__(self, dim=32):
                super().__init__()
                self.fc1 = nn.Linear(dim, dim * 4)
                self.fc2 = nn.Linear(dim, dim)

            def forward(self, x):
                return x + self.fc2(self.fc1(x).relu())
        """,
        "self.fc2 = nn.Linear(dim * 4, dim)",
        (1, 10, 32),
        never=["nn.Linear(dim, dim)"],
    ),
    "heads that one of three did not move": Case(
        """
        class Net(nn.Module):
            def __init__(self, d=32, h=4):
                super().__init__()
                self.h, self.dh = h, d // h
                self.q, self.k, self.v = (nn.Linear(d, d) for _ in range(3))

            def forward(self, x):
                B, T, D = x.shape
                q = self.q(x).view(B, T, self.h, self.dh).transpose(1, 2)
                k = self.k(x).view(B, T, self.h, self.dh).transpose(1, 2)
                v = self.v(x).view(B, T, self.h, self.dh)
                y = F.scaled_dot_product_attention(q, k, v)
                return y.transpose(1, 2).reshape(B, T, D)
        """,
        "v = self.v(x).view(B, T, self.h, self.dh).transpose(1, 2)",
        (1, 10, 32),
        never=["view(B, self.h, T, self.dh)"],
    ),
    "one use of a function with a larger kernel": Case(
        """
        def block(i, o, k=3):
            return nn.Sequential(nn.Conv2d(i, o, k, padding=1), nn.BatchNorm2d(o), nn.ReLU())


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = block(3, 8), block(8, 8, 5), block(8, 8)

            def forward(self, x):
                a = self.a(x)
                return self.c(a + self.b(a))
        """,
        "return nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2), nn.BatchNorm2d(o), nn.ReLU())",
        never=["padding=2)"],
    ),
    "options that a block passes on": Case(
        """
        class BC(nn.Sequential):
            def __init__(self, i, o, **options):
                super().__init__(nn.Conv2d(i, o, **options), nn.BatchNorm2d(o))


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = BC(3, 8, kernel_size=1)
                self.b = BC(3, 8, kernel_size=5, padding=1)
                self.c = BC(3, 8, kernel_size=3, padding=1)

            def forward(self, x):
                return torch.cat([self.a(x), self.b(x), self.c(x)], 1)
        """,
        "self.b = BC(3, 8, kernel_size=5, padding=2)",
    ),
    "a number that a function uses twice": Case(
        """
        def depthwise(i, o):
            return nn.Sequential(nn.Conv2d(i, i, 3, padding=1, groups=i), nn.Conv2d(i, o, 1), nn.ReLU())


        def Net():
            return nn.Sequential(nn.Conv2d(3, 16, 1), depthwise(16, 32), depthwise(30, 64))
        """,
        "return nn.Sequential(nn.Conv2d(3, 16, 1), depthwise(16, 32), depthwise(32, 64))",
    ),
    "words along the last axis": Case(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Linear(4, 64)
                self.conv = nn.Conv1d(64, 8, 3)

            def forward(self, x):
                return self.conv(self.embed(x))
        """,
        "return self.conv(self.embed(x).transpose(1, 2))",
        (2, 40, 4),
        never=["Conv1d(40"],
    ),
    "a loop that ends with no other stride": Case(
        """
        class Down(nn.Module):
            def __init__(self, size, stride):
                super().__init__()
                layers, width = [], 3
                while size > 4:
                    layers.append(nn.Conv2d(width, 16, 3, stride, 1))
                    width, size = 16, size // stride
                self.layers = nn.Sequential(*layers)

            def forward(self, x):
                return self.layers(x)


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.down, self.short = Down(16, 2), nn.Conv2d(3, 16, 1, stride=8)

            def forward(self, x):
                return self.down(x) + self.short(x)
        """,
        "self.down, self.short = Down(16, 2), nn.Conv2d(3, 16, 1, stride=4)",
    ),
}


def checked(target: Any, input: Any, **options: Any) -> tuple[Finding, ...]:
    (one,) = archscope.check(target, input=input, **{"device": "cpu", **options})
    return one.findings


def fixes(findings: tuple[Finding, ...]) -> list[Fix]:
    return [fix for finding in findings for fix in finding.fixes]


def added(fix: Fix) -> list[str]:
    """The new lines of a fix, without their indentation."""
    return [line[1:].strip() for line in fix.edit.splitlines() if line[:1] == "+" and line[:3] != "+++"]


@contextmanager
def made(case: Case, folder: Path, name: str, text: str) -> Iterator[nn.Module]:
    """A case with another text of one file, made by PyTorch alone, on meta."""
    folder.mkdir()
    target = case.written(folder)
    (folder / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        names: dict[str, Any] = {"__name__": "fixed"}
        exec(compile(target.read_text(), str(target), "exec"), names)
        with torch.device("meta"):
            yield names["Net"]()
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("parts_of_net", None)


def params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", CASES)
def test_the_first_fix_is_the_line_that_was_meant(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = fixes(checked(f"{case.written(tmp_path)}:Net", case.input))
    assert found
    assert added(found[0]) == [case.fixed]
    assert len(found) <= 3


@pytest.mark.parametrize("name", CASES)
def test_no_fix_writes_a_number_where_a_function_is_told_one(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = fixes(checked(f"{case.written(tmp_path)}:Net", case.input))
    assert [line for fix in found for line in added(fix) for wrong in case.never if wrong in line] == []


@pytest.mark.parametrize("name", CASES)
def test_pytorch_itself_runs_what_a_fix_makes_of_the_file(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    (tmp_path / "broken").mkdir()
    target = case.written(tmp_path / "broken")
    before = {path: path.read_text() for path in target.parent.glob("*.py")}
    found = fixes(checked(f"{target}:Net", case.input))
    for number, fix in enumerate(found):
        assert fix.checked
        file = next(path for path in before if path.samefile(fix.file))
        old, new = before[file].splitlines(), fix.text.splitlines()
        assert [line.strip() for line in new if line not in old] == added(fix)
        with made(case, tmp_path / f"before{number}", file.name, before[file]) as model:
            size = params(model)
        with made(case, tmp_path / f"after{number}", file.name, fix.text) as model:
            assert model(torch.zeros(case.input)).shape[0] == case.input[0]
            assert fix.params is None or fix.params == params(model) - size
    assert {path: path.read_text() for path in target.parent.glob("*.py")} == before


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_fix_says_the_call_the_function_the_line_and_the_file(device: str, tmp_path: Path) -> None:
    case = CASES["a width in a factory"]
    file = case.written(tmp_path)
    (fix,) = fixes(checked(f"{file}:Net", case.input, device=device))
    assert fix.description == "`nn.Conv2d(15, 32, 3)` in `Net`, line 9: `in_channels=16`"
    assert fix.text == file.read_text().replace("15", "16")
    assert Path(fix.file).samefile(file)
    assert fix.params == 32 * 9


def test_a_fix_of_another_file_names_that_file(tmp_path: Path) -> None:
    case = CASES["a second file, it is wrong"]
    (fix,) = fixes(checked(f"{case.written(tmp_path)}:Net", case.input))
    assert Path(fix.file).samefile(tmp_path / "parts_of_net.py")
    assert "parts_of_net" not in sys.modules


# ------------------------------------------------------------ what is of no use, and does no harm
WRONG = CASES["a width in a factory"].text


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files can be imported; what is imported from it is forgotten."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def module_in(folder: Path, name: str, text: str) -> Any:
    (folder / f"{name}.py").write_text(whole(text), encoding="utf-8")
    importlib.invalidate_caches()
    return importlib.import_module(name)


def functions(module: Any) -> dict[str, FunctionType]:
    """The functions and methods of a module by name."""
    found = {name: value for name, value in vars(module).items() if isinstance(value, FunctionType)}
    kinds = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    methods = {f"{cls.__name__}.{n}": f for cls in kinds for n, f in vars(cls).items() if isinstance(f, FunctionType)}
    return found | methods


@pytest.mark.parametrize("name", [name for name in CASES if not CASES[name].parts])
def test_the_authors_module_is_as_it_was(name: str, package: Path) -> None:
    case = CASES[name]
    module = module_in(package, "nets_of_an_author", case.text)
    before: dict[str, tuple[FunctionType, CodeType]] = {n: (f, f.__code__) for n, f in functions(module).items()}
    names, init = dict(vars(module)), nn.Module.__init__
    checked("nets_of_an_author:Net", case.input)
    assert sys.modules["nets_of_an_author"] is module
    assert vars(module) == names
    assert {n: f for n, f in functions(module).items() if before[n][0] is not f or before[n][1] is not f.__code__} == {}
    assert nn.Module.__init__ is init


def test_an_imported_module_gets_the_same_fixes_as_its_file(package: Path) -> None:
    module_in(package, "nets_of_an_author", WRONG)
    found = [checked(f"{target}:Net", IMAGE) for target in ("nets_of_an_author", package / "nets_of_an_author.py")]
    imported, loaded = map(fixes, found)
    assert imported
    assert [(fix.description, fix.text) for fix in imported] == [(fix.description, fix.text) for fix in loaded]


def forbidden(*_given: Any, **_more: Any) -> Any:
    raise AssertionError("the source was tried")


def test_a_live_modules_source_is_not_tried(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_in(package, "nets_of_an_author", CASES["one use of a shared block, in a class"].text)
    monkeypatch.setattr(SourceFixSearch, "__init__", forbidden)
    monkeypatch.setattr(TargetRebuilder, "changed", forbidden)
    monkeypatch.setattr(TargetRebuilder, "record_calls", forbidden)
    (one,) = archscope.check(module.Net(), input=IMAGE)
    assert any(finding.level == "error" for finding in one.findings)


def test_an_instance_is_fixed_as_a_live_module_is(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_in(package, "nets_of_an_author", CASES["a width in a class"].text + "\n        net = Net()\n")
    monkeypatch.setattr(TargetRebuilder, "changed", forbidden)
    found = fixes(checked("nets_of_an_author:net", IMAGE))
    (live,) = archscope.check(module.net, input=IMAGE)
    assert found
    assert [fix.description for fix in found] == [fix.description for fix in fixes(live.findings)]


CALLED_AGAIN = """
        CALLS = []


        def Net():
            CALLS.append(1)
            if len(CALLS) >= {number}:
                {deed}
            return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(15, 32, 3))
        """
DEEDS = {"raises": 'raise ValueError("once only")', "exits": 'raise SystemExit("once only")', "none": "return None"}


@pytest.mark.parametrize(
    "number",
    [
        2,
        3,
        4,
        5,
    ],
)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_factory_that_works_only_so_often_has_its_findings(number: int, deed: str, package: Path) -> None:
    module_in(package, "nets_of_an_author", CALLED_AGAIN.format(number=number, deed=DEEDS[deed]))
    findings = checked("nets_of_an_author:Net", IMAGE)
    assert [finding.rule for finding in findings if finding.level == "error"] == ["layer-shape"]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_factory_that_ends_on_a_bad_argument_has_its_findings(deed: str, device: str, tmp_path: Path) -> None:
    case = Case(
        f"""
        def layer(a, b):
            if (a, b) not in ((3, 16), (15, 32)):
                {DEEDS[deed]}
            return nn.Conv2d(a, b, 3)


        def Net():
            return nn.Sequential(layer(3, 16), layer(15, 32))
        """,
        "",
    )
    findings = checked(f"{case.written(tmp_path)}:Net", IMAGE, device=device)
    assert [finding.rule for finding in findings if finding.level == "error"] == ["layer-shape"]
    assert not any("15, 16" in line or "16, 32" in line for fix in fixes(findings) for line in added(fix))


ODD: dict[str, str] = {
    "a factory that remembers": """
        import functools


        @functools.lru_cache
        def Net():
            return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(15, 32, 3))
        """,
    "a module with a name that is anything": """
        from unittest.mock import call


        def Net():
            return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(15, 32, 3))
        """,
    "another network every time": """
        CALLS = []


        def Net():
            CALLS.append(1)
            return nn.Sequential(nn.Conv2d(3, 16, 3), *[nn.ReLU() for _ in CALLS], nn.Conv2d(15, 32, 3))
        """,
    "a lazy layer": """
        def Net():
            return nn.Sequential(nn.LazyConv2d(16, 3), nn.Conv2d(15, 32, 3))
        """,
    "a class that forbids what it does not know": """
        class Net(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Conv2d(3, 16, 3), nn.Conv2d(15, 32, 3))

            def __getattr__(self, name):
                if name in ("_modules", "_parameters", "_buffers", "0", "1"):
                    return super().__getattr__(name)
                raise AttributeError(name)
        """,
    "a lambda": """
        Net = lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(15, 32, 3))
        """,
    "a layer made at the top": """
        SHARED = nn.Conv2d(15, 32, 3)


        def Net():
            return nn.Sequential(nn.Conv2d(3, 16, 3), SHARED)
        """,
    "a file that is not what it was": """
        def Net():
            with open(__file__, "a") as lines:
                lines.write("# more\\n")
            return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(15, 32, 3))
        """,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_targets_have_their_findings(name: str, package: Path) -> None:
    module_in(package, "nets_of_an_author", ODD[name])
    findings = checked("nets_of_an_author:Net", IMAGE)
    assert [finding.rule for finding in findings if finding.level == "error"] == ["layer-shape"]
    assert all(fix.checked for fix in fixes(findings))


def test_what_the_target_prints_is_not_printed_for_every_trial(tmp_path: Path, capsys: Any) -> None:
    case = Case(WRONG.replace("return nn", 'print("made")\n            return nn'), "")
    assert fixes(checked(f"{case.written(tmp_path)}:Net", IMAGE))
    assert capsys.readouterr().out.count("made") <= 2


def test_the_files_are_not_run_for_every_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    monkeypatch.setattr(builtins, "runs_of_a_net", runs, raising=False)
    case = Case("        runs_of_a_net.append(1)\n" + WRONG, "")
    assert fixes(checked(f"{case.written(tmp_path)}:Net", IMAGE))
    assert len(runs) <= 3


def test_a_target_that_cannot_be_made_at_all_raises(tmp_path: Path) -> None:
    case = Case("        def Net():\n            return nn.Conv2d(-1, 3, 3)\n", "")
    with pytest.raises(UsageError, match="cannot be made"):
        checked(f"{case.written(tmp_path)}:Net", IMAGE)


def test_a_network_that_is_right_is_made_once(package: Path) -> None:
    module = module_in(package, "nets_of_an_author", CALLED_AGAIN.format(number=9, deed="pass").replace("15", "16"))
    assert fixes(checked("nets_of_an_author:Net", IMAGE)) == []
    assert module.CALLS == [1]


def test_a_name_that_is_anything_is_no_hindrance(tmp_path: Path) -> None:
    case = CASES["a flatten in a forward"]
    case = Case("        from unittest.mock import call\n\n" + case.text.lstrip("\n"), case.fixed)
    (fix,) = fixes(checked(f"{case.written(tmp_path)}:Net", IMAGE))
    assert added(fix) == [case.fixed]


@pytest.mark.parametrize(
    "device",
    ["cpu", "meta"],
)
def test_a_factory_that_ends_the_program_raises(device: str, tmp_path: Path) -> None:
    case = Case('        def Net():\n            raise SystemExit("no")\n', "")
    with pytest.raises(UsageError, match="cannot be made"):
        checked(f"{case.written(tmp_path)}:Net", IMAGE, device=device)


@pytest.mark.parametrize("live", [False, True])
def test_a_file_keeps_its_line_ends(live: bool, tmp_path: Path) -> None:
    file = CASES["a width in a class"].written(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    target: Any = f"{file}:Net"
    with target_import_path(target):
        found = fixes(
            checked(load_module(target, {}) if live else target, IMAGE, **({"device": "auto"} if live else {}))
        )
    assert found
    assert all(fix.text.count("\n") == fix.text.count("\r\n") for fix in found if fix.text)
    assert any("\r" in fix.edit for fix in found)
